"""The token as clients show it: in `Authorization: Bearer`, or by the cookie that signing in leaves."""

from __future__ import annotations

import hashlib
import hmac
from typing import Literal

from aiohttp import web

COOKIE_MAX_AGE_S = 30 * 24 * 3600


class Credentials:
    """Knows the token, and compares in constant time. It has no representation that would show it.

    The cookie proves knowledge of the token and does not reveal it. Cookies are shared by all ports of a host:
    with a name of its own, each server there keeps its sign-in.

    Args:
        token: the secret.
    """

    def __init__(self, token: str) -> None:
        self._token_digest = _digest(token)
        self.cookie_name = f"plugbay_{_derived(token, b'plugbay cookie name')[:8]}"
        self._cookie_value = _derived(token, b"plugbay cookie value")
        self._cookie_digest = _digest(self._cookie_value)

    def is_token(self, given: str) -> bool:
        """Whether this is the token."""
        # Digests are compared, so that not even the length of the token shows in the time that it takes.
        return hmac.compare_digest(_digest(given), self._token_digest)

    def shown_by(self, request: web.BaseRequest) -> Literal["bearer", "cookie"] | None:
        """What of a request shows the token; None where nothing does.

        A wrong token is not made up for by a cookie.
        """
        bearers = request.headers.getall("Authorization", [])
        if bearers:
            scheme, _, given = bearers[0].partition(" ")
            right = len(bearers) == 1 and scheme.lower() == "bearer" and self.is_token(given.strip())
            return "bearer" if right else None
        cookie = request.cookies.get(self.cookie_name)
        right = cookie is not None and hmac.compare_digest(_digest(cookie), self._cookie_digest)
        return "cookie" if right else None

    def set_cookie(self, response: web.StreamResponse, *, secure: bool) -> None:
        """Leave the cookie; `secure` where the connection is encrypted, so that it goes over no other."""
        response.set_cookie(
            self.cookie_name,
            self._cookie_value,
            max_age=COOKIE_MAX_AGE_S,
            path="/",
            secure=secure,
            httponly=True,
            samesite="Strict",
        )

    def clear_cookie(self, response: web.StreamResponse, *, secure: bool) -> None:
        """Have the browser forget the cookie; `secure` as for `set_cookie`."""
        response.del_cookie(self.cookie_name, path="/", secure=secure, httponly=True, samesite="Strict")


def _derived(token: str, purpose: bytes) -> str:
    return hmac.new(_bytes(token), purpose, hashlib.sha256).hexdigest()


def _digest(text: str) -> bytes:
    return hashlib.sha256(_bytes(text)).digest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
