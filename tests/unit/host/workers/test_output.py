"""What workers print, as lines."""

from __future__ import annotations

import pytest

from service.host.workers.output import OutputLines


class Lines:
    def __init__(self, line_bytes: int = 10) -> None:
        self.got: list[tuple[str, bytes]] = []
        self.requests: list[str | None] = []
        self.output = OutputLines(line_bytes, self._take)

    def _take(self, level: str, line: bytes, request: str | None) -> None:
        self.got.append((level, line))
        self.requests.append(request)

    def feed(self, *parts: bytes) -> list[tuple[str, bytes]]:
        for part in parts:
            self.output.feed(part)
        got, self.got = self.got, []
        return got


def test_lines_come_whole_however_they_are_cut() -> None:
    lines = Lines()
    assert lines.feed(b"a\nb") == [("info", b"a")]
    assert lines.feed(b"c\n\n") == [("info", b"bc"), ("info", b"")]


def test_the_last_line_needs_no_end() -> None:
    lines = Lines()
    assert lines.feed(b"a") == []
    assert lines.feed(b"") == [("info", b"a")]
    assert lines.feed(b"") == []


def test_a_line_without_end_is_not_kept_for_ever() -> None:
    lines = Lines(line_bytes=10)
    got = lines.feed(*[b"x" * 4] * 100, b"")
    assert b"".join(line for _, line in got) == b"x" * 400
    assert len(got) > 10


@pytest.mark.parametrize(
    ("line", "level"),
    [(b"<7>x", "debug"), (b"<6>x", "info"), (b"<4>x", "warning"), (b"<3>x", "error"), (b"<2>x", "critical")],
)
def test_levels(line: bytes, level: str) -> None:
    assert Lines().feed(line + b"\n") == [(level, b"x")]


@pytest.mark.parametrize("line", [b"<x>y", b"<9>y", b"<", b"<4", b"4>y"])
def test_what_only_looks_like_a_level(line: bytes) -> None:
    [(level, _)] = Lines().feed(line + b"\n")
    assert level == "info"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"<;4f1c-17>x", ("info", b"x", "4f1c-17")),
        (b"<;4f1c-17><3>x", ("error", b"x", "4f1c-17")),
        (b"<;4f1c-17>", ("info", b"", "4f1c-17")),
        (b"<;a><;b>x", ("info", b"<;b>x", "a")),
        (b"<;" + b"a" * 128 + b">" + b"x" * 300, ("info", b"x" * 300, "a" * 128)),
        # None of these is an id, so that all of it is what the plugin printed.
        (b"<;" + b"a" * 129 + b">x", ("info", b"<;" + b"a" * 129 + b">x", None)),
        (b"<;>x", ("info", b"x", None)),  # as of any level that is none
        (b"<;a b>x", ("info", b"<;a b>x", None)),
        (b"<;\xff>x", ("info", b"<;\xff>x", None)),
        (b"<;a", ("info", b"<;a", None)),
        (b"<3><;a>x", ("error", b"<;a>x", None)),
    ],
)
def test_a_line_says_for_which_request_it_is(line: bytes, expected: tuple[str, bytes, str | None]) -> None:
    lines = Lines(line_bytes=1000)
    [(level, text)] = lines.feed(line + b"\n")
    assert (level, text, lines.requests[-1]) == expected
