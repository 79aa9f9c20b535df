"""What the client raises.

ClientError
├── ServerUnreachable   no answer, or none of a Plugbay
└── ServerRefused       the server said no
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from service.model.text import Language, Text


class ClientError(Exception):
    """What was asked for was not done.

    Attributes:
        detail: why, in the language of the client.
        code: stable name of the case; empty where it has none.
        status: the HTTP status; None where there was no answer.
        fields: what else is known of the case: which `field` is wrong, the load `error` of a plugin.
    """

    def __init__(
        self,
        detail: str,
        *,
        code: str = "",
        status: int | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.status = status
        self.fields: dict[str, Any] = dict(fields or {})


class ServerUnreachable(ClientError):
    """There is no answer from the address.

    `code` is `address_invalid`, `connection_refused`, `no_answer`, `not_plugbay` or `server_gone`.
    """


class ServerRefused(ClientError):
    """The server answered with a problem (RFC 9457).

    Args:
        status: the HTTP status.
        problem: the problem object; `fields` has what it holds besides the standard members.
    """

    status: int

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        standard = ("type", "title", "status", "detail", "code")
        super().__init__(
            str(problem.get("detail") or problem.get("title") or f"HTTP {status}"),
            code=str(problem.get("code") or ""),
            status=status,
            fields={name: value for name, value in problem.items() if name not in standard},
        )
        self.problem = problem


class Spoilt(Exception):
    """What came over a connection, or reached the server over it, is not what was sent; the next one may do better."""


def unreachable(url: str, error: BaseException, language: Language) -> ServerUnreachable:
    """Why there is no answer from `url`."""
    if isinstance(error, (aiohttp.InvalidURL, ValueError)) or not urlsplit(url).hostname:
        code, text = (
            "address_invalid",
            Text(
                zh=f"{url} 不是有效的地址；应形如 http://127.0.0.1:8000",
                en=f"{url} is not an address such as http://127.0.0.1:8000",
            ),
        )
    elif _is_refusal(error):
        code, text = (
            "connection_refused",
            Text(
                zh=f"{url} 没有服务器在运行（连接被拒绝）",
                en=f"No server is running at {url} (connection refused)",
            ),
        )
    else:
        code, text = (
            "no_answer",
            Text(
                zh=f"无法连接 {url}：{cause(error, 'zh')}",
                en=f"{url} cannot be reached: {cause(error, 'en')}",
            ),
        )
    return ServerUnreachable(text.in_language(language), code=code)


def not_plugbay(url: str, status: int, language: Language) -> ServerUnreachable:
    """What answers at `url` is something else."""
    text = Text(
        zh=f"{url} 应答了 HTTP {status}，但不是 Plugbay",
        en=f"{url} answered HTTP {status} and is not a Plugbay",
    )
    return ServerUnreachable(text.in_language(language), code="not_plugbay", status=status)


def gone(url: str, seconds: float, language: Language) -> ServerUnreachable:
    """It answered once, and has not for long."""
    text = Text(
        zh=f"{url} 已失联超过 {seconds:.0f} 秒", en=f"{url} has been away for more than {seconds:.0f} s"
    )
    return ServerUnreachable(text.in_language(language), code="server_gone")


def cause(error: BaseException, language: Language) -> str:
    """An error in a few words."""
    if isinstance(error, TimeoutError):
        return Text(zh="没有及时应答", en="no answer in time").in_language(language)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Text(zh="找不到主机", en="there is no such host").in_language(language)
    if isinstance(error, Spoilt):
        return Text(zh="数据在传输中损坏", en="data was damaged on its way").in_language(language)
    return str(error) or type(error).__name__


def _is_refusal(error: BaseException) -> bool:
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return isinstance(inner, ConnectionRefusedError) and not isinstance(inner, socket.gaierror)
