"""A server with what is around it: its files, an address to install from, a package registry, and its clients."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.integration.server_process import ServerProcess, environment, running_server
from tests.load import pressure
from tests.load.facts import Config
from tests.load.followers import Follower, Plugins, Returning, Staying, Streaming, by_id
from tests.registry import Registry

PATIENCE_S = 20.0
# Longer than a failure or a disappearance is held back: what may come or not has come by then.
QUIET_S = 0.5


class Answer(NamedTuple):
    """What a request came to."""

    status: int
    body: Any

    @property
    def code(self) -> str | None:
        """Of a problem."""
        return self.body.get("code") if isinstance(self.body, dict) else None


class Flight(NamedTuple):
    """A call under way: what it is to give, and what lets it go on."""

    about: str
    expected: str
    answer: asyncio.Task[str]
    go: asyncio.Event


class World:
    """See the module.

    Attributes:
        requests: how many were made.
        apart: the file and the id of a plugin that is there all the time and of which the model knows nothing.
        begun: the position in the events at which all was empty.
        patience_s: how long to wait for what has to come.
    """

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.plugins = self.home / "plugins"
        self.apart = (f"search/{pressure.NAME}_plugin.py", f"search/{pressure.NAME}")
        self.offered: dict[str, str] = {}
        self.requests = 0
        self.begun = 0
        self.patience_s = PATIENCE_S
        self._folder = folder
        self._stack = AsyncExitStack()
        self._gates: dict[str, asyncio.Event] = {}
        self._arrived: dict[str, asyncio.Event] = {}

    async def open(self) -> None:
        """Start everything."""
        self.plugins.mkdir(parents=True)
        self.put(self.apart[0], pressure.TEXT, how="in place")
        registry = self._stack.enter_context(Registry())
        for version in ("1.0", "2.0"):
            registry.add("greeting", version)
        app = web.Application()
        app.router.add_get("/wait/{token}", self._wait)
        app.router.add_get("/{path:.*}", self._offer)
        self._origin = await self._stack.enter_async_context(TestServer(app, host="127.0.0.1"))
        environ = environment(
            **registry.environment(self._folder / "cache"),
            UV_NO_INDEX="0",
            # The log of events is full, and so as large as it gets, long before a run is over.
            PLUGBAY_LIVE__LOG_EVENTS="2000",
            PLUGBAY_LIMITS__SEARCH_S="300",
            PLUGBAY_LIMITS__CALL_S="300",
        )
        self.server: ServerProcess = await self._stack.enter_async_context(
            running_server(self.home, environ=environ)
        )
        self._http = await self._stack.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60))
        )
        async with asyncio.timeout(PATIENCE_S):
            while (await self.request("GET", "/readyz")).status != 200:
                await asyncio.sleep(0.02)
        self.staying = Staying(self._http, self.server.url)
        self.streaming = Streaming(self._http, self.server.url)
        self.followers: tuple[Follower, ...] = (
            self.staying,
            Returning(self._http, self.server.url),
            self.streaming,
        )
        for follower in self.followers:
            await follower.begin()
            await follower.look()

    async def close(self) -> None:
        """End everything."""
        for follower in self.followers:
            await follower.close()
        await self._stack.aclose()

    # -- requests ------------------------------------------------------------------------------------------------

    async def request(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        """One request, with a body of JSON where there is one."""
        self.requests += 1
        if body is not None:
            options["json"] = body
        async with self._http.request(method, self.server.url + path, **options) as response:
            text = await response.text()
            etag = response.headers.get("ETag")
        if etag is not None:
            return Answer(response.status, {"text": text, "etag": etag})
        try:
            return Answer(response.status, json.loads(text))
        except ValueError:
            return Answer(response.status, text)

    async def listed(self) -> Plugins:
        """Every plugin by id, without the one that is apart."""
        return self.known(by_id((await self.request("GET", "/api/plugins")).body))

    def known(self, plugins: Plugins) -> Plugins:
        """Those of these plugins that the model knows of."""
        return {id: plugin for id, plugin in plugins.items() if id != self.apart[1]}

    async def stored(self) -> Config:
        """The configuration that is in force."""
        config: Config = (await self.request("GET", "/api/config/export")).body["config"]
        return config

    async def call(self, type_: str, name: str, wish: str = "x") -> str:
        """What a call of a plugin gives, or the code of its refusal."""
        if type_ == "search":
            answer = await self.request("GET", f"/api/search/{quote(name)}", params={"keyword": wish})
            return answer.code or str(answer.body["results"][0]["title"])
        answer = await self.request("POST", "/api/parse", {"url": wish, "plugins": [name]})
        if answer.status == 200 and answer.body["results"]:
            return str(answer.body["results"][0]["name"])
        return answer.code or "refused"

    async def begin_call(self, type_: str, name: str, expected: str) -> Flight:
        """Begin a call that goes on until it is let go; it has reached the plugin when this returns."""
        token = str(len(self._gates))
        go, arrived = self._gates[token], self._arrived[token] = asyncio.Event(), asyncio.Event()
        answer = asyncio.create_task(self.call(type_, name, self.address(f"wait/{token}")))
        async with asyncio.timeout(PATIENCE_S):
            there = asyncio.create_task(arrived.wait())
            await asyncio.wait((answer, there), return_when=asyncio.FIRST_COMPLETED)
            there.cancel()
        if answer.done():
            raise AssertionError(f"the call of {type_}/{name} came back at once, with {answer.result()}")
        return Flight(f"{type_}/{name}", expected, answer, go)

    # -- what the server reads -----------------------------------------------------------------------------------

    def address(self, path: str) -> str:
        """Where something is offered."""
        return str(self._origin.make_url("/" + path))

    def put(self, path: str, text: str, *, how: str) -> None:
        """Write a file below the plugin folder: `in place`, or as another one that is renamed over it."""
        file = self.plugins / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if how == "in place":
            file.write_text(text)
            return
        beside = file.with_name(f".{file.name}.swp") if how == "beside" else self._folder / "elsewhere"
        beside.write_text(text)
        beside.rename(file)

    def put_folder(self, path: str, files: Mapping[str, str]) -> None:
        """Have a folder of files below the plugin folder, all at once."""
        folder = self._folder / "elsewhere.d"
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
        (self.plugins / path).parent.mkdir(parents=True, exist_ok=True)
        folder.rename(self.plugins / path)

    def remove(self, *paths: str) -> None:
        """Delete files, and have folders gone at once."""
        for target in (self.plugins / path for path in paths):
            if target.is_dir():
                shutil.rmtree(target.rename(self._folder / "gone.d"))
            else:
                target.unlink()

    def put_config(self, text: str) -> None:
        """Write `config/plugins.json`."""
        self._config.parent.mkdir(parents=True, exist_ok=True)
        self._config.write_text(text)

    @property
    def config_text(self) -> str:
        """What `config/plugins.json` holds."""
        return self._config.read_text() if self._config.exists() else "{}"

    @property
    def files(self) -> dict[str, str]:
        """Every file below the plugin folder that is not hidden."""
        return {
            str(file.relative_to(self.plugins)): file.read_text()
            for file in self.plugins.rglob("*")
            if file.suffix in (".py", ".txt")
            and file.name[0] != "."
            and file.name != Path(self.apart[0]).name
        }

    async def clear(self) -> None:
        """Have no plugin, no helper and no configuration, and nothing that is still to come."""
        for path in self.files:
            (self.plugins / path).unlink()
        for folder in self.plugins.glob("*/*/"):
            shutil.rmtree(folder)
        self.put_config("{}")
        self.offered.clear()
        await self.until(self._is_empty, lambda: f"there is still {list(self.known(self.staying.plugins))}")
        await self.quiet()
        for follower in self.followers:
            await follower.look()
            follower.events.clear()
            follower.restarts = 0
        self.begun = max(follower.seq for follower in self.followers)

    async def until(self, holds: Callable[[], Awaitable[bool]], otherwise: Callable[[], str]) -> None:
        """Wait until something holds.

        Raises:
            AssertionError: it does not within `patience_s`; what `otherwise` says.
        """
        try:
            async with asyncio.timeout(self.patience_s):
                while not await holds():
                    self.staying.came.clear()
                    try:
                        async with asyncio.timeout(0.02):
                            await self.staying.came.wait()
                    except TimeoutError:
                        pass
        except TimeoutError:
            raise AssertionError(otherwise()) from None

    async def quiet(self) -> None:
        """Wait until nothing has come for a while."""
        count = -1
        while count != len(self.staying.events):
            count = len(self.staying.events)
            await asyncio.sleep(QUIET_S)

    # -- small parts ---------------------------------------------------------------------------------------------

    @property
    def _config(self) -> Path:
        return self.home / "config" / "plugins.json"

    async def _is_empty(self) -> bool:
        return not self.known(self.staying.plugins) and not await self.stored()

    async def _wait(self, request: web.Request) -> web.Response:
        token = request.match_info["token"]
        self._arrived[token].set()
        await self._gates[token].wait()
        return web.Response(text="go on")

    async def _offer(self, request: web.Request) -> web.Response:
        text = self.offered.get(request.match_info["path"])
        return (
            web.Response(text=text, content_type="text/x-python")
            if text is not None
            else web.Response(status=404)
        )


def config_text(config: Config) -> str:
    """As somebody would write it."""
    return json.dumps(config, ensure_ascii=False, indent=4)
