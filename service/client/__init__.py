"""A client of a running server, typed throughout; the command line is made with it.

    async with Client("http://127.0.0.1:8000") as client:
        plugins = await client.plugins()
        async for event in client.events(["plugins/**"], since=Position.of(plugins)):
            print(event["type"], event["subject"])

Answers are the dictionaries that the API gives, with their shapes known to type checkers (`service.client.shapes`).
What is refused raises `ServerRefused` with `status`, `code`, `detail` and `fields`; where there is no answer,
`ServerUnreachable` is raised. `docs/recipes.md` shows what it is used for.
"""

from __future__ import annotations

from service.client.client import Client
from service.client.errors import ClientError, ServerRefused, ServerUnreachable
from service.client.feed import RECONNECT_MIN_S, Connected, Disconnected, Happened, Position
from service.client.following import TaskView
from service.client.transport import DEFAULT_URL

__all__ = [
    "DEFAULT_URL",
    "RECONNECT_MIN_S",
    "Client",
    "ClientError",
    "Connected",
    "Disconnected",
    "Happened",
    "Position",
    "ServerRefused",
    "ServerUnreachable",
    "TaskView",
]
