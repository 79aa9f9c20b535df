"""A storm of changes, and clients that are cut, stall and resume at random while it lasts."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from service.live.topics import Topics
from tests.integration.hub_server import Progress, Server

_SECONDS = 40
_SUBJECTS = [*(f"plugins/{kind}/{number}" for kind in ("search", "parser") for number in range(5)), "tasks/1"]


class Follower(ABC):
    """A client that keeps the state of the server as the events tell of it.

    Args:
        server: whose.
        topic: what it subscribes to.
        dice: when it is cut, and for how long.
        finished: set once nothing changes any more.
    """

    def __init__(self, server: Server, topic: str, dice: random.Random, finished: asyncio.Event) -> None:
        self.topics = Topics([topic])
        self.state: dict[str, int] = {}
        self.cuts = 0
        self._server = server
        self._topic = topic
        self._dice = dice
        self._finished = finished
        # How far it has come; None before it has any position.
        self._seq: int | None = None

    async def follow(self, pauses: Sequence[float]) -> None:
        """Connect again and again, after one of these pauses in seconds, until it has come to the end."""
        async with asyncio.timeout(_SECONDS):
            while not await self._connected():
                self.cuts += 1
                await asyncio.sleep(self._dice.choice(pauses))

    @abstractmethod
    async def _connected(self) -> bool:
        """One connection. True when all is over and the client has come to the head."""

    def _take_snapshot(self, snapshot: dict[str, Any]) -> None:
        self.state = self.wanted(snapshot["state"])
        self._seq = int(snapshot["seq"])

    def _take(self, event: dict[str, Any]) -> None:
        assert self._seq is not None
        seq = int(event["seq"])
        between = [
            s for s, subject in self._server.history[self._seq : seq - 1] if self.topics.matches(subject)
        ]
        assert between == [], "nothing is left out"
        self.state[event["subject"]] = event["data"]["value"]
        self._seq = seq

    def wanted(self, state: dict[str, int]) -> dict[str, int]:
        """The part of a state that its topic is about."""
        return {subject: value for subject, value in state.items() if self.topics.matches(subject)}

    def _done(self) -> bool:
        if not self._finished.is_set() or self._seq is None:
            return False
        return not any(self.topics.matches(subject) for _, subject in self._server.history[self._seq :])


async def ride_out(
    server: Server,
    made: Callable[[str, random.Random, asyncio.Event], Follower],
    topics: Sequence[str],
    *,
    seed: int,
    gusts: int,
    calm: Sequence[float],
    pauses: Sequence[float],
) -> int:
    """Have a follower for each topic live through a storm, and see that each ends with the state of the server.

    Args:
        server: where it storms.
        made: makes a follower of a topic.
        topics: of the followers.
        seed: of all chance.
        gusts: how often a few subjects change at once.
        calm: seconds between two gusts, one of these.
        pauses: as for `follow`.

    Returns:
        how often followers were cut.
    """
    dice = random.Random(seed)
    finished = asyncio.Event()

    async def storm() -> None:
        for _ in range(gusts):
            for _ in range(dice.randrange(8)):
                server.change(dice.choice(_SUBJECTS))
            if dice.random() < 0.3:
                server.log.publish(Progress(name="tasks/1", value=dice.randrange(100)))
            await asyncio.sleep(dice.choice(calm))
        finished.set()

    async with asyncio.TaskGroup() as tasks:
        followers = [
            made(topic, random.Random(seed * 100 + number), finished) for number, topic in enumerate(topics)
        ]
        for follower in followers:
            tasks.create_task(follower.follow(pauses))
        tasks.create_task(storm())
    for follower in followers:
        assert follower.state == follower.wanted(server.state)
    return sum(follower.cuts for follower in followers)
