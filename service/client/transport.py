"""Requests and answers: what all routes of the client share."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from urllib.parse import quote

import aiohttp
import msgspec

from service.client.errors import ServerRefused, not_plugbay, unreachable
from service.model.text import Language

DEFAULT_URL = "http://127.0.0.1:8000"
CONNECT_TIMEOUT_S = 5.0
# Longer than the server's own deadlines, which say more than a deadline here could.
ANSWER_TIMEOUT_S = 900.0
# What the server only has to look up begins to come at once, and goes on coming.
LOOK_UP_TIMEOUT_S = 30.0

S = TypeVar("S")


class Transport:
    """A session with one server; an async context manager.

    Args:
        url: where the server is, such as `http://127.0.0.1:8000`.
        token: what a server that is not on loopback asks for.
        language: of messages and errors, `en` or `zh`; codes are the same in both.
        timeout_s: how long an answer may take in all. Installs wait for packages, so the default is long.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        token: str | None = None,
        *,
        language: Language = "en",
        timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        self.url = url.rstrip("/")
        self.language: Language = language
        self._timeout_s = timeout_s
        self._headers = {"Accept-Language": language, "Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._open: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(
            total=self._timeout_s, sock_connect=min(CONNECT_TIMEOUT_S, self._timeout_s)
        )
        self._open = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._open is not None:
            await self._open.close()

    async def _look_up(self, shape: type[S], path: str, params: Mapping[str, str] | None = None) -> S:
        """Asks for what the server has at hand: one that falls silent over it is gone.

        Raises:
            ServerRefused, ServerUnreachable: as for `_ask`.
        """
        timeout = aiohttp.ClientTimeout(
            total=self._timeout_s,
            sock_connect=min(CONNECT_TIMEOUT_S, self._timeout_s),
            sock_read=min(LOOK_UP_TIMEOUT_S, self._timeout_s),
        )
        status, content, _ = await self._send("GET", path, params=params, timeout=timeout)
        return cast(S, self._answer(status, content))

    @property
    def _session(self) -> aiohttp.ClientSession:
        assert self._open is not None, (
            "the client is used before it is entered: async with Client() as client"
        )
        return self._open

    async def _ask(
        self,
        shape: type[S],
        method: str,
        path: str,
        *,
        json: Any = None,
        data: aiohttp.FormData | bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> S:
        """One request; its answer, which is taken to have the shape.

        Raises:
            ServerRefused: the answer is a problem.
            ServerUnreachable: there is no answer, or it is none of a Plugbay.
        """
        status, content, _ = await self._send(
            method, path, json=json, data=data, params=params, headers=headers
        )
        return cast(S, self._answer(status, content))

    async def _send(self, method: str, path: str, **more: Any) -> tuple[int, bytes, Mapping[str, str]]:
        session = self._session
        try:
            async with session.request(method, self.url + path, allow_redirects=False, **more) as response:
                return response.status, await response.read(), response.headers
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise unreachable(self.url, error, self.language) from error

    def _answer(self, status: int, content: bytes) -> dict[str, Any]:
        try:
            answer = msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            answer = None
        if not isinstance(answer, dict):
            raise not_plugbay(self.url, status, self.language)
        if status >= 400:
            raise ServerRefused(status, answer)
        return answer


def plugin_path(type: str, name: str) -> str:
    """The path of a plugin's routes."""
    return f"/api/plugins/{quote(type, safe='')}/{quote(name, safe='')}"
