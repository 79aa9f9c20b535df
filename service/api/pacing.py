"""How many installs and checks an address may ask for: each takes a worker, packages and a download."""

from __future__ import annotations

import math

from aiohttp import web

from service.api.keys import ACTOR, TOKEN_NEEDED
from service.api.tries import TooManyTries, Tries
from service.errors import RequestRefused
from service.model.text import Text


class TooManyInstalls(RequestRefused):
    """The address has had as many within a minute as it may.

    Attributes:
        retry_after: seconds after which it may ask again.
    """

    code = "too_many_installs"

    def __init__(self, retry_after: float) -> None:
        seconds = math.ceil(retry_after)
        super().__init__(
            Text(
                zh=f"安装或检查过于频繁，请在 {seconds} 秒后重试；上限可用 limits.installs_per_minute 调整",
                en=f"There were too many installs or checks; wait {seconds} second{'' if seconds == 1 else 's'}, "
                "or raise limits.installs_per_minute",
            )
        )
        self.retry_after = retry_after


def take_turn(request: web.Request, key: web.AppKey[Tries]) -> None:
    """Count one that begins now. Whoever needs no token is at the machine itself, and may do as much as they like.

    Args:
        request: whose.
        key: of what it is one.

    Raises:
        TooManyInstalls
    """
    if not request[TOKEN_NEEDED]:
        return
    try:
        request.app[key].note(request[ACTOR].address)
    except TooManyTries as refused:
        raise TooManyInstalls(refused.retry_after) from None
