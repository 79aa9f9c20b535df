"""Fetching against real servers that lie, stall, flood and redirect; only name lookups are made up."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import socket
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import formatdate
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer

from service.errors import FetchFailed, LoadFailed, RequestRefused
from service.host.installing.fetch import Fetched, fetch, fetch_requirements, open_session
from service.host.installing.resolver import GuardedResolver, SystemResolver, guarded_socket
from service.model.plugin import Stage

PLUGIN = "# 插件\nx = 1\n".encode()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[str]]
Raw = Callable[[Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]], Awaitable[str]]


class Names(AbstractResolver):
    """A name server whose answers to one name change from lookup to lookup."""

    def __init__(self, *answers: list[str] | OSError) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        answer = self.answers[min(len(self.asked), len(self.answers) - 1)]
        self.asked.append(host)
        if isinstance(answer, OSError):
            raise answer
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in answer
        ]

    async def close(self) -> None:
        pass


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    servers: list[TestServer] = []

    async def start(handler: Handler) -> str:
        app = web.Application()
        app.router.add_route("*", r"/{path:[\s\S]*}", handler)
        server = TestServer(app, host="127.0.0.1")
        await server.start_server()
        servers.append(server)
        return f"http://127.0.0.1:{server.port}"

    yield start
    for server in servers:
        await server.close()


@pytest.fixture
async def raw() -> AsyncIterator[Raw]:
    """Servers that speak whatever they like."""
    servers: list[asyncio.Server] = []
    tasks: set[asyncio.Task[None]] = set()

    async def start(speak: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> str:
        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await reader.readuntil(b"\r\n\r\n")
                await speak(reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(converse, "127.0.0.1", 0)
        servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    yield start
    for server in servers:
        server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def get(url: str, **options: Any) -> Fetched:
    return await fetch(url, **{"max_bytes": 100_000, "timeout_s": 10.0, **options})


def answers(body: bytes, **options: Any) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body, **options)

    return handler


async def test_a_file_as_it_is(serve: Serve) -> None:
    seen: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request)
        return web.Response(body=PLUGIN)

    base = await serve(handler)
    found = await get(f"{base}/a/demo_plugin.py?x=1#f")
    assert found == Fetched(
        PLUGIN, f"{base}/a/demo_plugin.py?x=1", "demo_plugin.py", hashlib.sha256(PLUGIN).hexdigest()
    )
    assert seen[0].headers["Accept-Encoding"] == "identity"
    assert "Authorization" not in seen[0].headers
    assert "Cookie" not in seen[0].headers


@pytest.mark.parametrize(
    ("path", "disposition", "name"),
    [
        ("/x/%E6%8F%92_plugin.py", None, "插_plugin.py"),
        ("/raw", 'attachment; filename="demo_plugin.py"', "demo_plugin.py"),
        ("/ok_plugin.py", 'attachment; filename="../../etc/passwd"', "ok_plugin.py"),
        ("/raw", 'attachment; filename="../../x_plugin.py"', "x_plugin.py"),
        ("/raw", 'attachment; filename="..\\\\..\\\\y_plugin.py"', "y_plugin.py"),
        ("/raw", 'attachment; filename=".hidden.py"', "raw"),
        ("/a%2F..%2Fz_plugin.py", None, "z_plugin.py"),
        ("/", None, ""),
        ("/" + "n" * 300, None, ""),
        ("/%00.py", None, ""),
        ("/%0Aa.py", None, ""),
    ],
)
async def test_the_name_is_a_bare_one(serve: Serve, path: str, disposition: str | None, name: str) -> None:
    headers = {"Content-Disposition": disposition} if disposition else {}
    base = await serve(answers(PLUGIN, headers=headers))
    assert (await get(base + path)).filename == name


async def test_redirects_are_followed_counted_and_end(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.Response:
        left = int(request.query.get("left", 0))
        if left == 0:
            return web.Response(body=PLUGIN)
        status = [301, 302, 303, 307, 308][left % 5]
        return web.Response(status=status, headers={"Location": f"/step/x_plugin.py?left={left - 1}"})

    base = await serve(handler)
    found = await get(f"{base}/a?left=5", redirects=5)
    assert found.content == PLUGIN
    assert found.url == f"{base}/step/x_plugin.py?left=0"
    with pytest.raises(FetchFailed, match="more than 5 times"):
        await get(f"{base}/a?left=6", redirects=5)
    with pytest.raises(FetchFailed, match="more than 0 times"):
        await get(f"{base}/a?left=1", redirects=0)


@pytest.mark.parametrize(
    "location",
    [
        "ftp://example.org/x",
        "file:///etc/passwd",
        "data:text/plain,x",
        "http://169.254.169.254/latest/",
        "//169.254.169.254/latest/",
        "http://[fe80::1%25eth0]/",
        "http://2852039166/",
        "http://metadata.google.internal/",
        "http://0.0.0.0/",
    ],
)
async def test_a_redirect_is_checked_like_the_first_address(serve: Serve, location: str) -> None:
    base = await serve(answers(b"", status=302, headers={"Location": location}))
    with pytest.raises(RequestRefused) as caught:
        await get(base)
    assert caught.value.code == "url_refused"


@pytest.mark.parametrize("location", [None, "", "http://[", "http://h:99999/"])
async def test_a_redirect_to_nowhere(serve: Serve, location: str | None) -> None:
    base = await serve(answers(b"", status=302, headers={} if location is None else {"Location": location}))
    with pytest.raises(FetchFailed):
        await get(base)


async def test_a_redirect_with_bytes_that_are_no_text(raw: Raw) -> None:
    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://\xff\xfe/\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    with pytest.raises((FetchFailed, RequestRefused)):
        await get(await raw(speak))


async def test_only_allowed_hosts_on_every_step(serve: Serve) -> None:
    target = await serve(answers(PLUGIN))
    base = await serve(
        answers(b"", status=302, headers={"Location": target.replace("127.0.0.1", "localhost")})
    )
    assert (await get(base, allowed_hosts=["127.0.0.1", "localhost"])).content == PLUGIN
    with pytest.raises(RequestRefused, match="allowed_hosts"):
        await get(base, allowed_hosts=["127.0.0.1"])
    with pytest.raises(RequestRefused, match="allowed_hosts"):
        await get(base, allowed_hosts=["example.org"])


async def test_a_downgrade_is_not_followed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    base = await serve(answers(b"", status=302, headers={"Location": "http://127.0.0.1:1/x"}))
    real = aiohttp.ClientSession.get

    def plain(self: aiohttp.ClientSession, url: Any, **options: Any) -> Any:
        return real(self, str(url).replace("https://", "http://"), **options)

    monkeypatch.setattr(aiohttp.ClientSession, "get", plain)
    with pytest.raises(RequestRefused, match="https to http"):
        await get(base.replace("http://", "https://"))


async def test_credentials_go_to_their_host_only_and_are_not_told(serve: Serve) -> None:
    seen: list[str | None] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        if request.path == "/start":
            return web.Response(status=302, headers={"Location": f"{other}/x_plugin.py"})
        return web.Response(body=PLUGIN)

    other = (await serve(handler)).replace("127.0.0.1", "localhost")
    base = await serve(handler)
    found = await get(base.replace("//", "//user:hunter2@") + "/start")
    assert seen[0] is not None
    assert seen[0].startswith("Basic ")
    assert seen[1] is None
    assert "hunter2" not in found.url
    with pytest.raises(FetchFailed) as caught:
        await get("http://user:hunter2@127.0.0.1:1/x?token=hunter2")
    assert "hunter2" not in f"{caught.value.text} {caught.value.fields}"
    assert (await get(base.replace("//", "//user:hunter2@") + "/x.py")).url == f"{base}/x.py"


async def test_a_name_that_leads_to_metadata(serve: Serve) -> None:
    for address in ("169.254.169.254", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254", "0.0.0.0", "::"):
        async with open_session(Names([address])) as session:
            with pytest.raises(RequestRefused) as caught:
                await get("http://innocent.example/x", session=session)
            assert caught.value.code == "url_refused"
            assert "innocent.example" in caught.value.text.zh


async def test_one_bad_address_among_good_ones_refuses_all() -> None:
    async with open_session(Names(["127.0.0.1", "169.254.169.254"])) as session:
        with pytest.raises(RequestRefused):
            await get("http://innocent.example:1/x", session=session)


async def test_a_name_that_changes_between_check_and_connection(serve: Serve) -> None:
    """DNS rebinding: what was looked up is what is connected to, and each new lookup is checked anew."""

    async def handler(request: web.Request) -> web.Response:
        assert request.host.startswith("rebind.example")
        return web.Response(status=302, headers={"Location": "/again"})

    base = (await serve(handler)).replace("127.0.0.1", "rebind.example")
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    async with open_session(names) as session:
        with pytest.raises(RequestRefused) as caught:
            await get(base, session=session)
    assert caught.value.code == "url_refused"
    assert names.asked == ["rebind.example", "rebind.example"]
    once = Names(["127.0.0.1"], ["169.254.169.254"])
    good = (await serve(answers(PLUGIN))).replace("127.0.0.1", "rebind.example")
    async with open_session(once) as session:
        assert (await get(good, session=session)).content == PLUGIN
    assert once.asked == ["rebind.example"], "one lookup: the checked address is the connected one"


async def test_each_file_beside_a_plugin_is_looked_up_and_checked_anew(serve: Serve) -> None:
    base = (await serve(answers(b"nothing", status=404))).replace("127.0.0.1", "rebind.example")
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    async with open_session(names) as session:
        with pytest.raises(RequestRefused) as caught:
            await fetch_requirements(
                f"{base}/demo_plugin.py", names=["demo", "demo_plugin"], timeout_s=5, session=session
            )
    assert caught.value.code == "url_refused"
    assert names.asked == ["rebind.example", "rebind.example"]


def test_the_socket_itself_is_guarded() -> None:
    with pytest.raises(RequestRefused):
        guarded_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80)))
    guarded_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))).close()


async def test_an_unknown_name_says_so() -> None:
    async with open_session(Names(OSError("no such name"))) as session:
        with pytest.raises(FetchFailed, match=r"unknown\.example is not known"):
            await get("http://unknown.example/x", session=session)


async def test_names_are_looked_up_without_the_shared_threads() -> None:
    found = await GuardedResolver(SystemResolver()).resolve("localhost", 80, socket.AF_UNSPEC)
    assert {one["host"] for one in found} & {"127.0.0.1", "::1"}
    with pytest.raises(OSError):  # the system's own words differ
        await SystemResolver().resolve("no-such-host.invalid")
    with pytest.raises(OSError):
        await SystemResolver().resolve("a" * 300)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 503, 204, 206, 304, 299])
async def test_any_other_answer_is_a_failure_that_names_it(serve: Serve, status: int) -> None:
    base = await serve(answers(b"" if status in (204, 304) else b"x = 1", status=status))
    with pytest.raises(FetchFailed) as caught:
        await get(base)
    assert caught.value.code == "fetch_failed"
    assert str(status) in caught.value.text.zh
    assert caught.value.fields["upstream_status"] == status


async def test_sizes(serve: Serve) -> None:
    body = b"x = 1\n" + b"#" * 994
    base = await serve(answers(body))
    assert len((await get(base, max_bytes=1000)).content) == 1000
    with pytest.raises(RequestRefused) as caught:
        await get(base, max_bytes=999)
    assert caught.value.code == "too_large"
    assert caught.value.fields["limit"] == 999


async def test_a_body_without_end_is_cut_off(serve: Serve) -> None:
    sent = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"#" * 65536)
            sent += 65536

    base = await serve(handler)
    tracemalloc.start()
    with pytest.raises(RequestRefused) as caught:
        await get(base, max_bytes=1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.code == "too_large"
    assert peak < 20_000_000


async def test_slow_servers_are_left(raw: Raw) -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"#")
            await writer.drain()
            await asyncio.sleep(0.01)

    async def headers(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X")
            await writer.drain()
            await asyncio.sleep(0.01)

    async def interim(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    for speak in (silent, drip, headers, interim):
        started = time.monotonic()
        with pytest.raises(FetchFailed) as caught:
            await get(await raw(speak), timeout_s=0.3)
        assert caught.value.code == "fetch_timeout"
        assert "0.3" in caught.value.text.zh
        assert time.monotonic() - started < 3


async def test_the_time_limit_is_for_all_redirects_together(serve: Serve) -> None:
    async def handler(_: web.Request) -> web.Response:
        await asyncio.sleep(0.2)
        return web.Response(status=302, headers={"Location": "/x"})

    with pytest.raises(FetchFailed) as caught:
        await get(await serve(handler), timeout_s=0.5, redirects=1000)
    assert caught.value.code == "fetch_timeout"


async def test_a_slow_lookup_counts_too() -> None:
    class Slow(Names):
        async def resolve(self, *_: Any, **__: Any) -> list[ResolveResult]:
            await asyncio.Event().wait()
            return []

    async with open_session(Slow()) as session:
        with pytest.raises(FetchFailed) as caught:
            await get("http://slow.example/", session=session, timeout_s=0.2)
    assert caught.value.code == "fetch_timeout"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"hello\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nx = 1\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx = 1\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nx = 1\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx = 1\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nx = 1\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\nx = 1\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000 + b"\r\nx = 1\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 5\r\n\r\nx = 1",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nx = 1",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(PLUGIN * 9, mtime=0)[:-9],
        b"\x16\x03\x01\x02\x00",
    ],
)
async def test_answers_that_are_broken(raw: Raw, answer: bytes) -> None:
    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    with pytest.raises(FetchFailed) as caught:
        await get(await raw(speak))
    assert caught.value.code == "fetch_failed"
    assert "127.0.0.1" in caught.value.text.zh


async def test_a_huge_content_length_is_refused_before_the_body(raw: Raw) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        await reader.read()

    with pytest.raises(RequestRefused) as caught:
        await get(await raw(speak))
    assert caught.value.code == "too_large"


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(PLUGIN, mtime=0)),
        ("x-gzip", gzip.compress(PLUGIN, mtime=0)),
        ("GZIP", gzip.compress(PLUGIN[:5], mtime=0) + gzip.compress(PLUGIN[5:], mtime=0)),
        ("gzip", gzip.compress(PLUGIN, mtime=0) + b"\0" * 100),
        ("deflate", zlib.compress(PLUGIN)),
        ("deflate", zlib.compress(PLUGIN, wbits=-15)),
        ("identity", PLUGIN),
    ],
)
async def test_bodies_that_were_compressed_unasked(serve: Serve, encoding: str, body: bytes) -> None:
    base = await serve(answers(body, headers={"Content-Encoding": encoding}))
    assert (await get(base)).content == PLUGIN


@pytest.mark.parametrize(
    "body",
    [
        # Made where it is sent: it takes a while.
        lambda: gzip.compress(b"#" * 300_000_000, 1, mtime=0),
        lambda: gzip.compress(b"#" * 200_001, mtime=0),
        lambda: gzip.compress(b"", mtime=0) * 20_000,
    ],
    ids=["bomb", "just too large", "empty members"],
)
async def test_what_unpacks_to_more_is_cut_off(serve: Serve, body: Callable[[], bytes]) -> None:
    base = await serve(answers(body(), headers={"Content-Encoding": "gzip"}))
    tracemalloc.start()
    with pytest.raises(RequestRefused) as caught:
        await get(base, max_bytes=200_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.code == "too_large"
    assert peak < 20_000_000


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0", "binary"),
        (b"PK\x03\x04\0\0", "binary"),
        (os.urandom(4096) + b"\0", "binary"),
        (b"x = 1\n# \xff\xfe\n", "line 2"),
        ("x = 1".encode("utf-16"), "UTF-16"),
        (b"<!DOCTYPE html><html></html>", "raw file"),
        (b"\n  <html>", "raw file"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>", "raw file"),
        (b"# coding: no-such-codec\n", "encoding"),
        (b"# coding: punycode\nx", "encoding"),
    ],
)
async def test_what_is_no_text_is_refused_with_a_hint(serve: Serve, body: bytes, hint: str) -> None:
    base = await serve(answers(body))
    with pytest.raises(LoadFailed) as caught:
        await get(f"{base}/demo_plugin.py")
    error = caught.value.error
    assert (error.stage, error.code, error.file) == (Stage.FETCH, "not_text", "demo_plugin.py")
    assert hint in error.messages.en
    assert "demo_plugin.py" in error.messages.zh


@pytest.mark.parametrize(
    "body",
    [
        b"",
        "# -*- coding: gbk -*-\n# 插件\n".encode("gbk"),
        b"\xef\xbb\xbfx = 1\n",
        ("# " + "长" * 3000 + "\n").encode(),
        b"# coding: latin-1\n# \xe9\n",
    ],
)
async def test_what_python_reads_is_taken(serve: Serve, body: bytes) -> None:
    assert (await get(await serve(answers(body)))).content == body


async def test_a_refused_connection_says_where() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(FetchFailed, match=f"127.0.0.1:{port}"):
            await get(f"http://127.0.0.1:{port}/x")


async def test_https_to_a_server_that_has_no_tls(serve: Serve) -> None:
    with pytest.raises(FetchFailed, match="secure"):
        await get((await serve(answers(PLUGIN))).replace("http://", "https://"))


async def test_cancelling_leaves_no_connection(raw: Raw) -> None:
    ended, begun = asyncio.Event(), asyncio.Event()

    async def speak(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        begun.set()
        await reader.read()
        ended.set()

    task = asyncio.create_task(get(await raw(speak)))
    await asyncio.wait_for(begun.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(ended.wait(), 5)


async def test_a_proxy_from_the_environment_is_not_asked(
    serve: Serve, raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nproxy")

    monkeypatch.setenv("HTTP_PROXY", await raw(speak))
    monkeypatch.setenv("http_proxy", await raw(speak))
    assert (await get(await serve(answers(PLUGIN)))).content == PLUGIN


async def test_requirements_beside_a_plugin(serve: Serve) -> None:
    there = {"/a/demo_plugin_requirements.txt": b"httpx\n"}
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        body = there.get(request.path)
        return web.Response(body=body) if body is not None else web.Response(status=404)

    base = await serve(handler)
    url = f"{base}/a/demo_plugin.py?token=1"
    options: dict[str, Any] = {"names": ("demo", "demo_plugin"), "timeout_s": 5.0}
    found = await fetch_requirements(url, **options)
    assert found is not None
    assert (found.content, found.filename) == (b"httpx\n", "demo_plugin_requirements.txt")
    assert asked == ["/a/demo_requirements.txt?token=1", "/a/demo_plugin_requirements.txt?token=1"]
    there["/a/demo_requirements.txt"] = b"# first\n"
    found = await fetch_requirements(url, **options)
    assert found is not None
    assert found.content == b"# first\n"
    there.clear()
    assert await fetch_requirements(url, **options) is None
    assert await fetch_requirements(f"{base}/", **options) is None
    there["/a/demo_requirements.txt"] = b"<!doctype html>not found"
    assert await fetch_requirements(url, **options) is None
    there["/a/demo_requirements.txt"] = b"#" * 65537
    with pytest.raises(RequestRefused):
        await fetch_requirements(url, **options)


@pytest.mark.parametrize("status", [500, 502, 429])
async def test_requirements_that_cannot_be_had_are_a_failure(serve: Serve, status: int) -> None:
    base = await serve(answers(b"", status=status))
    with pytest.raises(FetchFailed):
        await fetch_requirements(f"{base}/x_plugin.py", names=("x",), timeout_s=5)


async def test_requirements_are_guarded_too(serve: Serve) -> None:
    base = await serve(answers(b"", status=302, headers={"Location": "http://169.254.169.254/"}))
    with pytest.raises(RequestRefused):
        await fetch_requirements(f"{base}/x_plugin.py", names=("x",), timeout_s=5)
    with pytest.raises(RequestRefused):
        await fetch_requirements("http://169.254.169.254/x_plugin.py", names=("x",), timeout_s=5)


@pytest.mark.parametrize(("age_s", "kept"), [(0, False), (1, False), (2, True), (3600, True)])
async def test_a_time_that_may_not_tell_two_contents_apart_is_not_kept(
    serve: Serve, age_s: int, kept: bool
) -> None:
    def stamp(at: float) -> str:
        return formatdate(at, usegmt=True)

    async def handler(_: web.Request) -> web.Response:
        now = time.time()
        return web.Response(
            body=PLUGIN, headers={"Date": stamp(now), "Last-Modified": stamp(now - age_s), "ETag": '"one"'}
        )

    fetched = await get(f"{await serve(handler)}/demo_plugin.py")
    assert (fetched.modified is not None, fetched.etag) == (kept, '"one"')
