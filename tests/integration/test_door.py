"""The door on real sockets: every rule, on every route, the WebSocket, the dashboard and paths that are not there."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from service.api.access_log import AccessLog, protocol_logger
from service.api.credentials import Credentials
from service.api.door import TOKEN_FREE_PATHS
from service.api.keys import DOOR
from service.api.routes import ROUTES
from tests.unit.api.fakes import TOKEN, Api, running_api

WEBSOCKET = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
]


def _target(path: str) -> str:
    return re.sub(r"{type}", "search", re.sub(r"{(name|plugin)}", "demo", path))


# Method, target, headers that the target wants, and whether it is the WebSocket.
EVERYWHERE = [
    *((route.method, _target(route.path), WEBSOCKET if route.path == "/api/ws" else []) for route in ROUTES),
    ("GET", "/", []),
    ("GET", "/assets/missing.js", []),
    ("GET", "/api/nothing", []),
    ("DELETE", "/api/plugins", []),
    ("PATCH", "/api/plugins", []),
]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["code"])


async def ask(port: int, lines: list[str], body: bytes = b"", *, host: str = "127.0.0.1") -> Answer:
    """Send exactly these lines, and read the answer. The connection is closed for writing only after that."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        head = "\r\n".join([*lines, *([f"Content-Length: {len(body)}"] if body else []), "", ""])
        writer.write(head.encode("latin-1") + body)
        async with asyncio.timeout(10):
            start = (await reader.readline()).decode()
            headers: dict[str, str] = {}
            while line := (await reader.readline()).decode("latin-1").strip():
                name, _, value = line.partition(":")
                name = name.lower()
                headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
            length = int(headers.get("content-length", 0))
            return Answer(int(start.split()[1]), headers, await reader.readexactly(length))
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def cookie_of(token: str) -> str:
    response = web.Response()
    Credentials(token).set_cookie(response, secure=False)
    [(name, morsel)] = response.cookies.items()
    return f"{name}={morsel.value}"


async def request(
    api: Api, method: str, target: str, *headers: str, host: str | None = "localhost", body: bytes = b""
) -> Answer:
    lines = [f"{method} {target} HTTP/1.1"]
    if host is not None:
        lines.append(f"Host: {host}")
    return await ask(api.port, [*lines, *headers], body)


