"""Why somebody may not come in: one error, and a function for each rule that raises it."""

from __future__ import annotations

import math
from typing import NoReturn

from service.errors import RequestRefused
from service.model.text import Text


class DoorRefused(RequestRefused):
    """The request may not come in; `code` says by which rule.

    Attributes:
        retry_after: seconds after which it may be tried again, where waiting helps.
    """

    retry_after: float | None = None


def refuse_host(name: str, name_zh: str | None = None) -> NoReturn:
    """`name` is what came in `Host`, or what is wrong with it, then in Chinese too."""
    raise DoorRefused(
        Text(
            zh=f"拒绝 Host（{name_zh or name}）：请用 localhost 访问，或在设置 server.allowed_hosts 中加入该名称",
            en=f"This Host is refused ({name}): use localhost, or add the name to server.allowed_hosts",
        ),
        code="host_refused",
    )


def refuse_origin(name: str = "null") -> NoReturn:
    """`name` is what came in `Origin`."""
    raise DoorRefused(
        Text(
            zh=f"拒绝来源 {name}：只接受本站页面，或设置 server.allowed_origins 中列出的来源",
            en=f"Origin {name} is refused: only the server's own pages and those in server.allowed_origins may do this",
        ),
        code="origin_refused",
    )


def refuse_tries(retry_after: float) -> NoReturn:
    """`retry_after` is in seconds."""
    seconds = math.ceil(retry_after)
    refused = DoorRefused(
        Text(
            zh=f"尝试登录的次数过多，请在 {seconds} 秒后重试",
            en=f"There were too many tries to sign in; wait {seconds} second{'' if seconds == 1 else 's'}",
        ),
        code="too_many_tries",
    )
    refused.retry_after = retry_after
    raise refused


def refuse_wrong_token() -> NoReturn:
    """A token was shown, and it is not the server's."""
    raise DoorRefused(
        Text(
            zh="访问令牌不正确：请使用服务器启动时打印的登录地址，令牌也保存在 data/token 中",
            en="The token is wrong: use the sign-in address that the server printed, the token is also in data/token",
        ),
        code="token_wrong",
    )
