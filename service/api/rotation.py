"""Replacing the token: on disk, at the door, and for all who came in by the old one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from service.api.credentials import Credentials
from service.api.door import Door
from service.api.token import replace_token
from service.errors import PlugbayError
from service.host.threads import writing
from service.live.event_log import EventLog
from service.live.hub import Hub
from service.model.actor import Actor
from service.model.events import TokenRotated
from service.model.text import Text

log = structlog.get_logger(__name__)


class Rotation:
    """See the module.

    Args:
        door: knows the token.
        home: has the token in `data/token`; None where the settings have it.
        hub: has the live connections.
        events: where it is told.
    """

    def __init__(self, door: Door, home: Path | None, hub: Hub, events: EventLog) -> None:
        self._door = door
        self._home = home
        self._hub = hub
        self._events = events
        self._turn = asyncio.Lock()

    async def rotate(self, actor: Actor) -> str:
        """Make a new token and have it count; gives it.

        Args:
            actor: who wants it.

        Raises:
            PlugbayError: the token is configured, there is none, or the disk refuses; nothing has changed.
        """
        if self._door.credentials is None:
            raise PlugbayError(
                Text(
                    zh="这台服务器只接受本机访问，没有令牌可换；监听其他地址或设置 server.allowed_hosts 后才需要令牌",
                    en="This server only takes connections from this machine and has no token; "
                    "it needs one once it listens elsewhere or has server.allowed_hosts",
                ),
                code="token_unused",
            )
        if self._home is None:
            raise PlugbayError(
                Text(
                    zh="令牌由设置 server.token 指定，不能在这里更换；请修改 config/service.toml 或环境变量 "
                    "PLUGBAY_SERVER__TOKEN 后重启",
                    en="The token is the setting server.token and cannot be replaced here; change it in "
                    "config/service.toml or in PLUGBAY_SERVER__TOKEN, and restart",
                ),
                code="token_configured",
            )
        async with self._turn:
            try:
                token = await writing(replace_token, self._home)
            except OSError as error:
                reason = error.strerror or str(error)
                raise PlugbayError(
                    Text(
                        zh=f"无法写入 data/token（{reason}），仍使用原来的令牌；请检查磁盘空间与权限",
                        en=f"data/token cannot be written ({reason}), so the token is as it was; "
                        "check the disk's space and permissions",
                    ),
                    code="token_not_saved",
                ) from error
            self._door.credentials = Credentials(token)
        log.warning("token.rotated", by=actor.address, via=actor.via)
        self._events.publish(TokenRotated(by=actor))
        self._hub.sign_out()
        return token
