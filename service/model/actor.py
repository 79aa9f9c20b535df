"""Who has something done: the client of the request that is being answered, for whatever is told or recorded of it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Literal

import msgspec

Via = Literal["bearer", "cookie", "loopback"]


class Actor(msgspec.Struct, frozen=True):
    """The client of a request.

    Attributes:
        address: its IP address; behind a trusted proxy, that of the client itself.
        via: by what it was let in, null where it was not, and may do only what anybody may.
    """

    address: str
    via: Via | None


# Set by the door for each request, and inherited by the tasks that a request begins. A task that outlives requests
# sets it anew for each thing that it does.
acting: ContextVar[Actor | None] = ContextVar("acting", default=None)
