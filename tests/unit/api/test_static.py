from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from service.api import pages
from service.api.problems import kind_of
from service.api.static import CONTENT_POLICY, FrontEndMissing, add_static_routes

SCRIPT = b"console.log('page');" * 100


def build(folder: Path, title: str = "Plugbay") -> None:
    (folder / "assets").mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text(f"<!doctype html><title>{title}</title>", encoding="utf-8")
    (folder / "assets" / "app-1a2b.js").write_bytes(SCRIPT)
    (folder / "assets" / "app-1a2b.js.gz").write_bytes(gzip.compress(SCRIPT))
    (folder / "assets" / "mark-3c.svg").write_text("<svg/>", encoding="utf-8")
    (folder / ".stamp").write_text("hash", encoding="utf-8")
    (folder.parent / "secret.txt").write_text("secret", encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "_web"
    build(folder)
    return folder


@pytest.fixture
async def client(folder: Path):
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="api")

    app = web.Application()
    # Before and after: the order in which routes are added must not matter.
    app.router.add_post("/api/before", answer)
    add_static_routes(app, folder)
    app.router.add_get("/api/after", answer)
    app.router.add_get("/livez", answer)
    async with TestClient(TestServer(app), auto_decompress=False) as client:
        yield client


async def test_the_page_has_its_policy_and_is_never_kept(client: TestClient) -> None:
    response = await client.get("/")
    assert response.status == 200
    assert "<title>Plugbay</title>" in await response.text()
    headers = response.headers
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Content-Security-Policy"] == CONTENT_POLICY
    assert headers["Cache-Control"] == "no-cache"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere() -> None:
    directives = dict(part.strip().split(" ", 1) for part in CONTENT_POLICY.split(";"))
    assert directives.pop("img-src") == "'self' data:"
    assert directives["default-src"] == "'none'"
    assert set(directives.values()) == {"'self'", "'none'"}


@pytest.mark.parametrize("path", ["/plugins", "/plugins/search/demo", "/apiary", "/livezone"])
async def test_an_address_within_the_page_is_the_page(client: TestClient, path: str) -> None:
    response = await client.get(path)
    assert response.status == 200
    assert "<!doctype html>" in await response.text()


async def test_a_hashed_file_is_kept_for_good_and_sent_packed(client: TestClient) -> None:
    response = await client.get("/assets/app-1a2b.js", headers={"Accept-Encoding": "br, gzip"})
    assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert response.headers["Content-Encoding"] == "gzip"
    assert response.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(await response.read()) == SCRIPT


@pytest.mark.parametrize("accepted", ["identity", "gzip;q=0", "gzip; q=0.000, br"])
async def test_who_does_not_take_gzip_gets_it_plain(client: TestClient, accepted: str) -> None:
    response = await client.get("/assets/app-1a2b.js", headers={"Accept-Encoding": accepted})
    assert "Content-Encoding" not in response.headers
    assert await response.read() == SCRIPT


async def test_a_file_that_was_not_packed_is_sent_plain(client: TestClient) -> None:
    response = await client.get("/assets/mark-3c.svg", headers={"Accept-Encoding": "gzip"})
    assert response.headers["Content-Type"] == "image/svg+xml"
    assert await response.read() == b"<svg/>"


@pytest.mark.parametrize(
    "path",
    [
        "/assets/gone-9z.js",
        "/assets/gone",
        "/favicon.ico",
        "/.stamp",
        "/assets/../../secret.txt",
        "/..%2fsecret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/%2e%2e/secret.txt",
        "/assets/app-1a2b.js.gz",
        "/assets/%00.js",
    ],
)
async def test_what_the_build_did_not_write_is_not_there(client: TestClient, path: str) -> None:
    response = await client.get(path)
    assert response.status == 404
    assert "secret" not in await response.text()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/after", 200),
        ("GET", "/livez", 200),
        ("GET", "/api/before", 405),
        ("GET", "/api", 404),
        ("GET", "/api/unknown", 404),
        ("GET", "/metrics", 404),
        ("POST", "/", 405),
    ],
)
async def test_the_api_is_left_alone(client: TestClient, method: str, path: str, status: int) -> None:
    response = await client.request(method, path)
    assert response.status == status


async def test_an_unchanged_page_is_not_sent_again(client: TestClient) -> None:
    etag = (await client.get("/")).headers["ETag"]
    response = await client.get("/", headers={"If-None-Match": etag})
    assert response.status == 304
    assert await response.read() == b""


async def test_a_head_request_has_no_body(client: TestClient) -> None:
    response = await client.head("/")
    assert response.status == 200
    assert await response.read() == b""


async def test_a_new_build_is_served_without_a_restart(client: TestClient, folder: Path) -> None:
    await client.get("/")
    build(folder, "Second")
    (folder / "assets" / "app-4d5e.js").write_bytes(b"second")
    assert "Second" in await (await client.get("/")).text()
    assert await (await client.get("/assets/app-4d5e.js")).read() == b"second"


async def test_before_the_build_a_reader_is_told_what_to_do(tmp_path: Path) -> None:
    app = web.Application()
    add_static_routes(app, tmp_path / "_web")
    async with TestClient(TestServer(app)) as client:
        for accepted, words in (("zh", "尚未构建"), ("en", "make setup")):
            headers = {"Accept": "text/html", "Accept-Language": accepted}
            response = await client.get("/", headers=headers)
            assert response.status == 503
            assert words in await response.text()
            assert response.headers["Content-Security-Policy"] == pages.CONTENT_POLICY
        assert (await client.get("/assets/app.js")).status == 404
        build(tmp_path / "_web")
        assert (await client.get("/", headers={"Accept": "text/html"})).status == 200


def test_before_the_build_a_program_is_told_by_a_problem() -> None:
    assert kind_of(FrontEndMissing()).status == 503
