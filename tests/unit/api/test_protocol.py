"""What comes before the application, on real sockets; and where request lines are, however the bytes are cut."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api import protocol
from service.api.protocol import LINE_MAX_BYTES, RequestLines
from service.api.responses import SAFE_HEADERS, SAFE_HEADERS_UNLESS_SET
from tests.unit.api.fakes import Api

HOST = b"Host: localhost\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST
POST = b"POST /api/parse HTTP/1.1\r\n" + HOST
LIMIT = str(LINE_MAX_BYTES)


@pytest.fixture
async def api(api: Api) -> Api:
    api.caller.answers["demo", "search"] = b"[]"
    return api


class Raw:
    """A connection on which any bytes can be sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def to(cls, api: Api) -> Raw:
        return cls(*await asyncio.open_connection("127.0.0.1", api.port))

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], Any]:
        async with asyncio.timeout(10):
            status = int((await self._reader.readline()).split()[1])
            headers: dict[str, str] = {}
            while line := (await self._reader.readline()).decode("latin-1").strip():
                name, _, value = line.partition(": ")
                headers[name] = value
            body = await self._reader.readexactly(int(headers.get("Content-Length", 0)))
        return status, headers, json.loads(body)

    async def is_closed(self) -> bool:
        async with asyncio.timeout(10):
            return await self._reader.read() == b""

    def close(self) -> None:
        self._writer.close()


async def ask(api: Api, data: bytes) -> tuple[int, dict[str, str], Any]:
    raw = await Raw.to(api)
    try:
        await raw.send(data)
        return await raw.answer()
    finally:
        raw.close()


@pytest.mark.parametrize(
    ("data", "status", "code", "word"),
    [
        (b"nonsense\r\n\r\n", 400, "request_invalid", "HTTP/1.1"),
        (b"GET / HTTP/9.9\r\n" + HOST + b"\r\n", 400, "request_invalid", "HTTP/1.1"),
        (b"GET / HTTP/1.1\n" + HOST + b"\r\n", 400, "request_invalid", "HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n", 400, "request_invalid", "HTTP/1.1"),
        (GET + b"X: a\x00b\r\n\r\n", 400, "request_invalid", "HTTP/1.1"),
        (b"GET /\x00 HTTP/1.1\r\n" + HOST + b"\r\n", 400, "request_invalid", "--data-urlencode"),
        (POST + b"Content-Length: x\r\n\r\n", 400, "request_invalid", "HTTP/1.1"),
        (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "request_invalid", "HTTP"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", 400, "request_invalid", "HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400, "request_invalid", "http://"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "request_invalid", "HTTP/1.1"),
        (b"GET /" + b"a" * LINE_MAX_BYTES + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "uri_too_long", LIMIT),
        (GET + b"X: " + b"a" * 9000 + b"\r\n\r\n", 431, "headers_too_large", LIMIT),
        (GET + b"X: a\r\n" * 200 + b"\r\n", 431, "headers_too_large", LIMIT),
    ],
)  # fmt: skip
async def test_what_is_no_http_gets_a_problem(
    api: Api, data: bytes, status: int, code: str, word: str
) -> None:
    raw = await Raw.to(api)
    await raw.send(data)
    got, headers, problem = await raw.answer()
    assert (got, problem["status"], problem["code"]) == (status, status, code)
    assert headers["Content-Type"].startswith("application/problem+json")
    assert set(problem) == {"type", "title", "status", "detail", "code", "request_id"}
    assert headers["X-Request-ID"] == problem["request_id"]
    assert word in problem["detail"]
    assert not problem["detail"].isascii()
    for name, value in (SAFE_HEADERS | SAFE_HEADERS_UNLESS_SET).items():
        assert headers[name] == value
    assert await raw.is_closed()
    raw.close()
    assert (await api.client.get("/livez")).status == 200


async def test_one_that_takes_nothing_of_its_answer_is_let_go(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "UNREAD_S", 0.5)
    # More than the system would take for it.
    api.caller.answers["demo", "search"] = b'["' + b"x" * 15_000_000 + b'"]'
    runner = api.client.server.runner
    assert runner is not None
    assert runner.server is not None
    before = len(runner.server.connections)
    raw = await Raw.to(api)
    try:
        await raw.send(b"GET /api/search/demo?keyword=x HTTP/1.1\r\n" + HOST + b"\r\n")
        async with asyncio.timeout(20):
            while len(runner.server.connections) == before:
                await asyncio.sleep(0.01)
            while len(runner.server.connections) > before:
                await asyncio.sleep(0.05)
    finally:
        raw.close()


async def test_it_is_told_in_the_language_of_the_request(api: Api) -> None:
    head = b"GET / HTTP/1.1\r\nAccept-Language: en-GB, zh;q=0.5\r\nBad Header: x\r\n\r\n"
    _, _, problem = await ask(api, head)
    assert problem["detail"].isascii()


