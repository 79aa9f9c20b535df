"""Signing in and out by the API, for a page that is open already: the same cookie that `/?token=` leaves.

The cookie is proof of the token and the same for all who sign in; the server keeps no list of sessions. Signing out
takes it from the browser that asks. What that browser has open, a WebSocket for one, it closes itself.
"""

from __future__ import annotations

from aiohttp import web

from service.api.body import read_json
from service.api.keys import DOOR, TOKEN_NEEDED
from service.api.responses import json_response
from service.api.server_messages import Session, SignIn

_NO_STORE = {"Cache-Control": "no-store"}


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
    response = web.Response(status=204, headers=_NO_STORE)
    request.app[DOOR].sign_in(request, given.token, response)
    return response


async def sign_out(request: web.Request) -> web.Response:
    """Sign out: takes the cookie away, whether there was one or not."""
    response = web.Response(status=204, headers=_NO_STORE)
    credentials = request.app[DOOR].credentials
    if credentials is not None:
        credentials.clear_cookie(response, secure=request.scheme == "https")
    return response
