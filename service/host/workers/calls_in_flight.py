"""Calls that a worker has not answered yet, as the server holds them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from service.wire import messages

if TYPE_CHECKING:
    from service.host.workers.channel import Channel

OnNote = Callable[[str, int, bytes], None]


class Call:
    """A call in flight: where its answer, its items and its notes go."""

    __slots__ = (
        "answer",
        "checkpoints_not_kept",
        "credit",
        "on_item",
        "on_note",
        "owed",
        "reports",
        "reports_since",
    )

    def __init__(self, answer: asyncio.Future[bytes]) -> None:
        self.answer = answer
        self.on_item: Callable[[bytes], None] | None = None
        self.credit = 0
        self.owed = 0
        self.on_note: OnNote | None = None
        self.reports = 0
        self.reports_since = 0.0
        self.checkpoints_not_kept = 0


class Running:
    """A call that may take as long as it likes, tells of itself, and is stopped when asked.

    Attributes:
        answer: its result as JSON; or `MethodRaised`, `ChannelClosed`.
    """

    def __init__(self, channel: Channel, call_id: int, call: Call) -> None:
        self._channel = channel
        self._id = call_id
        self._call = call
        self.answer = call.answer

    def stop(self, why: Literal["cancel", "pause"]) -> None:
        """Ask it to end; where it goes on for two seconds all the same, its worker is given up."""
        self._channel.cancel(self._id, why)

    def kept(self, number: int) -> None:
        """Tell it that its checkpoint of that number is kept."""
        self._call.checkpoints_not_kept -= 1
        self._channel.send({"t": messages.NOTED, "id": self._id, "n": number})

    def let_go(self) -> None:
        """Hear no more of it: it has ended, or goes on though it was told to stop."""
        self._call.on_note = None
