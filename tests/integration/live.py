"""A client of a running server: HTTP, and one WebSocket whose events are kept and can be waited for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import aiohttp

from tests.integration.server_process import ServerProcess, environment, running_server

T = TypeVar("T")
UNTIL_S = 15.0
# Longer than a failure or a disappearance is held back, so that what is to come has come.
QUIET_S = 0.4
ANNOUNCEMENTS = frozenset({"loading", "installing"})


class Seen(NamedTuple):
    """One event as it came: `kind` is the last part of its type."""

    kind: str
    id: str
    data: dict[str, Any]
    seq: int | None
    type: str

    @property
    def plugin(self) -> dict[str, Any]:
        """P, as it was at the event."""
        plugin: dict[str, Any] = self.data["plugin"]
        return plugin


def _why(seen: Seen) -> str:
    """What an event says that went wrong."""
    error = (seen.data.get("plugin") or {}).get("error") or seen.data.get("error")
    return f" ({error})" if seen.kind in ("failed", "crashed", "degraded") and error else ""


class Answer(NamedTuple):
    """What a request came to."""

    status: int
    body: Any
    headers: dict[str, str]


class Live:
    """See the module.

    Attributes:
        events: everything that came, in order.
    """

    def __init__(self, server: ServerProcess, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.home = server.home
        self.plugins = server.home / "plugins"
        self.events: list[Seen] = []
        self._http = http
        self._came = asyncio.Event()
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    # -- requests ------------------------------------------------------------------------------------------------

    async def request(self, method: str, path: str, **options: Any) -> Answer:
        """One request; the body is its JSON, or text where it is none."""
        async with self._http.request(method, self.server.url + path, **options) as response:
            text = await response.text()
            try:
                body = json.loads(text)
            except ValueError:
                body = text
            return Answer(response.status, body, dict(response.headers))

    async def get(self, path: str, **options: Any) -> Answer:
        """GET."""
        return await self.request("GET", path, **options)

    async def post(self, path: str, json: Any = None, **options: Any) -> Answer:
        """POST."""
        return await self.request("POST", path, json=json, **options)

    async def plugin(self, id: str) -> dict[str, Any]:
        """P of one plugin that is there."""
        answer = await self.get(f"/api/plugins/{id}")
        assert answer.status == 200, answer
        plugin: dict[str, Any] = answer.body
        return plugin

    async def listed(self) -> dict[str, dict[str, Any]]:
        """Every plugin by id, from `GET /api/plugins`, in the language of the events."""
        body = (await self.get("/api/plugins", headers={"Accept-Language": "zh"})).body
        return {one["id"]: one for type_ in ("search", "download", "parser") for one in body[type_]}

    async def search(self, name: str, keyword: str = "x") -> Answer:
        """Call a search plugin."""
        return await self.get(f"/api/search/{name}", params={"keyword": keyword})

    async def answer(self, name: str, keyword: str = "x") -> str:
        """The title of a search plugin's first result."""
        found = await self.search(name, keyword)
        assert found.status == 200, found
        title: str = found.body["results"][0]["title"]
        return title

    # -- events --------------------------------------------------------------------------------------------------

    async def subscribe(self, *topics: str, since: dict[str, str] | None = None) -> dict[str, Any]:
        """Subscribe the socket; the result of the call."""
        return await self.rpc("subscribe", {"topics": list(topics)} | ({"since": since} if since else {}))

    async def rpc(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """A JSON-RPC call over the socket; its result."""
        assert self._socket is not None
        number = len(self._replies) + 1
        future = self._replies[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        async with asyncio.timeout(UNTIL_S):
            reply = await future
        result: dict[str, Any] = reply["result"]
        return result

    async def until(self, predicate: Callable[[Sequence[Seen]], T], timeout: float = UNTIL_S) -> T:
        """Wait until a predicate of all events so far holds; what it gave then.

        Raises:
            AssertionError: it does not come to hold; with the events that came.
        """
        try:
            async with asyncio.timeout(timeout):
                while not (found := predicate(self.events)):
                    self._came.clear()
                    await self._came.wait()
                return found
        except TimeoutError:
            came = [f"{one.kind} {one.id}{_why(one)}" for one in self.events]
            raise AssertionError(f"within {timeout:g} s there came only {came}") from None

    async def event(self, kind: str, id: str, *, after: int = 0, timeout: float = UNTIL_S) -> Seen:
        """Wait for an event of a plugin.

        Args:
            kind: like `reloaded`.
            id: the plugin's, like `search/demo`.
            after: how many events there were before it can count.
            timeout: seconds.
        """

        def find(events: Sequence[Seen]) -> Seen | None:
            return next((one for one in events[after:] if (one.kind, one.id) == (kind, id)), None)

        found = await self.until(find, timeout)
        assert found is not None
        return found

    async def quiet(self, seconds: float = QUIET_S) -> None:
        """Wait until nothing has come for so long: the only way to see that nothing more does."""
        while True:
            self._came.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._came.wait()
            except TimeoutError:
                return

    def kinds(self, after: int = 0) -> list[str]:
        """What came, short: `reloaded search/demo`."""
        return [f"{one.kind} {one.id}" for one in self.events[after:]]

    def final(self, after: int = 0) -> list[str]:
        """What came of plugins without announcements and drains, sorted: `reloaded search/demo`."""
        return sorted(
            f"{one.kind} {one.id}"
            for one in self.events[after:]
            if one.type.startswith("plugbay.plugin.") and one.kind not in ANNOUNCEMENTS
        )

    def mirror(self) -> dict[str, dict[str, Any]]:
        """Every plugin by id, as one knows them who has only the events."""
        known: dict[str, dict[str, Any]] = {}
        for one in self.events:
            if "plugin" not in one.data:
                continue
            if one.kind == "unloaded":
                known.pop(one.id, None)
            else:
                known[one.id] = one.plugin
        return known

    async def run(self) -> None:
        """Keep what the socket brings, until it ends."""
        assert self._socket is not None
        async for message in self._socket:
            frame = json.loads(message.data)
            if "jsonrpc" in frame:
                if (future := self._replies.get(frame["id"])) is not None and not future.done():
                    future.set_result(frame)
                continue
            seq = int(frame["seq"]) if "seq" in frame else None
            if frame["type"] == "plugbay.heartbeat":
                continue
            subject = frame["subject"].removeprefix("plugins/")
            self.events.append(
                Seen(frame["type"].rpartition(".")[2], subject, frame["data"], seq, frame["type"])
            )
            self._came.set()

    async def connect(self) -> None:
        """Open the socket."""
        self._socket = await self._http.ws_connect(self.server.url + "/api/ws", max_msg_size=0)


def without_passing(plugins: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The plugins without what is only as of an event."""
    passing = {"running_calls", "draining"}
    return {
        id: {name: value for name, value in plugin.items() if name not in passing}
        for id, plugin in plugins.items()
    }


@asynccontextmanager
async def connected(server: ServerProcess, *topics: str) -> AsyncIterator[Live]:
    """A client of a server, subscribed from now on, or from the start of the log where that is still there."""
    headers = {"Accept-Language": "en"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=30)) as http:
        live = Live(server, http)
        await live.connect()
        reader = asyncio.create_task(live.run(), name="events")
        try:
            epoch = (await live.get("/api/plugins")).body["epoch"]
            await live.subscribe(*(topics or ("plugins/**",)), since={"epoch": epoch, "seq": "0"})
            yield live
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader


async def ready(live: Live) -> None:
    """Wait until the first scan is through."""
    async with asyncio.timeout(UNTIL_S):
        while (await live.get("/readyz")).status != 200:
            await asyncio.sleep(0.02)


@asynccontextmanager
async def live_server(home: Path, *arguments: str, **environ: str) -> AsyncIterator[Live]:
    """A server of its own with this home, ready, and a client of it."""
    (home / "plugins").mkdir(parents=True, exist_ok=True)
    async with (
        running_server(home, *arguments, environ=environment(**environ)) as server,
        connected(server) as live,
    ):
        await ready(live)
        yield live


SEARCH = """\
from service.sdk import SearchPlugin, SearchResult
{imports}

class {cls}(SearchPlugin):
    name = "{name}"
    version = "{version}"
    description = "answers {says}"

    async def search(self, keyword, **kwargs):
        return [SearchResult(title={expression}, url=keyword)]
"""


def search_plugin(
    name: str = "demo",
    says: str = "1",
    *,
    cls: str = "Demo",
    imports: str = "",
    expression: str | None = None,
) -> str:
    """The text of a search plugin that answers `says`, or what an expression gives."""
    return SEARCH.format(
        name=name, cls=cls, version=says, says=says, imports=imports, expression=expression or repr(says)
    )


def write(path: Path, text: str) -> Path:
    """Write a file in place, its folders too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def save(path: Path, text: str) -> Path:
    """Write a file as most editors do: another one, renamed over it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text)
    return temporary.rename(path)


async def only(live: Live, *expected: str) -> None:
    """See these events end the changes, each once, nothing more follow, and the server be as the events say."""
    await live.until(lambda _: len(live.final()) >= len(expected))
    await live.quiet()
    assert live.final() == sorted(expected), live.kinds()
    listed = without_passing(await live.listed())
    known = without_passing(live.mirror())
    assert {id: listed[id] for id in known} == known


async def place(live: Live, files: dict[str, str]) -> None:
    """Have these files, and every plugin of them tried once; no event so far."""
    for path, text in files.items():
        write(live.plugins / path, text)
    count = sum(path.endswith(("_plugin.py", "_plugin/__init__.py")) for path in files)
    await live.until(lambda _: len(live.final()) >= count)
    await live.quiet()
    live.events.clear()


async def clear(live: Live) -> int:
    """Have no plugin at all, then forget what came; how many events there were."""
    await asyncio.to_thread(_empty, live.plugins)
    await live.until(lambda events: not live.mirror())
    await live.quiet(0.2)
    assert not await live.listed()
    live.events.clear()
    return 0


def _empty(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
