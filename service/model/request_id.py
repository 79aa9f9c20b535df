"""What a request is called: in its answer, in every line that is logged for it, in the logs of the plugins it calls."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar

MAX_CHARS = 128

# No quotes, no spaces, nothing that a terminal, a shell or a log's reader takes for more than a name.
_FORM = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._:/@+-]{{0,{MAX_CHARS - 1}}}")
_RPC_CHARS = 64

# Inherited by the tasks that a request begins. A task that outlives requests sets it anew for each thing that it does.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
# Which frame of a live connection is being carried out, whose own id that of its request is.
rpc_id: ContextVar[str | None] = ContextVar("rpc_id", default=None)

_start = secrets.token_hex(4)
_numbers = itertools.count(1)


def new_request_id() -> str:
    """An id that no other request of this server has, nor one of another start."""
    return f"{_start}-{next(_numbers)}"


def is_request_id(text: str) -> bool:
    """Whether this can be an id: up to 128 letters, digits and `. _ : / @ + -`, not a sign first."""
    return _FORM.fullmatch(text) is not None


def taken_or_new(told: str | None) -> str:
    """The id that a client names, where it is one; else a new one."""
    if told is not None and is_request_id(told := told.strip()):
        return told
    return new_request_id()


def for_no_request() -> Context:
    """For what outlives the request in which it is set up, such as what is to be done when a process ends."""
    return Context()


@contextmanager
def named(id: str | None) -> Iterator[None]:
    """What is done within, and begun, is done for the request of that id."""
    token = request_id.set(id)
    try:
        yield
    finally:
        request_id.reset(token)


@contextmanager
def carrying_out(id: str | int | float | None) -> Iterator[None]:
    """What is done within is done for the JSON-RPC request of that id; of a long one only the beginning is told."""
    token = rpc_id.set(None if id is None else str(id)[:_RPC_CHARS])
    try:
        yield
    finally:
        rpc_id.reset(token)
