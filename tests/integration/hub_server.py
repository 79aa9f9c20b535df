"""A server with nothing but live events, and a state that its events tell of; over real sockets, in this process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from service.api.events import events_handler
from service.api.keys import ACTOR, EVENT_LOG, HUB, TOKEN_NEEDED
from service.api.problems import problem_of
from service.api.websocket import say_goodbye, websocket_handler
from service.errors import PlugbayError
from service.live.event_log import EventLog
from service.live.hub import Hub
from service.live.limits import LiveLimits
from service.model.actor import Actor
from service.model.events import Event


class Server:
    """See the module."""

    def __init__(self, limits: LiveLimits, *, max_events: int, remote: str | None) -> None:
        self.log = EventLog(max_events=max_events, max_bytes=32 * 1024 * 1024, node="test")
        self.hub = Hub(self.log, limits)
        self.state: dict[str, int] = {}
        self.history: list[tuple[int, str]] = []
        self.port = 0
        self._remote = remote
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Of the WebSocket."""
        return f"http://127.0.0.1:{self.port}/api/ws"

    @property
    def stream_url(self) -> str:
        """Of the server-sent events."""
        return f"http://127.0.0.1:{self.port}/api/events"

    async def start(self) -> None:
        @web.middleware
        async def problems(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            if self._remote is not None:
                request = request.clone(remote=self._remote)
                request._match_info = await request.app.router.resolve(request)  # type: ignore[assignment]
                request.match_info.add_app(app)
            request[ACTOR], request[TOKEN_NEEDED] = Actor(request.remote or "", "loopback"), False
            try:
                return await handler(request)
            except PlugbayError as error:
                return problem_of(request, error)

        app = web.Application(middlewares=[problems])
        app[EVENT_LOG], app[HUB] = self.log, self.hub
        app.router.add_get("/api/ws", websocket_handler)
        app.router.add_get("/api/events", events_handler)
        app.on_shutdown.append(say_goodbye)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=5, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def change(self, subject: str) -> int:
        """Change the state and publish it, in one step."""
        self.state[subject] = self.state.get(subject, 0) + 1
        seq = self.log.publish(Changed(name=subject, value=self.state[subject]))
        self.history.append((seq, subject))
        return seq

    def snapshot(self) -> dict[str, Any]:
        return {"state": dict(self.state), "epoch": self.log.epoch, "seq": str(self.log.head)}


class Changed(Event, frozen=True, kw_only=True):
    name: str
    value: int
    padding: str = ""

    @property
    def type(self) -> str:
        return "plugbay.test.changed"

    @property
    def subject(self) -> str:
        return self.name

    @property
    def data(self) -> Any:
        return {"value": self.value, "padding": self.padding}


class Progress(Changed, frozen=True, kw_only=True):
    passing = True

    @property
    def type(self) -> str:
        return "plugbay.task.progress"

    @property
    def conflate_key(self) -> str | None:
        return self.name


Start = Callable[..., Awaitable[Server]]


@asynccontextmanager
async def servers() -> AsyncIterator[Start]:
    """What starts servers, with the limits that it is given; they end with the context."""
    async with contextlib.AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(asyncio.TaskGroup())

        async def start_server(
            *, max_events: int = 10_000, remote: str | None = None, **limits: Any
        ) -> Server:
            server = Server(LiveLimits(**limits), max_events=max_events, remote=remote)
            await server.start()
            tasks.create_task(server.hub.run())
            # Twice, as the application does at its end.
            stack.push_async_callback(server.hub.close)
            stack.push_async_callback(server.stop)
            return server

        yield start_server