@pytest.fixture
async def loopback(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(
        tmp_path / "_web",
        allowed_hosts=["plug.lan", "other.lan:9000", "*.home.arpa"],
        allowed_origins=["https://app.example", "http://localhost:5173", "chrome-extension://abcdef"],
    ) as api:
        yield api


@pytest.fixture
async def public(tmp_path: Path) -> AsyncIterator[Api]:
    """Configured to listen on every address; the peer is loopback all the same, which must not matter."""
    async with running_api(
        tmp_path / "_web",
        listen_host="0.0.0.0",
        allowed_hosts=["plug.lan"],
        allowed_origins=["https://app.example"],
    ) as api:
        yield api


class TestHost:
    @pytest.mark.parametrize(("method", "target", "extra"), EVERYWHERE)
    async def test_a_foreign_host_is_refused_everywhere(
        self, loopback: Api, method: str, target: str, extra: list[str]
    ) -> None:
        answer = await request(loopback, method, target, *extra, host="evil.example")
        assert (answer.status, answer.code) == (421, "host_refused")

    @pytest.mark.parametrize(
        "host",
        [
            "localhost",
            "LOCALHOST:8000",
            "localhost.",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:8000",
            "[::ffff:127.0.0.1]",
        ],
    )
    async def test_loopback_names_come_in(self, loopback: Api, host: str) -> None:
        assert (await request(loopback, "GET", "/api/plugins", host=host)).status == 200

    @pytest.mark.parametrize(
        "host",
        [
            "",
            "evil.example",
            "localhost.evil.example",
            "localhost@evil.example",
            "evil@localhost",
            "127.0.0.1.evil.example",
            "0.0.0.0:8000",
            "[::]",
            "2130706433",
            "localhost:x",
            "localhost:99999",
            "localhost:80:80",
            "localhost, evil.example",
            "[::1",
            "xn--lcalhost-",
            "home.arpa",
            "evilhome.arpa",
            "other.lan",
            "other.lan:9001",
            "l\xf6calhost",
            "x" * 2000,
        ],
    )
    async def test_anything_else_does_not(self, loopback: Api, host: str) -> None:
        answer = await request(loopback, "GET", "/api/plugins", host=host)
        assert answer.status in (400, 421), host

    async def test_none_or_two_do_not(self, loopback: Api) -> None:
        assert (await request(loopback, "GET", "/api/plugins", host=None)).status in (400, 421)
        assert (await ask(loopback.port, ["GET /api/plugins HTTP/1.0"])).status in (400, 421)
        two = await request(loopback, "GET", "/api/plugins", "Host: evil.example")
        assert two.status in (400, 421)
        assert (await request(loopback, "GET", "/api/plugins", "Host: localhost")).status in (400, 421)

    @pytest.mark.parametrize(
        "host", ["plug.lan", "PLUG.lan.:81", "other.lan:9000", "a.home.arpa", "a.b.home.arpa:1"]
    )
    async def test_a_listed_name_needs_the_token(self, loopback: Api, host: str) -> None:
        assert (await request(loopback, "GET", "/api/plugins", host=host)).code == "token_required"
        signed = await request(loopback, "GET", "/api/plugins", f"Authorization: Bearer {TOKEN}", host=host)
        assert signed.status == 200

    @pytest.mark.parametrize(
        "target",
        [
            "http://evil.example/api/plugins",
            "http://evil@localhost/api/plugins",
            "http://localhost:81/api/plugins",
            "http://localhost.evil.example/api/plugins",
            "ftp://localhost/api/plugins",
            "http:///api/plugins",
        ],
    )
    async def test_an_absolute_target_must_name_the_same_host(self, loopback: Api, target: str) -> None:
        assert (await request(loopback, "GET", target)).status in (400, 421)

    async def test_an_absolute_target_with_the_same_host_is_a_request_as_any(self, loopback: Api) -> None:
        assert (await request(loopback, "GET", "http://LOCALHOST./api/plugins")).status == 200
        refused = await request(loopback, "GET", "http://evil.example/api/plugins", host="evil.example")
        assert refused.status == 421

    async def test_no_tunnel(self, loopback: Api) -> None:
        assert (await request(loopback, "CONNECT", "evil.example:80")).status in (400, 405, 421)
        assert (await request(loopback, "CONNECT", "localhost:80")).status in (400, 404, 405, 421)


class TestOrigin:
    @pytest.mark.parametrize("origin", ["https://evil.example", "null"])
    @pytest.mark.parametrize(("method", "target", "extra"), EVERYWHERE)
    async def test_a_foreign_origin_is_refused_everywhere(
        self, loopback: Api, method: str, target: str, extra: list[str], origin: str
    ) -> None:
        answer = await request(loopback, method, target, *extra, f"Origin: {origin}")
        assert (answer.status, answer.code) == (403, "origin_refused")
        assert "access-control-allow-origin" not in answer.headers

    @pytest.mark.parametrize(
        "origin",
        [
            "",
            "http://localhost:8001",
            "https://localhost:8000",
            "http://127.0.0.1:8000",
            "http://localhost:8000.evil.example",
            "http://localhost:8000@evil.example",
            "http://user@localhost:8000",
            "http://localhost:8000/path",
            "localhost:8000",
            "file://",
            "http://app.example",
            "https://app.example:444",
            "chrome-extension://other",
            "https://app.example, https://app.example",
            "NULL",
        ],
    )
    async def test_not_quite_the_same_is_not_the_same(self, loopback: Api, origin: str) -> None:
        answer = await request(loopback, "GET", "/api/plugins", f"Origin: {origin}", host="localhost:8000")
        assert answer.status == 403

    async def test_two_origins_are_refused(self, loopback: Api) -> None:
        own = "Origin: http://localhost"
        assert (await request(loopback, "GET", "/api/plugins", own, own)).status in (400, 403)

    @pytest.mark.parametrize(
        ("host", "origin"),
        [
            ("localhost:8000", "http://localhost:8000"),
            ("localhost", "http://LOCALHOST:80"),
            ("localhost:80", "http://localhost"),
            ("[::1]:8000", "http://[::1]:8000"),
        ],
    )
    async def test_the_own_origin_comes_in_without_cors(self, loopback: Api, host: str, origin: str) -> None:
        answer = await request(loopback, "POST", "/api/plugins/reload", f"Origin: {origin}", host=host)
        assert answer.status == 200
        assert "access-control-allow-origin" not in answer.headers

    @pytest.mark.parametrize(
        "origin", ["https://app.example", "http://localhost:5173", "chrome-extension://abcdef"]
    )
    async def test_a_listed_origin_gets_cors_on_answers_and_errors(self, loopback: Api, origin: str) -> None:
        for target, status in (("/api/plugins", 200), ("/api/plugins/search/none", 404), ("/api/none", 404)):
            answer = await request(loopback, "GET", target, f"Origin: {origin}")
            assert answer.status == status
            assert answer.headers["access-control-allow-origin"] == origin
            assert "Origin" in answer.headers["vary"]

    async def test_a_preflight_needs_no_token(self, public: Api) -> None:
        answer = await request(
            public,
            "OPTIONS",
            "/api/plugins/delete",
            "Origin: https://app.example",
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: authorization, content-type",
            "Access-Control-Request-Private-Network: true",
        )
        assert answer.status == 204
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert "Authorization" in answer.headers["access-control-allow-headers"]
        assert answer.headers["access-control-allow-private-network"] == "true"
        assert not public.operations.done

    async def test_a_foreign_preflight_is_refused(self, loopback: Api) -> None:
        answer = await request(
            loopback,
            "OPTIONS",
            "/api/plugins/delete",
            "Origin: https://evil.example",
            "Access-Control-Request-Method: POST",
        )
        assert answer.status == 403

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    async def test_a_browser_that_leaves_the_origin_out_is_seen_through(
        self, loopback: Api, site: str
    ) -> None:
        answer = await request(loopback, "POST", "/api/plugins/reload", f"Sec-Fetch-Site: {site}")
        assert (answer.status, answer.code) == (403, "origin_refused")
        assert not loopback.operations.done

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    @pytest.mark.parametrize(
        ("mode", "kind"), [("no-cors", "image"), ("no-cors", "script"), ("navigate", "iframe")]
    )
    async def test_an_image_of_another_page_calls_no_plugin(
        self, loopback: Api, site: str, mode: str, kind: str
    ) -> None:
        headers = (f"Sec-Fetch-Site: {site}", f"Sec-Fetch-Mode: {mode}", f"Sec-Fetch-Dest: {kind}")
        assert (await request(loopback, "GET", "/api/search/demo?keyword=x", *headers)).status == 403
        assert not loopback.caller.calls

    async def test_a_link_from_another_page_opens(self, loopback: Api) -> None:
        headers = ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
        assert (await request(loopback, "GET", "/api/plugins", *headers)).status == 200


class TestToken:
    @pytest.mark.parametrize(("method", "target", "extra"), EVERYWHERE)
    async def test_off_loopback_everything_needs_it(
        self, public: Api, method: str, target: str, extra: list[str]
    ) -> None:
        answer = await request(public, method, target, *extra)
        if target in TOKEN_FREE_PATHS:
            assert answer.status in (200, 204, 400)
            assert TOKEN not in answer.body.decode()
            assert not public.operations.done
            return
        assert (answer.status, answer.code) == (401, "token_required")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        wrong = await request(public, method, target, *extra, f"Authorization: Bearer {TOKEN}x")
        assert (wrong.status, wrong.code) == (401, "token_wrong")
        assert not public.operations.done
        assert not public.caller.calls

    @pytest.mark.parametrize(("method", "target", "extra"), EVERYWHERE)
    async def test_with_it_the_door_is_open(
        self, public: Api, method: str, target: str, extra: list[str]
    ) -> None:
        answer = await request(public, method, target, *extra, f"Authorization: Bearer {TOKEN}")
        assert answer.status not in (401, 403, 421)

    @pytest.mark.parametrize(
        "header",
        [
            "Forwarded: for=1.2.3.4",
            "X-Forwarded-For: 127.0.0.1",
            "x-forwarded-host: localhost",
            "X-FORWARDED-ANYTHING: 1",
            "X-Real-IP: 127.0.0.1",
            "Via: 1.1 proxy",
            "CF-Connecting-IP: 1.2.3.4",
            "True-Client-IP: 1.2.3.4",
            "X-Forwarded-For:",
            "Client-IP: 1.2.3.4",
            "X-Remote-Addr: 1.2.3.4",
            "X-Originating-IP: 1.2.3.4",
            "X-Envoy-Internal: true",
            "Tailscale-User-Login: somebody",
        ],
    )
    async def test_what_came_through_a_proxy_needs_it(self, loopback: Api, header: str) -> None:
        assert (await request(loopback, "GET", "/api/plugins", header)).status == 401
        ws = await request(loopback, "GET", "/api/ws", *WEBSOCKET, header)
        assert ws.status == 401
        signed = await request(loopback, "GET", "/api/plugins", header, f"Authorization: Bearer {TOKEN}")
        assert signed.status == 200

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "Bearer",
            "Bearer ",
            f"Bearer{TOKEN}",
            f"Basic {TOKEN}",
            TOKEN,
            f"Bearer {TOKEN.upper()}",
            f"Bearer {TOKEN[:-1]}",
            f"Bearer {TOKEN} {TOKEN}",
            "Bearer \xff\xfe",
        ],
    )
    async def test_nothing_but_the_token_is_the_token(self, public: Api, value: str) -> None:
        assert (await request(public, "GET", "/api/plugins", f"Authorization: {value}")).status in (400, 401)

    async def test_two_authorizations_are_none(self, public: Api) -> None:
        right = f"Authorization: Bearer {TOKEN}"
        answer = await request(public, "GET", "/api/plugins", right, "Authorization: Bearer other")
        assert answer.status in (400, 401)

    async def test_the_token_in_a_query_opens_only_the_sign_in(self, public: Api) -> None:
        for target in (f"/api/plugins?token={TOKEN}", f"/api/ws?token={TOKEN}", f"/x?token={TOKEN}"):
            assert (await request(public, "GET", target)).status == 401

    async def test_a_server_without_a_token_lets_nobody_in_from_afar(self, tmp_path: Path) -> None:
        async with running_api(tmp_path, listen_host="0.0.0.0", token=None) as api:
            for header in ("Authorization: Bearer ", "Authorization: Bearer None", "Cookie: plugbay_=x"):
                assert (await request(api, "GET", "/api/plugins", header)).status == 401

    @pytest.mark.parametrize("listen", ["127.0.0.1", "127.0.0.2", "localhost", "::1", "[::1]"])
    async def test_listening_on_loopback_needs_none(self, tmp_path: Path, listen: str) -> None:
        async with running_api(tmp_path, listen_host=listen) as api:
            assert (await request(api, "GET", "/api/plugins")).status == 200

    @pytest.mark.parametrize("listen", ["0.0.0.0", "::", "", "192.168.1.5", "myhost"])
    async def test_listening_anywhere_else_does(self, tmp_path: Path, listen: str) -> None:
        async with running_api(tmp_path, listen_host=listen) as api:
            assert (await request(api, "GET", "/api/plugins")).status == 401


