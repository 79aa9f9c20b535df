"""The door: what it adds to a request, in processor time of the server."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from typing import Any

from aiohttp import web

from benchmarks.figures import Figure, Goal, Row, Size, median
from benchmarks.processes import Child, child
from service.api.body import BodyLimits
from service.api.credentials import Credentials
from service.api.door import Door
from service.api.keys import ACTOR, HUB, TOKEN_NEEDED
from service.api.protocol import Runner
from service.api.server import add_api
from service.live.event_log import EventLog
from service.live.hub import Hub
from service.live.limits import LiveLimits
from service.model.actor import Actor
from service.model.text import Text

_TOKEN = "a-token-of-the-benchmark"
_PATH = "/bench/nothing"
_CONNECTIONS = 16
_SLICE_SECONDS = 0.5
_BROWSER = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36\r\n"
    "Accept: */*\r\nAccept-Language: zh-CN,zh;q=0.9,en;q=0.8\r\nAccept-Encoding: gzip, deflate, br\r\n"
    "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n"
)
_NOBODY = Actor("127.0.0.1", "loopback")


class _Open(Door):
    """Lets everybody in."""

    def examine(self, request: web.BaseRequest) -> web.Response | None:
        """Say only what handlers ask for."""
        request[TOKEN_NEEDED], request[ACTOR] = False, _NOBODY
        return None


async def measure(size: Size) -> Figure:
    """Four servers in this process, two and two of them alike but for their doors, in turns."""
    figure = Figure(Text(zh="门卫", en="The door"))
    turns = size.of(1, 12, 40)
    local: dict[str, Any] = {"listen_host": "127.0.0.1", "token": None}
    afar: dict[str, Any] = {"listen_host": "0.0.0.0", "token": _TOKEN}
    cookie = f"{_BROWSER}Cookie: {_cookie()}\r\n"
    async with AsyncExitStack() as stack:
        load = await stack.enter_async_context(child("benchmarks.load"))
        for what, settings, headers in (
            (Text(zh="本机的程序", en="a program on this machine"), local, ""),
            (Text(zh="带 cookie 的浏览器", en="a browser with its cookie"), afar, cookie),
        ):
            ports = [await _serve(stack, kind, settings) for kind in (Door, _Open)]
            times: list[list[float]] = [[], []]
            for turn in range(turns + 1):
                for which in (0, 1) if turn % 2 else (1, 0):
                    taken = await _processor_us(load, ports[which], headers)
                    if turn:  # the first is for warming up
                        times[which].append(taken)
            figure.rows.append(
                Row(
                    what=Text(
                        zh=f"{what.zh}的一个请求，处理器时间，中位数",
                        en=f"a request of {what.en}, processor time, median",
                    ),
                    value=median(times[0]),
                    unit="µs",
                    peer=Text(zh="没有门卫的同一服务器", en="the same server without the door"),
                    peer_value=median(times[1]),
                    goal=Goal(at_most=1.05, ratio=True),
                )
            )
    return figure


async def _serve(stack: AsyncExitStack, kind: type[Door], settings: dict[str, Any]) -> int:
    app = web.Application()
    app[HUB] = Hub(EventLog(max_events=1, max_bytes=1 << 20, node="bench"), LiveLimits())
    door = kind(allowed_hosts=[], allowed_origins=[], **settings)
    add_api(app, door=door, limits=BodyLimits(json_bytes=1, upload_bytes=1))
    app.router.add_get(_PATH, _nothing)
    runner = Runner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port: int = runner.addresses[0][1]
    return port


async def _nothing(request: web.Request) -> web.Response:
    return web.Response(body=b"{}", content_type="application/json")


async def _processor_us(load: Child, port: int, headers: str) -> float:
    began = time.process_time()
    answer = await load.ask(
        "flat_out",
        port=port,
        path=_PATH,
        connections=_CONNECTIONS,
        seconds=_SLICE_SECONDS,
        headers=headers,
    )
    return (time.process_time() - began) / float(answer["answered"]) * 1e6


def _cookie() -> str:
    response = web.Response()
    Credentials(_TOKEN).set_cookie(response, secure=False)
    return "; ".join(f"{name}={morsel.value}" for name, morsel in response.cookies.items())
