"""What plugins print and log, as it leaves their process."""

from __future__ import annotations

import contextvars
import os
from collections.abc import Iterator

import pytest

from service.worker.output import REQUEST, MarkedLines


class Pipe:
    """What is written to `lines` comes out of `read`."""

    def __init__(self) -> None:
        self.end, self.fd = os.pipe()
        self.lines = MarkedLines(self.fd)

    def read(self) -> str:
        self.lines.flush()
        return os.read(self.end, 65536).decode()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.lines.close()
    os.close(made.fd)
    os.close(made.end)


def test_each_line_of_a_call_is_marked_however_it_is_written(pipe: Pipe) -> None:
    def call() -> None:
        REQUEST.set("r-1")
        print("one", 1, file=pipe.lines)
        print("two\nlines", file=pipe.lines)
        assert pipe.lines.write("in ") == 3
        pipe.lines.write("parts")
        print(file=pipe.lines)
        print("no line at its end", end="", file=pipe.lines)

    print("before", file=pipe.lines)
    contextvars.copy_context().run(call)
    print("goes on", file=pipe.lines)
    print("after", file=pipe.lines)
    assert pipe.read().splitlines() == [
        "before",
        "<;r-1>one 1",
        "<;r-1>two",
        "<;r-1>lines",
        "<;r-1>in parts",
        "<;r-1>no line at its endgoes on",
        "after",
    ]


def test_what_is_no_text_is_refused_as_ever_and_what_cannot_be_encoded_is_spelt(pipe: Pipe) -> None:
    with pytest.raises(TypeError):
        pipe.lines.write(b"x")  # type: ignore[arg-type]
    assert pipe.lines.write("") == 0
    print("\ud800", file=pipe.lines)
    assert pipe.read() == "\\ud800\n"