class TestSignIn:
    async def test_it_leaves_a_cookie_that_is_not_the_token(self, public: Api) -> None:
        answer = await request(public, "GET", f"/?token={TOKEN}")
        assert answer.status == 303
        assert answer.headers["location"] == "/"
        cookie = answer.headers["set-cookie"]
        assert TOKEN not in cookie
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "Path=/" in cookie
        assert answer.headers["cache-control"] == "no-store"
        pair = cookie.partition(";")[0]
        assert (await request(public, "GET", "/api/plugins", f"Cookie: a=b; {pair}")).status == 200
        upgraded = await request(public, "GET", "/api/ws", *WEBSOCKET, f"Cookie: {pair}")
        assert upgraded.status == 101

    @pytest.mark.parametrize(
        "query", ["token=", "token=wrong", f"token={TOKEN}&token={TOKEN}", f"token={TOKEN}x"]
    )
    async def test_a_wrong_one_leaves_none(self, public: Api, query: str) -> None:
        answer = await request(public, "GET", f"/?{query}")
        assert answer.status == 401
        assert "set-cookie" not in answer.headers

    async def test_it_passes_the_other_rules_first(self, public: Api) -> None:
        evil = await request(public, "GET", f"/?token={TOKEN}", host="evil.example")
        assert evil.status == 421
        assert (await request(public, "GET", f"/?token={TOKEN}", "Origin: null")).status == 403
        assert (await request(public, "POST", f"/?token={TOKEN}")).status == 401

    async def test_an_old_bookmark_works_where_no_token_is_needed(self, loopback: Api) -> None:
        answer = await request(loopback, "GET", "/?token=outdated")
        assert (answer.status, answer.headers["location"]) == (303, "/")
        assert "set-cookie" not in answer.headers

    async def test_a_cookie_of_another_server_does_not_open(self, public: Api) -> None:
        own = Credentials(TOKEN).cookie_name
        other = cookie_of("another-token-altogether")
        value = other.partition("=")[2]
        for cookie in (f"{own}={TOKEN}", f"{own}={value}", other, f"{own}=", f"{own}=\xff"):
            assert (await request(public, "GET", "/api/plugins", f"Cookie: {cookie}")).status == 401

    async def test_a_cookie_does_not_make_up_for_a_foreign_origin(self, public: Api) -> None:
        pair = cookie_of(TOKEN)
        answer = await request(
            public, "POST", "/api/plugins/reload", f"Cookie: {pair}", "Origin: https://evil.example"
        )
        assert answer.status == 403
        assert not public.operations.done


