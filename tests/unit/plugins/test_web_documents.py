"""What all plugins fetch documents with, against a server that misbehaves: `plugins/shared/web_documents.py`."""

from __future__ import annotations

import asyncio
import base64
import gzip
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from plugins.shared import web_failures
from plugins.shared.web_documents import Answer, Web
from plugins.shared.web_failures import retry_after_s
from plugins.shared.web_unpacking import BARE, GZIP, ZLIB, Unpacker

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
TEXT = b"some words " * 1000


class Peer:
    """A server whose pages a test puts in place; `asked` are the requests that it got."""

    def __init__(self) -> None:
        self.pages: dict[str, Handler] = {}
        self.asked: list[web.Request] = []
        self.url = ""
        self.port = 0

    def put(self, path: str, body: bytes = TEXT, status: int = 200, **headers: str) -> str:
        async def answer(request: web.Request) -> web.StreamResponse:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return web.Response(body=body, status=status, headers=named)

        self.pages[path] = answer
        return self.url + path

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        return await self.pages[request.path](request)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    found = Peer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.handle)
    async with TestServer(app, host="127.0.0.1") as server:
        found.url = str(server.make_url("")).rstrip("/")
        found.port = server.port or 0
        yield found


async def get(url: str, max_bytes: int = 1_000_000, timeout_s: float = 5.0, redirects: int = 5) -> Answer:
    async with Web({"User-Agent": "Test"}, timeout_s=timeout_s, redirects=redirects) as connections:
        return await connections.get(url, max_bytes=max_bytes)


def packed(data: bytes, window: int) -> bytes:
    packer = zlib.compressobj(wbits=window)
    return packer.compress(data) + packer.flush()


async def test_any_status_is_an_answer_and_only_documents_must_succeed(peer: Peer) -> None:
    url = peer.put("/gone", b"no", 410)
    answer = await get(url)
    assert (answer.url, answer.status, answer.reason, answer.body) == (url, 410, "Gone", b"no")
    async with Web({}, timeout_s=5) as connections:
        with pytest.raises(web_failures.BadStatus, match="HTTP 410 Gone"):
            await connections.document(url, max_bytes=100)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", packed(TEXT, GZIP)),
        ("x-gzip", packed(TEXT[:100], GZIP) + packed(TEXT[100:], GZIP)),
        ("gzip", packed(TEXT, GZIP) + b"\0\0\0"),
        ("deflate", packed(TEXT, ZLIB)),
        ("Deflate", packed(TEXT, BARE)),
        ("identity", TEXT),
        ("UTF-8", TEXT),
    ],
)
async def test_what_is_packed_for_the_way_is_unpacked(peer: Peer, encoding: str, body: bytes) -> None:
    assert (await get(peer.put("/a", body, Content_Encoding=encoding))).body == TEXT
    assert peer.asked[0].headers["Accept-Encoding"] == "gzip, deflate"


@pytest.mark.parametrize(
    ("encoding", "body", "says"),
    [
        ("gzip", packed(TEXT, GZIP)[:-9], "in the middle"),
        ("gzip", TEXT, "cannot be unpacked"),
        ("br", TEXT, "packed with br"),
    ],
)
async def test_half_an_answer_is_none(peer: Peer, encoding: str, body: bytes, says: str) -> None:
    with pytest.raises(web_failures.Broken, match=says):
        await get(peer.put("/a", body, Content_Encoding=encoding))


async def test_size_is_bounded_however_small_it_is_packed(peer: Peer) -> None:
    bomb = peer.put("/bomb", gzip.compress(b" " * 100_000_000), Content_Encoding="gzip")
    with pytest.raises(web_failures.TooLarge, match="larger than 97 KiB"):
        await get(bomb, max_bytes=100_000)
    async with Web({}, timeout_s=5) as connections:
        cut = await connections.get(bomb, max_bytes=1000, cuts=True)
        assert (cut.body, cut.is_cut) == (b" " * 1000, True)
        whole = await connections.get(peer.put("/a"), max_bytes=len(TEXT), cuts=True)
        assert (whole.body, whole.is_cut) == (TEXT, False)


