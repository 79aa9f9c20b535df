"""The API as a whole: what every request passes on its way in and out, and which handler it comes to.

    request ─► observe: request id ─► door ─► handler ─┐
    response ◄── security headers ◄── problem, metrics ┘

One middleware does all of it: each further layer would cost every request.
"""

from __future__ import annotations

import time
from pathlib import Path
from time import perf_counter

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from service.api.body import BodyLimits
from service.api.changes import changes_context
from service.api.cors import cors_headers
from service.api.credentials import COOKIE_MAX_AGE_S
from service.api.door import Door
from service.api.door_refusals import DoorRefused
from service.api.forwarding import scheme_of
from service.api.keys import (
    BODY_LIMITS,
    CALL_COUNTS,
    CHECKS,
    CORS_ORIGIN,
    DOOR,
    INSTALLS,
    METRICS,
    PREPARED,
    REQUEST_ID,
)
from service.api.metrics.counting import Metrics
from service.api.pages import refusal_page, wants_page
from service.api.plugins_kept_out import keep_plugins_out
from service.api.problems import problem_of, problem_of_http, problem_of_unexpected
from service.api.responses import REQUEST_ID_HEADER as HEADER
from service.api.responses import SAFE_HEADERS, SAFE_HEADERS_UNLESS_SET
from service.api.routes import ROUTES
from service.api.session import add_sign_in_form
from service.api.static import BUILT_FOLDER, add_static_routes
from service.api.tries import Tries
from service.api.websocket import say_goodbye
from service.errors import PlugbayError
from service.host.statistics.calls import CallCounts
from service.model.request_id import request_id, taken_or_new

UNMATCHED = "unmatched"

# For as long as a sign-in lasts. What else there is below the name is not for us to say.
_ONLY_HTTPS = f"max-age={COOKIE_MAX_AGE_S}"


def add_api(
    app: web.Application,
    *,
    door: Door,
    limits: BodyLimits,
    front_end: Path = BUILT_FOLDER,
    installs_a_minute: int = 60,
) -> None:
    """Add the API and the dashboard to an application: middleware, headers, routes.

    The other keys of `service.api.keys` must be set before the first request.

    Args:
        app: the application.
        door: who may come in; it guards every route of the application, whoever added it.
        limits: how large bodies may be.
        front_end: the folder of the built dashboard; it need not be there.
        installs_a_minute: how many installs, and as many checks, an address may ask for.
    """
    counts = app[CALL_COUNTS] = CallCounts(time.monotonic)
    metrics = Metrics(counts)
    app[DOOR] = door
    app[INSTALLS] = Tries(time.monotonic, installs_a_minute)
    app[CHECKS] = Tries(time.monotonic, installs_a_minute)
    app[BODY_LIMITS] = limits
    app[METRICS] = metrics
    app.cleanup_ctx.append(changes_context)
    app.middlewares.append(observing(door, metrics))
    app.on_response_prepare.append(_add_headers)
    for route in ROUTES:
        if route.method == "GET":
            app.router.add_get(route.path, route.handler, expect_handler=expect)
        else:
            app.router.add_route(route.method, route.path, route.handler, expect_handler=expect)
    add_static_routes(app, front_end)
    add_sign_in_form(app)
    app.on_shutdown.append(say_goodbye)


def observing(door: Door, metrics: Metrics) -> Middleware:
    """The one middleware: names the request, asks the door, turns errors into problems, counts."""

    @web.middleware
    async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
        started_s = perf_counter()
        _name(request)
        metrics.running += 1
        response: web.StreamResponse
        try:
            answered = door.examine(request)
            if answered is None:
                await keep_plugins_out(request)
            response = await handler(request) if answered is None else answered
        except DoorRefused as error:
            response = refusal_page(request, error) if wants_page(request) else problem_of(request, error)
        except PlugbayError as error:
            response = problem_of(request, error)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            response = problem_of_http(request, error)
        except Exception as error:
            if isinstance(error, ConnectionError) and (
                request.transport is None or request.transport.is_closing()
            ):
                raise
            response = problem_of_unexpected(request, error)
            if PREPARED in request:
                # Part of another answer is already on its way: all that is left is to cut it off.
                raise
        finally:
            metrics.running -= 1
        resource = request.match_info.route.resource
        metrics.count_request(
            UNMATCHED if resource is None else resource.canonical,
            request.method,
            response.status,
            perf_counter() - started_s,
        )
        return response

    return observe


async def expect(request: web.Request) -> web.StreamResponse | None:
    """Answer `Expect: 100-continue`. The door is asked first: nobody is told to go on who may not come in."""
    _name(request)
    if request.headers["Expect"].lower() != "100-continue":
        return problem_of_http(request, web.HTTPExpectationFailed())
    try:
        request.app[DOOR].examine(request)
        await keep_plugins_out(request)
    except PlugbayError as error:
        return problem_of(request, error)
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    # aiohttp takes bytes that were written for the beginning of the answer.
    request.writer.output_size = 0
    return None


def _name(request: web.Request) -> None:
    if REQUEST_ID not in request:
        request[REQUEST_ID] = taken_or_new(request.headers.get(HEADER))
    request_id.set(request[REQUEST_ID])


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    headers = response.headers
    headers.update(SAFE_HEADERS)
    for name, value in SAFE_HEADERS_UNLESS_SET.items():
        headers.setdefault(name, value)
    if (id := request.get(REQUEST_ID)) is not None:
        headers[HEADER] = id
        request[PREPARED] = True
    if scheme_of(request) == "https":
        headers["Strict-Transport-Security"] = _ONLY_HTTPS
    origin = request.get(CORS_ORIGIN)
    if origin is not None:
        headers.update(cors_headers(origin))
        headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        headers.add("Vary", "Origin")