class TestHeaders:
    async def test_every_answer_is_guarded(self, public: Api) -> None:
        everywhere = [*EVERYWHERE, ("GET", "/?token=x", [])]
        for (method, target, extra), let_in in product(everywhere, (True, False)):
            shown = [f"Authorization: Bearer {TOKEN}"] if let_in else []
            answer = await request(public, method, target, *extra, *shown)
            headers, place = answer.headers, f"{method} {target} {answer.status}"
            assert headers["x-content-type-options"] == "nosniff", place
            assert headers["x-frame-options"] == "DENY", place
            assert headers["referrer-policy"] == "no-referrer", place
            assert headers["cross-origin-resource-policy"] == "same-origin", place
            assert headers["content-security-policy"].startswith("default-src 'none'"), place
            assert "frame-ancestors 'none'" in headers["content-security-policy"], place
            assert headers["cache-control"] == "no-store", place
            assert "strict-transport-security" not in headers, place
            if (method, target) == ("POST", "/api/token/rotate") and let_in:
                public.app[DOOR].credentials = Credentials(TOKEN)

    async def test_what_is_no_http_is_guarded_too(self, public: Api) -> None:
        headers = (await ask(public.port, ["NONSENSE"])).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")

    async def test_a_listed_origin_may_use_what_it_asks_for(self, loopback: Api) -> None:
        answer = await request(loopback, "GET", "/api/plugins", "Origin: https://app.example")
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"