def test_a_bomb_comes_out_piece_by_piece() -> None:
    assert max(map(len, Unpacker(GZIP).pieces(gzip.compress(b" " * 50_000_000)))) <= 256 * 1024


async def test_a_body_that_is_not_wanted_is_not_read(peer: Peer) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "video/mp4"})
        await response.prepare(request)
        await asyncio.Event().wait()
        return response

    peer.pages["/film"] = endless
    async with Web({}, timeout_s=5) as connections:
        answer = await connections.get(f"{peer.url}/film", max_bytes=1, wanted=lambda answer: False)
    assert answer.headers["content-type"] == "video/mp4" and not answer.body


async def test_redirects_are_counted_and_lead_to_web_addresses_only(peer: Peer) -> None:
    peer.put("/new/页 面", TEXT)
    old = peer.put("/old", b"", 302, Location="new/页 面#top")
    assert (await get(old)).url == f"{peer.url}/new/页 面#top"
    with pytest.raises(web_failures.TooManyRedirects, match="more than 3 redirects"):
        await get(peer.put("/round", b"", 301, Location="/round"), redirects=3)
    assert len([one for one in peer.asked if one.path == "/round"]) == 4
    for target in ("file:///etc/passwd", "magnet:?xt=urn:btih:x", "ftp://127.0.0.1/"):
        with pytest.raises(web_failures.AddressRefused, match="neither http nor https") as refused:
            await get(peer.put("/away", b"", 303, Location=target))
        assert refused.value.target == target


@pytest.mark.parametrize("url", ["file:///etc/passwd", "//x/", "http://", "http://a:b/", "http://[x", "x"])
async def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"neither http nor https|not valid"):
        await get(url)


async def test_addresses_go_out_as_they_are_written(peer: Peer) -> None:
    peer.put("//a b/ü%")
    await get(f"{peer.url}/%2Fa%20b/ü%?x=%7Ea+b&y=斗 罗#z")
    assert peer.asked[-1].raw_path == "/%2Fa%20b/%C3%BC%25?x=%7Ea+b&y=%E6%96%97%20%E7%BD%97"


async def test_a_login_goes_to_its_own_server_only(peer: Peer) -> None:
    expected = "Basic " + base64.b64encode(b"me:s3 cret").decode()
    peer.put("/in", b"")
    peer.put("/out", b"", 302, Location=f"http://localhost:{peer.port}/in")
    answer = await get(f"http://me:s3%20cret@127.0.0.1:{peer.port}/in")
    assert "s3" not in answer.url
    await get(f"http://me:s3%20cret@127.0.0.1:{peer.port}/out")
    assert [one.headers.get("Authorization") for one in peer.asked] == [expected, expected, None]


async def test_private_headers_stay_with_their_host(peer: Peer) -> None:
    other = f"http://localhost:{peer.port}"
    peer.put("/in", b"")
    peer.put("/out", b"", 302, Location=f"{other}/in")
    mine = {"Cookie": "a=b", "X-Token": "t"}
    async with Web(mine, timeout_s=5, home=peer.url) as connections:
        for url in (f"{peer.url}/in", f"{other}/in", f"{peer.url}/out"):
            await connections.get(url, max_bytes=100)
    seen = [(one.headers.get("Cookie"), one.headers["X-Token"]) for one in peer.asked]
    assert seen == [("a=b", "t"), (None, "t"), ("a=b", "t"), (None, "t")]
    peer.asked.clear()
    async with Web({}, timeout_s=5) as connections:
        await connections.get(f"{peer.url}/out", max_bytes=100, headers={"authorization": "x", "Accept": "y"})
    seen = [(one.headers.get("Authorization"), one.headers["Accept"]) for one in peer.asked]
    assert seen == [("x", "y"), (None, "y")]


