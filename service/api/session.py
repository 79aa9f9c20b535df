"""Signing in and out: by the form of the sign-in page, or by the API for a page that is open already; and a new token.

The cookie is proof of the token and the same for all who sign in; the server keeps no list of sessions. Signing out
takes it from the browser that asks. What that browser has open, a WebSocket for one, it closes itself.
"""

from __future__ import annotations

from aiohttp import web

from service.api.body import read_form, read_json
from service.api.changes import carry_through
from service.api.forwarding import scheme_of
from service.api.keys import ACTOR, DOOR, ROTATION, TOKEN_NEEDED
from service.api.language import say
from service.api.page_addresses import PAGE_PATTERN, address_of
from service.api.responses import json_response
from service.api.server_messages import NewToken, Session, SignIn
from service.model.text import Text

_NO_STORE = {"Cache-Control": "no-store"}
_FORM_MAX_BYTES = 4096
_ROTATED = Text(
    zh="令牌已更换：旧令牌和所有登录即刻失效，请保存新令牌",
    en="The token was replaced: the old one and all who signed in with it are void at once; keep the new one",
)


async def get_session(request: web.Request) -> web.Response:
    """Say whether this connection needs the token, and by what it was let in.

    It is answered without a token, so that a page can tell whether to ask for one.
    """
    return json_response(Session(required=request[TOKEN_NEEDED], by=request[ACTOR].via))


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
        credentials.clear_cookie(response, secure=scheme_of(request) == "https")
    return response


async def rotate_token(request: web.Request) -> web.Response:
    """Replace the token that the server made: the old one and all cookies are void at once.

    Live connections that came in by them end with 4401. The new token is told here and nowhere else; who asks by a
    cookie stays signed in. Refused where the token is configured, or where there is none.
    """
    rotation, door = request.app[ROTATION], request.app[DOOR]
    old = door.credentials
    token = await carry_through(request, rotation.rotate(request[ACTOR]))
    response = json_response(NewToken(token=token, message=say(request, _ROTATED)))
    if request[ACTOR].via == "cookie" and old is not None and door.credentials is not None:
        secure = scheme_of(request) == "https"
        old.clear_cookie(response, secure=secure)
        door.credentials.set_cookie(response, secure=secure)
    return response


def add_sign_in_form(app: web.Application) -> None:
    """Take the form of the sign-in page, at the address of whatever page it stands for."""

    async def take(request: web.Request) -> web.Response:
        """Sign in and come back to the page, as a browser without scripts does it."""
        if request.content_type != "application/x-www-form-urlencoded":
            raise web.HTTPMethodNotAllowed(request.method, ["GET", "HEAD"])
        given = (await read_form(request, _FORM_MAX_BYTES)).get("token", [])
        response = web.Response(status=303, headers=_NO_STORE | {"Location": address_of(request)})
        if request[TOKEN_NEEDED]:
            request.app[DOOR].sign_in(request, given[0] if len(given) == 1 else "", response)
        return response

    app.router.add_post(PAGE_PATTERN, take)