@pytest.mark.parametrize(
    "target", ["/api/search/demo?keyword=斗罗大陆", "http://localhost/api/search/demo?keyword=斗罗大陆"]
)
async def test_raw_bytes_in_an_address_are_understood(api: Api, target: str) -> None:
    raw = await Raw.to(api)
    for _ in range(3):
        await raw.send(f"GET {target} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
        status, _, _ = await raw.answer()
        assert status == 200
    raw.close()
    assert [call[2]["keyword"] for call in api.caller.calls if call[1] == "search"] == ["斗罗大陆"] * 3


async def test_they_are_understood_however_the_bytes_come(api: Api) -> None:
    data = "\r\nGET /api/search/demo?keyword=海贼王 HTTP/1.1\r\n".encode() + HOST + b"\r\n"
    raw = await Raw.to(api)
    for byte in data:
        await raw.send(bytes([byte]))
        await asyncio.sleep(0)
    assert (await raw.answer())[0] == 200
    raw.close()
    assert api.caller.calls[0][2] == {"keyword": "海贼王"}


async def test_bytes_that_are_no_utf8_are_said_to_be_none(api: Api) -> None:
    for keyword in ("斗罗".encode("gbk"), b"%B6%B7"):
        status, _, problem = await ask(
            api, b"GET /api/search/demo?keyword=" + keyword + b" HTTP/1.1\r\n" + HOST + b"\r\n"
        )
        assert (status, problem["code"], problem["field"]) == (400, "request_invalid", "keyword")
        assert "UTF-8" in problem["detail"]
    assert not api.caller.calls
    percent = await api.client.get("/api/search/demo", params={"keyword": "100%B6"})
    assert percent.status == 200


async def test_a_body_is_never_touched(api: Api) -> None:
    """Also one that looks like a request, on a connection that was used before."""
    raw = await Raw.to(api)
    await raw.send(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
    assert (await raw.answer())[0] == 200
    text = "GET /海贼王 HTTP/1.1\r\n\r\nGET /é HTTP/1.1\r\n\r\n"
    body = json.dumps({"a": text}, ensure_ascii=False).encode()
    body = body.replace(b"\\r\\n", b"  ")
    head = b"PUT /api/plugins/search/demo/config HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n".encode()
    await raw.send(head)
    for part in (body[:9], body[9:30], body[30:]):
        await raw.send(part)
        await asyncio.sleep(0.01)
    status, _, answer = await raw.answer()
    raw.close()
    assert (status, answer["config"]) == (200, json.loads(body))


async def test_a_body_whose_chunks_break_is_answered_at_once(api: Api) -> None:
    raw = await Raw.to(api)
    head = b"POST /api/plugins/delete HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    await raw.send(head + b'5\r\n{"a":\r\n')
    await asyncio.sleep(0.05)
    await raw.send(b"ZZZ\r\n")
    status, headers, problem = await raw.answer()
    assert (status, problem["code"]) == (400, "request_invalid")
    assert headers["Content-Type"].startswith("application/problem+json")
    assert await raw.is_closed()
    raw.close()


async def test_requests_in_one_go_are_all_answered(api: Api) -> None:
    raw = await Raw.to(api)
    request = "GET /api/search/demo?keyword=名{} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    await raw.send("".join(request.format(number) for number in range(5)).encode())
    assert [(await raw.answer())[0] for _ in range(5)] == [200] * 5
    raw.close()
    assert [call[2]["keyword"] for call in api.caller.calls] == [f"名{number}" for number in range(5)]


# Without a socket


def fed(data: bytes, cuts: list[int]) -> bytes:
    lines, got, start = RequestLines(), b"", 0
    for end in [*sorted(cut for cut in cuts if cut < len(data)), len(data)]:
        got += lines.feed(data[start:end])
        start = end
    return got


REQUEST = "GET /é HTTP/1.1\r\nHost: é\r\nX: y\r\n\r\n".encode()
WITH_BODY = "PUT /é HTTP/1.1\r\ncontent-Length : 20\r\n\r\nGET /é HTTP/1.1\r\n\r\n".encode()
UPGRADED = "GET /é HTTP/1.1\r\nUpgrade: websocket\r\n\r\n\r\nGET /é HTTP/1.1\r\n\r\n".encode()


@given(st.lists(st.integers(0, 80), max_size=6))
def test_only_the_request_line_changes_however_it_is_cut(cuts: list[int]) -> None:
    escaped = REQUEST.replace("/é".encode(), b"/%C3%A9")
    assert fed(REQUEST, cuts) == escaped
    assert fed(REQUEST, []) == escaped
    assert fed(REQUEST + REQUEST, [len(REQUEST)]) == escaped * 2
    assert fed(b"\r\n" + REQUEST, []) == b"\r\n" + escaped


@given(st.sampled_from([WITH_BODY, UPGRADED]), st.lists(st.integers(0, 90), max_size=6))
def test_what_follows_a_head_with_a_body_is_left_alone(data: bytes, cuts: list[int]) -> None:
    head_end = data.index(b"\r\n\r\n") + 4
    assert fed(data, cuts)[-len(data[head_end:]) :] == data[head_end:]


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_bytes_below_128_are_never_changed(data: bytes, cuts: list[int]) -> None:
    plain = bytes(byte & 0x7F for byte in data)
    assert fed(plain, cuts) == plain
