"""What the event loop says again and again is logged now and then."""

from __future__ import annotations

import errno
from typing import Any

from structlog.testing import capture_logs

from service.loop_errors import LoopErrors


class Loop:
    """As much of a loop as is asked for."""

    def __init__(self) -> None:
        self.now = 0.0
        self.passed_on: list[dict[str, Any]] = []

    def time(self) -> float:
        return self.now

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.passed_on.append(context)


def test_no_descriptors_are_told_once_a_minute() -> None:
    loop, subject = Loop(), LoopErrors()
    context = {"exception": OSError(errno.EMFILE, "Too many open files"), "socket": object()}
    with capture_logs() as logs:
        for second in range(130):
            loop.now = float(second)
            for _ in range(100):
                subject(loop, context)  # type: ignore[arg-type]  # a fake
    assert [one["event"] for one in logs] == ["server.not_accepting"] * 3
    assert "ulimit -n" in logs[0]["remedy"]
    assert loop.passed_on == []


def test_all_else_goes_on_as_it_is() -> None:
    loop, subject = Loop(), LoopErrors()
    contexts: list[dict[str, Any]] = [{"message": "x"}, {"exception": OSError(errno.EMFILE, "x")}]
    for context in contexts:
        subject(loop, context)  # type: ignore[arg-type]
    assert loop.passed_on == contexts