class TestPace:
    @pytest.mark.parametrize("path", ["/api/plugins/install", "/api/plugins/check"])
    async def test_installs_and_checks_of_an_address_are_counted(self, tmp_path: Path, path: str) -> None:
        async with running_api(tmp_path, installs_a_minute=3, trusted_proxies=["127.0.0.1"]) as api:
            url = json.dumps({"url": "https://a.example/b_plugin.py", "plugin_type": "search"}).encode()
            json_body = ("Content-Type: application/json",)
            body = (*json_body, f"Authorization: Bearer {TOKEN}", "X-Forwarded-For: 198.51.100.6")
            afar = (*body[:-1], "X-Forwarded-For: 198.51.100.7")
            statuses = [(await request(api, "POST", path, *body, body=url)).status for _ in range(3)]
            assert 429 not in statuses
            many = await request(api, "POST", path, *body, body=url)
            assert (many.status, many.code) == (429, "too_many_installs")
            assert 0 < int(many.headers["retry-after"]) <= 60
            other = {"/api/plugins/install": "/api/plugins/check"}.get(path, "/api/plugins/install")
            assert (await request(api, "POST", other, *body, body=url)).status != 429
            assert (await request(api, "POST", path, *afar, body=url)).status != 429
            # At the machine itself there is no limit.
            here = [(await request(api, "POST", path, *json_body, body=url)).status for _ in range(4)]
            assert 429 not in here and 401 not in here


async def test_nobody_is_told_to_go_on_who_may_not_come_in(public: Api) -> None:
    lines = ["POST /api/plugins/install HTTP/1.1", "Host: localhost", "Expect: 100-continue"]
    refused = await ask(public.port, [*lines, "Content-Length: 10"])
    assert refused.status == 401
    welcome = await ask(public.port, [*lines, f"Authorization: Bearer {TOKEN}", "Content-Length: 10"])
    assert welcome.status == 100
    other = await ask(
        public.port, [lines[0], lines[1], "Expect: the-unexpected", f"Authorization: Bearer {TOKEN}"]
    )
    assert (other.status, other.code) == (417, "expectation_failed")


def test_the_access_log_leaves_out_the_query() -> None:
    request = make_mocked_request(
        "GET", f"/sign/in?token={TOKEN}", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    with structlog.testing.capture_logs() as lines:
        AccessLog(logging.getLogger(), "").log(request, web.Response(status=303), 0.001)
    assert [(line["path"], line["status"]) for line in lines] == [("/sign/in", 303)]
    assert TOKEN not in str(lines)


@pytest.mark.parametrize("line", [f"G@T /?token={TOKEN} HTTP/1.1", f"GET /?token={TOKEN} HTTP/9.9.9"])
async def test_what_is_no_http_is_not_quoted_in_the_log(
    tmp_path: Path, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_api(tmp_path, logger=protocol_logger()) as api:
        with caplog.at_level(logging.DEBUG):
            for _ in range(2):
                answer = await ask(api.port, [line, "Host: localhost", f"Authorization: Bearer {TOKEN}\x00"])
                assert answer.status == 400
    assert "cannot be read" in caplog.text
    assert TOKEN not in caplog.text
    assert "Traceback" not in caplog.text
