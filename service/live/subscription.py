"""What one client has asked for, and from where on: nothing that it already has is sent to it again. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from service.live.event_log import Entry
from service.live.topics import TOPICS_PER_CLIENT, TopicInvalid, topics_of
from service.model.text import Text


class Subscription:
    """The patterns of one client, each with the seq after which the client gets everything that matches it.

    An event that two patterns match counts once: it is covered as soon as one of them covers it. That is what makes a
    second `subscribe` on one connection safe, whatever its position: an event is sent twice only when its topics were
    given up in between.
    """

    __slots__ = ("_starts",)

    def __init__(self) -> None:
        self._starts: dict[str, int] = {}

    @property
    def patterns(self) -> frozenset[str]:
        """The patterns that are subscribed to."""
        return frozenset(self._starts)

    def check_room(self, patterns: Iterable[str]) -> None:
        """Raise TopicInvalid where the patterns would be too many together with those that are there."""
        if len(self.patterns.union(patterns)) > TOPICS_PER_CLIENT:
            raise TopicInvalid(
                Text(
                    zh=f"一个连接最多订阅 {TOPICS_PER_CLIENT} 个主题，请改用 * 或 **",
                    en=f"One connection may subscribe to {TOPICS_PER_CLIENT} topics at most; use * or **",
                )
            )

    def missing_from(self, patterns: Iterable[str]) -> Callable[[Entry], bool]:
        """Tells of an entry of the log whether it matches the patterns and is not covered as things are now."""
        wanted = topics_of(frozenset(patterns))
        covers: dict[int, list[str]] = {}
        for pattern, start in self._starts.items():
            covers.setdefault(start, []).append(pattern)
        covered = [(start, topics_of(frozenset(group))) for start, group in covers.items()]
        if not covered:
            return lambda entry: wanted.matches(entry.subject)

        def is_missing(entry: Entry) -> bool:
            subject, seq = entry.subject, entry.seq or 0
            return wanted.matches(subject) and not any(
                seq > start and topics.matches(subject) for start, topics in covered
            )

        return is_missing

    def add(self, patterns: Iterable[str], start: int) -> None:
        """Have the client get everything after `start` that matches the patterns."""
        for pattern in patterns:
            self._starts[pattern] = min(start, self._starts.get(pattern, start))

    def remove(self, patterns: Iterable[str]) -> None:
        """Give up patterns; one that is not there is no error."""
        for pattern in patterns:
            self._starts.pop(pattern, None)
