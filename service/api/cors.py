"""What pages of listed origins are told, so that their browser lets them use the API (the Fetch standard, CORS)."""

from __future__ import annotations

from aiohttp import web

PREFLIGHT_MAX_AGE_S = 600

_METHODS = "GET, HEAD, POST, PUT, DELETE, OPTIONS"
_REQUEST_HEADERS = "Authorization, Content-Type, Accept-Language, If-Match, Last-Event-ID, X-Request-ID"
_RESPONSE_HEADERS = "ETag, Retry-After, X-Request-ID"


def cors_headers(origin: str) -> dict[str, str]:
    """What lets a page of a listed origin read a response."""
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": _RESPONSE_HEADERS,
    }


def preflight(request: web.BaseRequest) -> web.Response:
    """Say what a page may send. Browsers ask without credentials, so no token is wanted here."""
    headers = {
        "Access-Control-Allow-Methods": _METHODS,
        "Access-Control-Allow-Headers": _REQUEST_HEADERS,
        "Access-Control-Max-Age": str(PREFLIGHT_MAX_AGE_S),
    }
    if request.headers.get("Access-Control-Request-Private-Network") == "true":
        headers["Access-Control-Allow-Private-Network"] = "true"
    return web.Response(status=204, headers=headers)
