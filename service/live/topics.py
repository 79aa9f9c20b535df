"""Topic patterns, matched against the subjects of events: `*` within one part, `**` over the rest.

`plugins/*/demo` and `plugins/search/de*` match `plugins/search/demo`; `plugins/**` matches everything below
`plugins`; `**` matches everything. Matching never backtracks, whatever a client writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from service.errors import RequestRefused
from service.model.text import Text

PATTERN_MAX_LENGTH = 256
TOPICS_PER_CLIENT = 64

# Only patterns that are dear to match remember what they found, and only for so many subjects.
_REMEMBERED_SUBJECTS = 512


class TopicInvalid(RequestRefused):
    """A topic pattern, or the number of them, is not acceptable."""

    code = "topic_invalid"


class Topics:
    """An immutable set of patterns. An event belongs to it when at least one pattern matches.

    Args:
        patterns: each as `check_pattern` accepts it.
    """

    __slots__ = ("_all", "_exact", "_globs", "_prefixes", "_remembered", "patterns")

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = frozenset(patterns)
        self._all = "**" in self.patterns
        self._exact = frozenset(pattern for pattern in self.patterns if "*" not in pattern)
        rest = [pattern for pattern in self.patterns if "*" in pattern and pattern != "**"]
        prefixes = [pattern for pattern in rest if pattern.endswith("/**") and "*" not in pattern[:-3]]
        self._prefixes = tuple(pattern[:-2] for pattern in prefixes)
        self._globs = [_Glob(pattern) for pattern in rest if pattern not in prefixes]
        self._remembered: dict[str, bool] = {}

    def matches(self, subject: str) -> bool:
        """Whether at least one pattern matches the subject."""
        if self._all:
            return True
        if subject in self._exact or subject.startswith(self._prefixes):
            return True
        if not self._globs:
            return False
        known = self._remembered.get(subject)
        if known is None:
            if len(self._remembered) >= _REMEMBERED_SUBJECTS:
                self._remembered.clear()
            parts = subject.split("/")
            known = self._remembered[subject] = any(glob.matches(parts) for glob in self._globs)
        return known


@lru_cache(maxsize=256)
def topics_of(patterns: frozenset[str]) -> Topics:
    """The set of these patterns, the same object for all who ask: most clients ask for the same few."""
    return Topics(patterns)


def check_pattern(pattern: str) -> str:
    """The pattern itself, when it is one.

    Raises:
        TopicInvalid: it is empty, too long, has an empty part, or has `**` anywhere but as its last part.
    """
    if not 0 < len(pattern) <= PATTERN_MAX_LENGTH:
        raise TopicInvalid(
            Text(
                zh=f"主题须为 1 到 {PATTERN_MAX_LENGTH} 个字符",
                en=f"A topic has 1 to {PATTERN_MAX_LENGTH} characters",
            )
        )
    parts = pattern.split("/")
    if "" in parts:
        raise TopicInvalid(
            Text(
                zh=f"主题 {pattern} 含有空的部分，应写作 plugins/**",
                en=f"The topic {pattern} has an empty part; write plugins/**",
            )
        )
    if any("**" in part for part in parts[:-1]) or ("**" in parts[-1] and parts[-1] != "**"):
        raise TopicInvalid(
            Text(
                zh=f"主题 {pattern} 中的 ** 只能作为最后一个完整部分，其他位置请用 *",
                en=f"In the topic {pattern}, ** may only be the whole last part; use * elsewhere",
            )
        )
    return pattern


class _Glob:
    """A pattern with `*` in it, taken apart once: literal pieces between the stars of each part."""

    __slots__ = ("_open", "_parts")

    def __init__(self, pattern: str) -> None:
        parts = pattern.split("/")
        self._open = parts[-1] == "**"
        self._parts = [part.split("*") for part in (parts[:-1] if self._open else parts)]

    def matches(self, parts: Sequence[str]) -> bool:
        count = len(self._parts)
        if len(parts) <= count if self._open else len(parts) != count:
            return False
        return all(_part_matches(pieces, part) for pieces, part in zip(self._parts, parts, strict=False))


def _part_matches(pieces: list[str], part: str) -> bool:
    """Whether the pieces occur in `part` in order, the first at its start and the last at its end.

    The leftmost place of each piece is always good enough, so nothing is tried twice.
    """
    if len(pieces) == 1:
        return part == pieces[0]
    first, *middle, last = pieces
    if len(part) < len(first) + len(last) or not part.startswith(first) or not part.endswith(last):
        return False
    position, end = len(first), len(part) - len(last)
    for piece in middle:
        found = part.find(piece, position, end)
        if found < 0:
            return False
        position = found + len(piece)
    return True
