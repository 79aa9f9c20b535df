"""A rehearsal goes through and leaves the process as it was."""

from __future__ import annotations

import signal
import sys

import pytest

from service.worker import linux
from service.worker.rehearsal import rehearse


@pytest.mark.parametrize("at_length", [False, True])
def test_it_leaves_nothing_behind(at_length: bool) -> None:
    rehearse(at_length=at_length)  # what it imports by itself stays
    before = list(sys.meta_path), set(sys.modules), signal.getsignal(signal.SIGALRM)
    linux.keep_heap()
    rehearse(at_length=at_length)
    linux.trim_heap()
    assert (list(sys.meta_path), set(sys.modules), signal.getsignal(signal.SIGALRM)) == before
