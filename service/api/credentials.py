"""The token as clients show it: in `Authorization: Bearer`, or by the cookie that signing in leaves."""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from typing import Literal

from aiohttp import web

COOKIE_MAX_AGE_S = 30 * 24 * 3600
_HEADERS_KNOWN = 8


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
        # The last `Cookie` headers that had it.
        self._right_headers: deque[bytes] = deque(maxlen=_HEADERS_KNOWN)

    def is_token(self, given: str) -> bool:
        """Whether this is the token."""
        # Digests are compared, so that not even the length of the token shows in the time that it takes.
        return hmac.compare_digest(_digest(given), self._token_digest)

    def shown_by(self, request: web.BaseRequest) -> Literal["bearer", "cookie"] | None:
        """What of a request shows the token; None where nothing does.

        A wrong token is not made up for by a cookie.
        """
        headers = request.headers
        if "Authorization" in headers:
            bearers = headers.getall("Authorization")
            scheme, _, given = bearers[0].partition(" ")
            right = len(bearers) == 1 and scheme.lower() == "bearer" and self.is_token(given.strip())
            return "bearer" if right else None
        header = headers.get("Cookie")
        if header is None:
            return None
        cookie = request.cookies.get(self.cookie_name)
        if cookie is None or not hmac.compare_digest(_digest(cookie), self._cookie_digest):
            return None
        spelled = _bytes(header)
        if spelled not in self._right_headers:
            self._right_headers.appendleft(spelled)
        return "cookie"

    def knows(self, header: bytes) -> bool:
        """Whether a `Cookie` header is spelled like one that had the cookie; where not, `shown_by` says whether it has.

        To take a header apart costs several times as much as all else that is asked of a request.
        """
        for right in self._right_headers:  # noqa: SIM110  # a generator costs as much again
            if hmac.compare_digest(header, right):
                return True
        return False

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
