"""What workers print, cut into lines and levels for the plugin's log."""

from __future__ import annotations

from collections.abc import Callable

from service.model.request_id import MAX_CHARS, is_request_id

# sd-daemon(3): a line may begin with `<N>`, N being a priority of syslog(3).
_LEVELS = {b"0": "critical", b"1": "critical", b"2": "critical", b"3": "error", b"4": "warning", b"5": "info"}
_LEVELS |= {b"6": "info", b"7": "debug"}
_PRINTED = "info"
_MARK = b"<;"
_MARK_BYTES = len(_MARK) + MAX_CHARS + 1
# Of one read; who prints more than this at once is not read by anybody, and each line costs the loop its time.
_LINES_AT_ONCE = 512


class OutputLines:
    """Takes what one worker prints and hands on whole lines.

    Args:
        line_bytes: a longer line is handed on in parts.
        on_line: takes level, line, and the id of the request that the line says it was written for, if it says so. That
            is the plugin's word: it has the form of an id, but may be another's.
    """

    def __init__(self, line_bytes: int, on_line: Callable[[str, bytes, str | None], object]) -> None:
        self._line_bytes = line_bytes
        self._on_line = on_line
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take some output; none at all means that no more will come."""
        if not data:
            rest, self._rest = self._rest, b""
            if rest:
                self._emit(rest)
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines[:_LINES_AT_ONCE]:
            self._emit(line)
        if (left := len(lines) - _LINES_AT_ONCE) > 0:
            self._on_line("warning", f"略去 {left} 行 / {left} lines left out".encode(), None)
        if len(self._rest) > self._line_bytes:
            rest, self._rest = self._rest, b""
            self._emit(rest)

    def _emit(self, line: bytes) -> None:
        level, request = _PRINTED, None
        if len(line) >= 3 and line[:1] == b"<":
            if line[1:2] == b";":
                request, line = _marked(line)
            if line[:1] == b"<" and line[2:3] == b">":
                level, line = _LEVELS.get(line[1:2], _PRINTED), line[3:]
        self._on_line(level, line, request)


def _marked(line: bytes) -> tuple[str | None, bytes]:
    """The id that a line begins with, see `service.worker.output`, and the rest; all of it where that is none."""
    told, end, rest = line[len(_MARK) : _MARK_BYTES].partition(b">")
    id = told.decode("ascii", "replace")
    if not end or not is_request_id(id):
        return None, line
    return id, rest + line[_MARK_BYTES:]
