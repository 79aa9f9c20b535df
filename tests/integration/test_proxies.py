"""The door behind a reverse proxy: whom it believes, and the nginx of docs/reverse-proxy.md in front of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from service.api.keys import EVENT_LOG, HUB
from service.model.actor import Actor
from service.model.events import TokenRotated
from tests.integration.server_process import ROOT
from tests.integration.test_door import Answer, request
from tests.unit.api.fakes import TOKEN, Api, running_api

BEARER = f"Authorization: Bearer {TOKEN}"
NGINX_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@pytest.fixture
async def behind(tmp_path: Path) -> AsyncIterator[Api]:
    """Believes whoever comes from 127.0.0.1."""
    async with running_api(
        tmp_path / "_web", allowed_hosts=["plug.example"], trusted_proxies=["127.0.0.1", "10.0.0.0/8"]
    ) as api:
        yield api


class TestWhoIsBelieved:
    async def test_a_listed_proxy_s_word_counts(self, behind: Api) -> None:
        forwarded = ("X-Forwarded-For: 6.6.6.6, 198.51.100.7, 10.1.1.1", "X-Forwarded-Proto: https")
        own = "Origin: https://plug.example"
        answer = await request(behind, "GET", "/api/plugins", *forwarded, BEARER, own, host="plug.example")
        assert answer.status == 200
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        signed = await request(behind, "GET", f"/?token={TOKEN}", *forwarded, host="plug.example")
        assert "; Secure" in signed.headers["set-cookie"]
        plain = await request(behind, "GET", "/api/plugins", "X-Forwarded-For: 6.6.6.6", BEARER)
        assert plain.status == 200
        assert "strict-transport-security" not in plain.headers

    async def test_the_token_is_always_needed(self, behind: Api) -> None:
        for header in ("X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1;host=localhost", "Via: 1.1 x"):
            assert (await request(behind, "GET", "/api/plugins", header)).status == 401

    @pytest.mark.parametrize(
        ("host", "headers", "status"),
        [
            ("localhost", ["X-Forwarded-Host: plug.example", "Origin: https://plug.example"], 200),
            ("plug.example", ["Origin: https://plug.example"], 200),
            ("plug.example", ["Origin: http://plug.example"], 403),
            ("plug.example", ["Origin: https://evil.example"], 403),
            ("localhost", ["X-Forwarded-Host: evil.example"], 421),
            ("evil.example", ["X-Forwarded-Host: plug.example"], 421),
            ("localhost", ["X-Forwarded-Host: plug.example, evil.example"], 421),
            ("localhost", ["X-Forwarded-Host: plug.example", "Origin: https://localhost"], 403),
            ("localhost", ["X-Forwarded-Host: a b"], 421),
        ],
    )
    async def test_names_are_checked_as_ever(
        self, behind: Api, host: str, headers: list[str], status: int
    ) -> None:
        answer = await request(
            behind, "GET", "/api/plugins", "X-Forwarded-Proto: https", BEARER, *headers, host=host
        )
        assert answer.status == status

    async def test_nobody_else_is_believed(self, tmp_path: Path) -> None:
        for proxies in ([], ["10.0.0.0/8"]):
            async with running_api(
                tmp_path / "_web", allowed_hosts=["plug.example"], trusted_proxies=proxies
            ) as api:
                lies = ("X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: https")
                assert (await request(api, "GET", "/api/plugins", *lies)).status == 401
                signed = await request(api, "GET", f"/?token={TOKEN}", *lies, host="plug.example")
                assert signed.status == 303
                assert "Secure" not in signed.headers["set-cookie"]
                assert "strict-transport-security" not in signed.headers
                origin = ("Origin: https://plug.example", BEARER)
                foreign = await request(api, "GET", "/api/plugins", *lies, *origin, host="plug.example")
                assert foreign.status == 403
                host = await request(api, "GET", "/api/plugins", "X-Forwarded-Host: evil.example", BEARER)
                assert host.status == 200  # not looked at

    async def test_each_client_has_its_own_tries(self, behind: Api) -> None:
        """Behind one proxy, who guesses shuts out nobody but himself, also with addresses that he makes up."""

        async def sign_in(client: str, token: str) -> Answer:
            return await request(behind, "GET", f"/?token={token}", f"X-Forwarded-For: {client}")

        for number in range(10):
            assert (await sign_in(f"6.6.6.{number}, 198.51.100.7", "wrong")).status == 401
        assert (await sign_in("6.6.6.99, 198.51.100.7", TOKEN)).status == 429
        assert (await sign_in("198.51.100.8", TOKEN)).status == 303

    async def test_events_say_who_it_was(self, behind: Api) -> None:
        log = behind.app[EVENT_LOG]
        await request(behind, "POST", "/api/token/rotate", "X-Forwarded-For: 198.51.100.7", BEARER)
        [entry] = await log.newest(10, lambda subject: subject == "token")
        assert b'"by":{"address":"198.51.100.7","via":"bearer"}' in entry.payload


@pytest.fixture
def free_port() -> int:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def nginx(base: Path, port: int, upstream: int) -> Iterator[None]:
    """The server of the document, with its ports and a certificate of its own."""
    base.mkdir()
    text = (ROOT / "docs" / "reverse-proxy.md").read_text()
    [config] = re.findall(r"```nginx\n(.*?)```", text, re.DOTALL)
    for there, here in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("127.0.0.1:8000", f"127.0.0.1:{upstream}"),
        ("/etc/ssl/plug.example", f"{base}/cert"),
    ):
        assert there in config
        config = config.replace(there, here)
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=plug.example "
        f"-keyout {base}/cert.key -out {base}/cert.crt".split(),
        check=True,
        capture_output=True,
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    (base / "conf").write_text(
        f"{user}daemon off; pid {base}/pid; error_log {base}/errors; worker_processes 1;\n"
        "events {} http { access_log off;\n"
        + "".join(f"{kind}_temp_path {base}/{kind};\n" for kind in NGINX_TEMPORARY)
        + config
        + "}\n"
    )
    process = subprocess.Popen(
        ["nginx", "-p", str(base), "-c", str(base / "conf")], stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(500):
            assert process.poll() is None, (base / "errors").read_text()
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
        yield
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
async def test_nginx_as_documented(behind: Api, tmp_path: Path, free_port: int) -> None:
    log = behind.app[EVENT_LOG]
    base, host = f"https://127.0.0.1:{free_port}", f"plug.example:{free_port}"
    lies = {"X-Forwarded-For": "6.6.6.6", "Forwarded": "for=6.6.6.6;host=evil.example", "Host": host}
    own = lies | {"Origin": f"https://{host}"}
    bearer = own | {"Authorization": f"Bearer {TOKEN}"}
    with nginx(tmp_path / "nginx", free_port, behind.port):
        live = asyncio.create_task(behind.app[HUB].run())
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as client,
            asyncio.timeout(20),
        ):
            async with client.get(f"{base}/api/plugins", headers=own) as answer:
                assert answer.status == 401
            async with client.get(f"{base}/api/plugins", headers=bearer | {"Host": "evil.example"}) as answer:
                assert answer.status == 421
            page = {"Accept": "text/html", **own}
            form = client.post(f"{base}/plugins", data={"token": TOKEN}, headers=page, allow_redirects=False)
            async with form as answer:
                assert (answer.status, answer.headers["Location"]) == (303, "/plugins")
                assert "; Secure" in answer.headers["Set-Cookie"]
                assert "Strict-Transport-Security" in answer.headers
            async with (
                client.ws_connect(f"{base}/api/ws", headers=bearer) as ws,
                client.get(f"{base}/api/events?topics=token", headers=bearer) as stream,
            ):
                call = {"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": {"topics": ["token"]}}
                await ws.send_json(call)
                assert (await ws.receive_json())["result"]["recovered"]
                assert (await stream.content.readline()).startswith((b":", b"id:", b"retry:"))
                log.publish(TokenRotated(by=Actor("198.51.100.7", "bearer")))
                told = await ws.receive_json()
                assert told["type"] == "plugbay.token.rotated"
                # It comes as it happens, and not when a buffer is full.
                while b"plugbay.token.rotated" not in await stream.content.readline():
                    pass
            async with client.post(f"{base}/api/token/rotate", headers=bearer) as answer:
                assert answer.status == 200
            [entry] = await log.newest(1, lambda subject: subject == "token")
            assert b'"by":{"address":"127.0.0.1","via":"bearer"}' in entry.payload
        live.cancel()
