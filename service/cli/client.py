"""A client of a running server: its routes as methods, its events as an iterator that survives cuts."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec

from service.cli.language import LANGUAGE, say

CONNECT_TIMEOUT_S = 5.0
# Longer than the server's own deadlines, which say more than a deadline here could.
ANSWER_TIMEOUT_S = 180.0
HEARTBEAT_S = 20.0
RECONNECT_MIN_S = 0.2
RECONNECT_MAX_S = 5.0


class ClientError(Exception):
    """What a command ends with; the text says the cause and the remedy."""


class ServerUnreachable(ClientError):
    """There is no answer from the address."""


class ServerRefused(ClientError):
    """The server answered with a problem; `problem` is its object and `status` the HTTP status."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or f"HTTP {status}"))
        self.status = status
        self.problem = problem


class Position(NamedTuple):
    """A place in the server's event log."""

    epoch: str
    seq: str


@dataclass(frozen=True)
class Connected:
    """The feed runs. `recovered` is false where what happened before cannot be told: fetch everything anew."""

    recovered: bool


@dataclass(frozen=True)
class Disconnected:
    """The feed was cut and is being taken up again by itself."""

    reason: str


@dataclass(frozen=True)
class Happened:
    """One event, as CloudEvents JSON."""

    event: dict[str, Any]


