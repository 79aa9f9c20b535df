"""Signing in and out by the API, for a page that is open already: the same cookie that `/?token=` leaves.

The cookie is proof of the token and the same for all who sign in; the server keeps no list of sessions. Signing out
takes it from the browser that asks. What that browser has open, a WebSocket for one, it closes itself.
"""

from __future__ import annotations

import ipaddress
import math
from collections import deque
from collections.abc import Callable

from aiohttp import web

from service.api.body import read_json
from service.api.keys import DOOR, TOKEN_NEEDED, TRIES
from service.api.responses import json_response
from service.api.server_messages import Session, SignIn
from service.errors import RequestRefused
from service.model.text import Text

TRIES_A_MINUTE = 10

_WINDOW_S = 60.0
_ADDRESSES = 4096
# Whoever has one address of IPv6 has all of its network.
_NETWORK_BITS = 64

_NO_STORE = {"Cache-Control": "no-store"}


class TooManyTries(RequestRefused):
    """Somebody there has tried too many tokens; `retry_after` is in seconds."""

    code = "too_many_tries"

    def __init__(self, retry_after: float) -> None:
        seconds = math.ceil(retry_after)
        super().__init__(
            Text(
                zh=f"尝试次数过多，请在 {seconds} 秒后重试",
                en=f"There were too many tries; wait {seconds} second{'' if seconds == 1 else 's'}",
            )
        )
        self.retry_after = retry_after


class Tries:
    """Counts tries to sign in by address, so that nobody can guess for long.

    Args:
        clock: seconds that only ever grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tries: dict[str, deque[float]] = {}

    def note(self, address: str) -> None:
        """Count a try that begins now.

        Raises:
            TooManyTries: there were as many within the last minute as there may be.
        """
        now, key = self._clock(), _network(address)
        tries = self._tries.pop(key, None) or deque(maxlen=TRIES_A_MINUTE)
        # Back at the end: the front is who has not tried for longest.
        self._tries[key] = tries
        if len(tries) == TRIES_A_MINUTE and (left := tries[0] + _WINDOW_S - now) > 0:
            raise TooManyTries(left)
        tries.append(now)
        if len(self._tries) > _ADDRESSES:
            del self._tries[next(iter(self._tries))]

    def forgive(self, address: str) -> None:
        """Forget the tries from an address: one was right."""
        self._tries.pop(_network(address), None)


async def get_session(request: web.Request) -> web.Response:
    """Say whether this connection needs the token, and by what it was let in.

    It is answered without a token, so that a page can tell whether to ask for one.
    """
    required = request[TOKEN_NEEDED]
    credentials = request.app[DOOR].credentials
    by = credentials.shown_by(request) if credentials is not None and required else None
    return json_response(Session(required=required, by=by if required else "loopback"))


async def sign_in(request: web.Request) -> web.Response:
    """Sign in with the token: leaves the cookie that the page at `/` needs.

    An address has ten tries a minute.
    """
    given = await read_json(request, SignIn)
    tries, address = request.app[TRIES], request.remote or ""
    tries.note(address)
    response = web.Response(status=204, headers=_NO_STORE)
    request.app[DOOR].sign_in(given.token, response, secure=request.scheme == "https")
    tries.forgive(address)
    return response


async def sign_out(request: web.Request) -> web.Response:
    """Sign out: takes the cookie away, whether there was one or not."""
    response = web.Response(status=204, headers=_NO_STORE)
    credentials = request.app[DOOR].credentials
    if credentials is not None:
        credentials.clear_cookie(response, secure=request.scheme == "https")
    return response


def _network(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return address
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, _NETWORK_BITS), strict=False))
