"""What is wrong with a plugin, in the shape that a compiler would give it: place, code, message, remedy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from service.model.plugin import Stage
from service.model.text import Text

# Those may have one place for many: where a schema is made in a way that the text does not tell.
_EACH_ITS_OWN = {"config_invalid", "field_doubtful", "metadata_ignored"}

Severity = Literal["error", "warning"]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One problem of one plugin.

    `file` is a path as the user wrote it, as far as possible. `line`, `column` and `end_column` count characters from
    1; `end_column` is behind the last one. `source` is the line's text. `traceback` has the plugin's own frames, or
    what an installer said.
    """

    severity: Severity
    code: str
    message: Text
    help: Text
    file: str
    line: int | None = None
    column: int | None = None
    end_column: int | None = None
    source: str | None = None
    stage: Stage | None = None
    traceback: str | None = None


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where in a file, relative to the plugin folder; see `Problem` for the numbers."""

    path: str
    line: int | None = None
    column: int | None = None
    end_column: int | None = None


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A problem before its place is told in the user's terms. `help` is that of the code where it is not given."""

    code: str
    message: Text
    place: Place
    severity: Severity = "error"
    help: Text | None = None
    stage: Stage | None = None
    traceback: str | None = None


def without_repeats(problems: Iterable[Found]) -> list[Found]:
    """In the order of places, errors before warnings of the same line; of two with one code at one place the first."""
    seen: set[tuple[object, ...]] = set()
    kept = []
    for one in problems:
        key = (
            one.code,
            one.place.path,
            one.place.line,
            one.place.column,
            one.message.en if one.code in _EACH_ITS_OWN else None,
        )
        if key not in seen:
            seen.add(key)
            kept.append(one)
    return sorted(kept, key=lambda one: (one.place.path, one.place.line or 0, one.severity))