class Client:
    """Use it as an async context manager.

    Args:
        url: where the server is, such as `http://127.0.0.1:8000`.
        token: what a server that is not on loopback asks for.
    """

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Accept-Language": LANGUAGE, "Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def plugins(self) -> dict[str, Any]:
        """All plugins by type, with the `epoch` and `seq` that they are as of."""
        return await self._ask("GET", "/api/plugins")

    async def plugin(self, type: str, name: str) -> dict[str, Any]:
        """One plugin."""
        return await self._ask("GET", f"/api/plugins/{type}/{quote(name, safe='')}")

    async def install_url(self, url: str, type: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Installs from an address; `options` are further members of the request."""
        return await self._ask(
            "POST", "/api/plugins/install", json={"url": url, "plugin_type": type, **options}
        )

    async def install_file(self, file: Path, type: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Installs a file of this machine."""
        form = aiohttp.FormData()
        form.add_field("plugin_type", type)
        for name, value in options.items():
            form.add_field(name, str(value).lower() if isinstance(value, bool) else str(value))
        content = await asyncio.to_thread(file.read_bytes)
        form.add_field("file", content, filename=file.name, content_type="text/x-python")
        return await self._ask("POST", "/api/plugins/install", data=form)

    async def delete(self, type: str, name: str, *, purge: bool) -> dict[str, Any]:
        """Deletes a plugin, with `purge` its data too."""
        body: dict[str, Any] = {"plugin_type": type, "plugin_name": name}
        return await self._ask("POST", "/api/plugins/delete", json=body | ({"purge": True} if purge else {}))

    async def reload(self, type: str | None = None, name: str | None = None) -> dict[str, Any]:
        """Reloads one plugin, or all."""
        body = {"plugin_type": type, "plugin_name": name} if name is not None else None
        return await self._ask("POST", "/api/plugins/reload", json=body)

    async def toggle(self, type: str, name: str, *, enabled: bool) -> dict[str, Any]:
        """Switches a plugin on or off."""
        path = f"/api/plugins/{type}/{quote(name, safe='')}/toggle"
        return await self._ask("POST", path, params={"enabled": "true" if enabled else "false"})

    async def config(self, type: str, name: str) -> dict[str, Any]:
        """The configuration of a plugin, passwords masked."""
        return await self._ask("GET", f"/api/plugins/{type}/{quote(name, safe='')}/config")

    async def set_config(self, type: str, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Replaces the configuration of a plugin."""
        path = f"/api/plugins/{type}/{quote(name, safe='')}/config"
        return await self._ask("POST", path, json=dict(values))

    async def export_config(self) -> dict[str, Any]:
        """The configuration of all plugins, passwords as they are."""
        return await self._ask("GET", "/api/config/export")

    async def import_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Takes over the configuration of all plugins."""
        return await self._ask("POST", "/api/config/import", json={"config": dict(config)})

    async def start_search(
        self, keyword: str, plugins: Iterable[str] = (), limit: int | None = None
    ) -> dict[str, Any]:
        """Begins a search with the named plugins, or with all that are enabled; the answer has its `task_id`."""
        options = {"plugins": list(plugins), "limit": limit}
        body = {"keyword": keyword} | {name: value for name, value in options.items() if value}
        return await self._ask("POST", "/api/search", json=body)

    async def start_download(self, url: str, title: str, plugin: str | None) -> dict[str, Any]:
        """Begins a download, with the named plugin or with the one that fits best; the answer has the `task`."""
        body = {"url": url, "title": title} | ({} if plugin is None else {"plugin_name": plugin})
        return await self._ask("POST", "/api/download", json=body)

    async def tasks(
        self, *, kinds: Iterable[str] = (), statuses: Iterable[str] = (), limit: int, cursor: str = ""
    ) -> dict[str, Any]:
        """The newest tasks without their results, or those before `cursor`; `limit` is 500 at most."""
        params = {"kind": ",".join(kinds), "status": ",".join(statuses), "cursor": cursor}
        given = {name: value for name, value in params.items() if value}
        return await self._ask("GET", "/api/tasks", params={"limit": str(limit)} | given)

    async def task(self, id: str) -> dict[str, Any]:
        """One task with its results."""
        return await self._ask("GET", f"/api/tasks/{quote(id, safe='')}")

    async def change_task(self, id: str, verb: str) -> dict[str, Any]:
        """Does `cancel`, `pause`, `resume` or `retry` with a task; the task as it is then."""
        return await self._ask("POST", f"/api/tasks/{quote(id, safe='')}/{verb}")

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        data: aiohttp.FormData | None = None,
        params: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        assert self._session is not None, "the client is used before it is entered"
        try:
            async with self._session.request(
                method, self.url + path, json=json, data=data, params=params, allow_redirects=False
            ) as response:
                content = await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise unreachable(self.url, error) from error
        return self._answer(status, content)

    def _answer(self, status: int, content: bytes) -> dict[str, Any]:
        try:
            answer = msgspec.json.decode(content)
        except msgspec.DecodeError:
            answer = None
        if not isinstance(answer, dict):
            raise ServerUnreachable(
                say(
                    f"{self.url} 应答了 HTTP {status}，但不是 Plugbay；请检查 --url 或 PLUGBAY_URL",
                    f"{self.url} answered HTTP {status} and is not a Plugbay; check --url or PLUGBAY_URL",
                )
            )
        if status >= 400:
            raise ServerRefused(status, answer)
        return answer

    async def follow(
        self, topics: list[str], since: Position | None = None
    ) -> AsyncGenerator[Connected | Disconnected | Happened, None]:
        """Events without end: a cut is announced, and the feed goes on where it was.

        Args:
            topics: patterns such as `plugins/**`.
            since: begin behind this place; now, where it is not given.

        Raises:
            ServerUnreachable: at the first attempt only; later ones are repeated.
            ServerRefused: the server does not want this client back.
        """
        position, attempt, was_connected = since, 0, False
        while True:
            try:
                async with aclosing(self._feed(topics, position)) as feed:
                    async for item in feed:
                        if isinstance(item, Position):
                            position = item
                            continue
                        if isinstance(item, Connected):
                            attempt, was_connected = 0, True
                        yield item
                reason = say("服务器关闭了连接", "the server closed the connection")
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if not was_connected:
                    await self.plugins()  # it may be refused or not reached just so, but with words to it
                    raise unreachable(self.url, error) from error
                reason = cause(error)
            if was_connected and attempt == 0:
                yield Disconnected(reason)
            attempt += 1
            # Full jitter, so that many clients of one server do not all come back at once.
            await asyncio.sleep(random.uniform(0.1, 1) * min(RECONNECT_MAX_S, RECONNECT_MIN_S * 2**attempt))

    async def _feed(
        self, topics: list[str], since: Position | None
    ) -> AsyncGenerator[Connected | Position | Happened, None]:
        """One connection: its result, its events, and after each the position to come back to."""
        assert self._session is not None, "the client is used before it is entered"
        params: dict[str, Any] = {"topics": topics}
        if since is not None:
            params["since"] = {"epoch": since.epoch, "seq": since.seq}
        async with self._session.ws_connect(
            f"{self.url}/api/ws", heartbeat=HEARTBEAT_S, max_msg_size=0, timeout=aiohttp.ClientWSTimeout()
        ) as socket:
            await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": params})
            while True:
                message = await socket.receive()
                if message.type is aiohttp.WSMsgType.CLOSE:
                    _check_may_return(int(message.data), message.extra or "")
                    return
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return
                frame = msgspec.json.decode(message.data)
                if "error" in frame:
                    raise ServerRefused(400, {"detail": frame["error"].get("message", "")})
                if "result" in frame:
                    result = frame["result"]
                    recovered = since is None or bool(result.get("recovered"))
                    yield Connected(recovered)
                    if since is None or not recovered:
                        yield Position(str(result["epoch"]), str(result["seq"]))
                    if not recovered:
                        # Such a subscription is not in force: ask again, from where the server is now.
                        params["since"] = {"epoch": result["epoch"], "seq": result["seq"]}
                        await socket.send_json(
                            {"jsonrpc": "2.0", "id": 2, "method": "subscribe", "params": params}
                        )
                    continue
                yield Happened(frame)
                if "seq" in frame:
                    yield Position(str(frame["epoch"]), str(frame["seq"]))


def _check_may_return(code: int, reason: str) -> None:
    """A close code of the server's own says in its reason whether to come back."""
    if 4000 <= code < 5000 and "not reconnect" in reason:
        raise ServerRefused(400, {"detail": reason})


def unreachable(url: str, error: BaseException) -> ServerUnreachable:
    """Why there is no answer from `url`, and what to do about it."""
    if isinstance(error, (aiohttp.InvalidURL, ValueError)) or not urlsplit(url).hostname:
        return ServerUnreachable(
            say(
                f"{url} 不是有效的地址；应形如 http://127.0.0.1:8000（--url 或 PLUGBAY_URL）",
                f"{url} is not an address such as http://127.0.0.1:8000 (--url or PLUGBAY_URL)",
            )
        )
    if _is_refusal(error):
        return ServerUnreachable(
            say(
                f"{url} 没有服务器在运行（连接被拒绝）。\n"
                "用 plugbay serve 启动，或用 --url 或 PLUGBAY_URL 指定其他地址",
                f"No server is running at {url} (connection refused).\n"
                "Start one with: plugbay serve, or name another with --url or PLUGBAY_URL",
            )
        )
    return ServerUnreachable(
        say(
            f"无法连接 {url}：{cause(error)}；请检查 --url 或 PLUGBAY_URL",
            f"{url} cannot be reached: {cause(error)}; check --url or PLUGBAY_URL",
        )
    )


def cause(error: BaseException) -> str:
    """An error in a few words."""
    if isinstance(error, TimeoutError):
        return say("没有及时应答", "no answer in time")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return say("找不到主机", "there is no such host")
    return str(error) or type(error).__name__


def _is_refusal(error: BaseException) -> bool:
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return isinstance(inner, ConnectionRefusedError) and not isinstance(inner, socket.gaierror)
