"""What a round of generated cases found: all of it is told at once, with how each case is made again."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from service.model.plugin import LoadError, Stage
from service.model.text import Text
from tests.rounds import SEED

TOLD = 15
# Processor time: what takes longer grows faster than its text.
SLOW_S = 5.0


class Findings:
    """Counts the cases of a round and keeps those that went wrong."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._wrong: list[str] = []
        self._counts: Counter[str] = Counter()

    def count(self, kind: str, number: int = 1) -> None:
        """Count cases of a kind, for the line that a full round prints."""
        self._counts[kind] += number

    def add(self, case: str, what: str) -> None:
        """Something went wrong."""
        self._wrong.append(f"{what}\n    {case[:1500]}")

    @contextmanager
    def watching(self, case: str) -> Iterator[None]:
        """Run a case: no exception may come out of it, and it may not take long."""
        began = time.process_time()
        try:
            yield
        except Exception as error:
            self.add(case, "".join(traceback.format_exception(error)[-4:]).strip())
        seconds = time.process_time() - began
        if seconds > SLOW_S:
            self.add(case, f"it took {seconds:.1f} s of processor time")

    def close(self) -> None:
        """Print what was counted, and fail where anything was found."""
        counted = ", ".join(f"{kind} {number}" for kind, number in sorted(self._counts.items()))
        print(f"{self._name}: {counted}; found {len(self._wrong)} (seed {SEED})")
        told = "\n\n".join(self._wrong[:TOLD])
        assert not self._wrong, f"{len(self._wrong)} of {self._name} (PLUGBAY_SEED={SEED}):\n\n{told}"


def check_load_error(error: LoadError, lines: int) -> None:
    """Whether the error of a load says what, where and what to do, as far as can be told of any.

    Args:
        error: it.
        lines: how many the text has that it is about.
    """
    assert error.code and error.stage in Stage and error.file, error
    assert error.line is None or 1 <= error.line <= lines + 1, (error.line, lines)
    check_text(error.messages)


def check_text(text: Text) -> None:
    """Whether a message is there in both languages, can be sent, and is no exception's."""
    for one in (text.zh, text.en):
        assert one.strip() and "Traceback (most recent" not in one, one
        one.encode()