async def test_cookies_last_as_long_as_the_connections(peer: Peer) -> None:
    async def door(request: web.Request) -> web.StreamResponse:
        if request.cookies.get("seen") == "1":
            return web.Response(body=TEXT)
        return web.Response(status=302, headers={"Location": "/door", "Set-Cookie": "seen=1"})

    peer.pages["/door"] = door
    assert (await get(f"{peer.url}/door")).body == TEXT
    assert len(peer.asked) == 2
    await get(f"{peer.url}/door")
    assert "Cookie" not in peer.asked[2].headers


async def dripping(request: web.Request) -> web.StreamResponse:
    """Two KiB every twentieth of a second, twenty times."""
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(20):
        await response.write(b"x" * 2048)
        await asyncio.sleep(0.05)
    return response


async def test_time_is_for_all_of_it_or_for_standing_still(peer: Peer) -> None:
    peer.pages["/slow"] = dripping
    with pytest.raises(TimeoutError, match=r"no whole answer within 0\.4 s"):
        await get(f"{peer.url}/slow", timeout_s=0.4)
    async with Web({}, timeout_s=0.4, stalls=True) as connections:
        assert len((await connections.get(f"{peer.url}/slow", max_bytes=10**6)).body) == 40_960
        assert connections.received == 40_960

        async def never(request: web.Request) -> web.StreamResponse:
            await asyncio.Event().wait()
            return web.Response()

        peer.pages["/never"] = never
        with pytest.raises(web_failures.TooSlow, match="too slow: next to nothing came"):
            await connections.get(f"{peer.url}/never", max_bytes=1)


async def test_a_document_is_tried_again_as_often_as_asked_for(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plugins.shared.web_documents.BACKOFF_S", 0.01)

    async def third(request: web.Request) -> web.StreamResponse:
        return web.Response(status=200 if len(peer.asked) % 3 == 0 else 503, body=b"whole")

    peer.pages["/third"] = third
    async with Web({}, timeout_s=5, retries=2) as connections:
        assert (await connections.document(f"{peer.url}/third", max_bytes=100)).body == b"whole"
    async with Web({}, timeout_s=5, retries=1) as connections:
        with pytest.raises(web_failures.BadStatus) as failed:
            await connections.document(f"{peer.url}/third", max_bytes=100)
        assert (failed.value.status, failed.value.attempts, len(peer.asked)) == (503, 2, 5)
        peer.asked.clear()
        with pytest.raises(web_failures.AddressRefused):
            await connections.document(peer.put("/away", b"", 302, Location="file:///"), max_bytes=100)
        assert len(peer.asked) == 1


async def test_the_environments_proxy_is_used_but_not_for_this_machine(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://user:word@127.0.0.1:{peer.port}")
    peer.put("/page")
    assert (await get("http://pages.invalid/page")).body == TEXT
    assert peer.asked[0].headers["Proxy-Authorization"] == (
        "Basic " + base64.b64encode(b"user:word").decode()
    )
    assert (await get(f"{peer.url}/page")).body == TEXT
    assert "Proxy-Authorization" not in peer.asked[1].headers


async def test_who_is_not_there_is_named_without_the_address(unused_tcp_port: int) -> None:
    with pytest.raises(web_failures.NotConnected) as failed:
        await get(f"http://me:secret@127.0.0.1:{unused_tcp_port}/path?key=secret")
    assert f"cannot connect to 127.0.0.1:{unused_tcp_port} (Connection refused)" in str(failed.value)
    assert "secret" not in str(failed.value)


def test_retry_after_has_two_forms() -> None:
    assert (retry_after_s("3"), retry_after_s(" 0.5 ")) == (3.0, 0.5)
    assert retry_after_s("Fri, 31 Dec 1999 23:59:59 GMT") == 0.0
    assert retry_after_s("soon") is retry_after_s("") is retry_after_s("-1") is None


def test_importing_it_imports_nothing_heavy() -> None:
    code = (
        "import sys, plugins.shared.web_documents; sys.exit({'aiohttp', 'yarl'} & set(sys.modules) != set())"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, timeout=30, check=False).returncode == 0
