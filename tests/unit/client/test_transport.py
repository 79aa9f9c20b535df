from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from service.client import Client, ClientError, ServerRefused, ServerUnreachable
from tests.unit.cli.task_server import TaskServer


async def test_a_refusal_carries_status_code_detail_and_fields(server: TaskServer) -> None:
    problem = {
        "type": "urn:plugbay:problem:request_invalid",
        "title": "The request cannot be understood",
        "status": 400,
        "detail": "plugin_type must be one of these",
        "code": "request_invalid",
        "field": "plugin_type",
    }
    server.refusal = 400, problem
    async with Client(server.url) as client:
        with pytest.raises(ServerRefused, match="must be one of these") as caught:
            await client.plugins()
    refusal = caught.value
    assert (refusal.status, refusal.code, refusal.detail) == (400, "request_invalid", problem["detail"])
    assert refusal.fields == {"field": "plugin_type"}
    assert refusal.problem == problem
    assert isinstance(refusal, ClientError)


async def test_a_refusal_without_words_still_says_something(server: TaskServer) -> None:
    server.refusal = 418, {}
    async with Client(server.url) as client:
        with pytest.raises(ServerRefused, match="HTTP 418"):
            await client.plugins()


@pytest.mark.parametrize(
    ("language", "words"), [("en", "No server is running at"), ("zh", "没有服务器在运行（连接被拒绝）")]
)
async def test_a_port_where_nobody_listens(language: str, words: str, unused_tcp_port: int) -> None:
    async with Client(f"http://127.0.0.1:{unused_tcp_port}", language=language) as client:  # type: ignore[arg-type]
        with pytest.raises(ServerUnreachable, match=words) as caught:
            await client.plugins()
    assert (caught.value.code, caught.value.status) == ("connection_refused", None)


@pytest.mark.parametrize("url", ["localhost:8000", "http://", "nonsense"])
async def test_what_is_no_address(url: str) -> None:
    async with Client(url) as client:
        with pytest.raises(ServerUnreachable, match="is not an address such as") as caught:
            await client.plugins()
    assert caught.value.code == "address_invalid"


async def test_something_else_that_answers() -> None:
    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/{path:.*}", hello)
    async with TestServer(app) as other, Client(str(other.make_url(""))) as client:
        with pytest.raises(ServerUnreachable, match="is not a Plugbay") as caught:
            await client.plugins()
    assert (caught.value.code, caught.value.status) == ("not_plugbay", 200)


async def test_an_answer_that_does_not_come_in_time() -> None:
    gate = asyncio.Event()

    async def wait(_: web.Request) -> web.Response:
        await gate.wait()
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/{path:.*}", wait)
    async with TestServer(app) as slow, Client(str(slow.make_url("")), timeout_s=0.1) as client:
        with pytest.raises(ServerUnreachable, match="no answer in time") as caught:
            await client.plugins()
        gate.set()
    assert caught.value.code == "no_answer"


async def test_the_token_and_the_language_go_along(server: TaskServer) -> None:
    async with Client(server.url + "/", "s3cret", language="zh") as client:
        await client.plugins()
    [headers] = server.headers
    assert headers["Authorization"] == "Bearer s3cret"
    assert headers["Accept-Language"] == "zh"


async def test_a_name_is_never_a_path(server: TaskServer) -> None:
    async with Client(server.url) as client:
        with pytest.raises(ClientError):
            await client.plugin("search", "../../api/plugins?x=1")
    assert server.requests[0][1] == "/api/plugins/search/..%2F..%2Fapi%2Fplugins%3Fx=1"


async def test_it_is_entered_before_it_is_used() -> None:
    with pytest.raises(AssertionError, match="async with"):
        await Client().plugins()
