"""Replacing the token: what knew the old one is out at once, on requests, cookies and live connections."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from service.api.credentials import Credentials
from service.api.keys import EVENT_LOG, HUB
from tests.integration.test_door import cookie_of, request
from tests.unit.api.fakes import TOKEN, Api, running_api

BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
async def public(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path, listen_host="0.0.0.0") as api:
        live = asyncio.create_task(api.app[HUB].run())
        yield api
        live.cancel()


def bearer(token: str) -> str:
    return f"Authorization: Bearer {token}"


async def test_the_old_token_and_its_cookies_are_void(public: Api, tmp_path: Path) -> None:
    cookie = f"Cookie: {cookie_of(TOKEN)}"
    answer = await request(public, "POST", "/api/token/rotate", bearer(TOKEN))
    told = json.loads(answer.body)
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    assert "set-cookie" not in answer.headers
    token = told["token"]
    for old in (bearer(TOKEN), cookie):
        assert (await request(public, "GET", "/api/plugins", old)).status == 401
    for new in (bearer(token), f"Cookie: {cookie_of(token)}"):
        assert (await request(public, "GET", "/api/plugins", new)).status == 200
    file = tmp_path / "data" / "token"
    assert file.read_text() == f"{token}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in file.parent.iterdir()] == ["token"]
    [entry] = await public.app[EVENT_LOG].newest(1, lambda _: True)
    assert b"plugbay.token.rotated" in entry.payload
    assert b'"via":"bearer"' in entry.payload
    assert token.encode() not in entry.payload


async def test_who_asks_by_a_cookie_stays_signed_in(public: Api) -> None:
    answer = await request(public, "POST", "/api/token/rotate", f"Cookie: {cookie_of(TOKEN)}")
    token = json.loads(answer.body)["token"]
    assert f"{Credentials(TOKEN).cookie_name}=" in answer.headers["set-cookie"]
    assert cookie_of(token) in answer.headers["set-cookie"]


async def test_live_connections_by_the_old_token_are_told_to_sign_in_again(public: Api) -> None:
    base = f"http://127.0.0.1:{public.port}"
    reason = "the token was replaced; sign in again and reconnect"
    async with aiohttp.ClientSession(headers=BEARER) as client, asyncio.timeout(10):
        async with client.ws_connect(f"{base}/api/ws") as ws, client.get(f"{base}/api/events") as stream:
            await stream.content.readline()
            await client.post(f"{base}/api/token/rotate")
            message = await ws.receive()
            assert (message.data, message.extra) == (4401, reason)
            text = (await stream.content.read()).decode()
        assert "plugbay.stream.closed" in text
        assert json.dumps({"code": 4401, "reason": reason}, separators=(",", ":")) in text


async def test_local_connections_stay(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        live = asyncio.create_task(api.app[HUB].run())
        base = f"http://127.0.0.1:{api.port}"
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(f"{base}/api/ws") as ws,
            asyncio.timeout(10),
        ):
            call = {"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": {"topics": ["token"]}}
            await ws.send_json(call)
            await ws.receive_json()
            await client.post(f"{base}/api/token/rotate")
            told = await ws.receive_json()
            assert told["data"]["by"] == {"address": "127.0.0.1", "via": "loopback"}
            await ws.ping()
            await ws.send_json(call)
            assert (await ws.receive_json())["id"] == 1
        live.cancel()


async def test_at_once_each_gets_one_and_the_last_counts(public: Api, tmp_path: Path) -> None:
    answers = await asyncio.gather(
        *(request(public, "POST", "/api/token/rotate", bearer(TOKEN)) for _ in range(5))
    )
    tokens = [json.loads(one.body)["token"] for one in answers if one.status == 200]
    assert tokens
    kept = (tmp_path / "data" / "token").read_text().strip()
    assert kept in tokens
    assert (await request(public, "GET", "/api/plugins", bearer(kept))).status == 200


@pytest.mark.parametrize(("token", "code"), [(None, "token_unused"), (TOKEN, "token_configured")])
async def test_it_is_refused_where_there_is_none_to_replace(
    tmp_path: Path, token: str | None, code: str
) -> None:
    async with running_api(tmp_path, token=token, token_is_set=True) as api:
        answer = await request(api, "POST", "/api/token/rotate")
        assert (answer.status, answer.code) == (409, code)
        assert not (tmp_path / "data").exists()


async def test_a_disk_that_refuses_leaves_the_old_one(public: Api, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    answer = await request(public, "POST", "/api/token/rotate", bearer(TOKEN))
    assert (answer.status, answer.code) == (507, "token_not_saved")
    assert (await request(public, "GET", "/api/plugins", bearer(TOKEN))).status == 200
