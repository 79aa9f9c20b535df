"""Signing in and out; and how often it may be tried."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest

from service.api.tries import TRIES_A_MINUTE, TooManyTries, Tries
from tests.unit.api.fakes import TOKEN, Api, running_api

ENGLISH = {"Accept-Language": "en"}


@pytest.fixture
async def public(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path / "_web", listen_host="0.0.0.0") as running:
        yield running


async def session(api: Api, **headers: str) -> dict[str, Any]:
    response = await api.client.get("/api/session", headers=headers)
    assert response.status == 200
    told: dict[str, Any] = await response.json()
    return told


async def test_the_cookie_opens_and_is_taken_away(public: Api) -> None:
    assert await session(public) == {"required": True, "by": None}
    assert (await public.client.get("/api/plugins")).status == 401

    signed_in = await public.client.post("/api/session", json={"token": TOKEN})
    assert (signed_in.status, await signed_in.read()) == (204, b"")
    assert signed_in.headers["Cache-Control"] == "no-store"
    [cookie] = SimpleCookie(signed_in.headers["Set-Cookie"]).values()
    assert cookie["httponly"]
    assert cookie["samesite"] == "Strict"
    assert cookie["path"] == "/"
    assert not cookie["secure"], "this connection is not encrypted"
    assert TOKEN not in signed_in.headers["Set-Cookie"]
    asked = await public.client.get(f"/?token={TOKEN}", allow_redirects=False)
    assert asked.headers["Set-Cookie"] == signed_in.headers["Set-Cookie"], "the same as by the address"

    assert await session(public) == {"required": True, "by": "cookie"}
    assert (await public.client.get("/api/plugins")).status == 200
    assert await session(public, Authorization=f"Bearer {TOKEN}") == {"required": True, "by": "bearer"}
    assert await session(public, Authorization="Bearer other") == {"required": True, "by": None}

    assert (await public.client.delete("/api/session")).status == 204
    assert await session(public) == {"required": True, "by": None}
    assert (await public.client.get("/api/plugins")).status == 401
    assert (await public.client.delete("/api/session")).status == 204


async def test_on_loopback_nobody_needs_to(api: Api) -> None:
    assert await session(api) == {"required": False, "by": "loopback"}
    assert await session(api, **{"X-Forwarded-For": "1.2.3.4"}) == {"required": True, "by": None}


async def test_a_server_without_a_token_says_so(tmp_path: Path) -> None:
    async with running_api(tmp_path / "_web", token=None) as api:
        response = await api.client.post("/api/session", json={"token": TOKEN}, headers=ENGLISH)
        assert response.status == 401
        assert "has no token" in (await response.json())["detail"]
        assert (await api.client.delete("/api/session")).status == 204


@pytest.mark.parametrize(
    "body", [{}, {"token": ""}, {"token": 1}, {"token": "x" * 1025}, {"token": TOKEN, "a": 1}]
)
async def test_what_is_no_sign_in_is_refused(public: Api, body: dict[str, Any]) -> None:
    response = await public.client.post("/api/session", json=body)
    assert (response.status, (await response.json())["code"]) == (400, "request_invalid")
    assert "Set-Cookie" not in response.headers


async def test_guessing_ends_after_ten_tries(public: Api) -> None:
    for _ in range(TRIES_A_MINUTE):
        response = await public.client.post("/api/session", json={"token": TOKEN[:-1]})
        assert (response.status, (await response.json())["code"]) == (401, "token_wrong")
        assert "Set-Cookie" not in response.headers
    late = await public.client.post("/api/session", json={"token": TOKEN}, headers=ENGLISH)
    assert (late.status, (await late.json())["code"]) == (429, "too_many_tries")
    assert 50 <= int(late.headers["Retry-After"]) <= 60
    assert "Set-Cookie" not in late.headers, "not even with the right one"
    page = await public.client.get(f"/?token={TOKEN}", headers=ENGLISH | {"Accept": "text/html"})
    assert page.status == 429
    assert "too many tries" in await page.text()
    assert (
        await public.client.get("/api/plugins", headers={"Authorization": f"Bearer {TOKEN}"})
    ).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_it_passes_the_door_like_all_else(public: Api, headers: dict[str, str], status: int) -> None:
    for method in ("GET", "POST", "DELETE"):
        if method == "GET" and "Sec-Fetch-Site" in headers:
            continue
        response = await public.client.request(
            method, "/api/session", json={"token": TOKEN} if method == "POST" else None, headers=headers
        )
        assert response.status == status
        assert "Set-Cookie" not in response.headers


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_tries_are_forgotten_after_a_minute_and_counted_by_network() -> None:
    clock = Clock()
    tries = Tries(clock)
    for second in range(TRIES_A_MINUTE):
        clock.now = float(second)
        tries.note("192.0.2.1")
        tries.note(f"2001:db8::{second}")
    for address in ("192.0.2.1", "::ffff:192.0.2.1", "2001:db8::ffff"):
        with pytest.raises(TooManyTries) as refused:
            tries.note(address)
        assert refused.value.retry_after == 60.0 - clock.now
    tries.note("192.0.2.2")
    tries.note("2001:db8:1::1")
    tries.note("unix")
    clock.now = 60.5
    tries.note("192.0.2.1")
    with pytest.raises(TooManyTries):
        tries.note("192.0.2.1")
    tries.forgive("192.0.2.1")
    tries.note("192.0.2.1")


def test_however_many_addresses_try_few_are_remembered() -> None:
    tries = Tries(Clock())
    for _ in range(TRIES_A_MINUTE):
        tries.note("192.0.2.1")
    for number in range(5000):
        tries.note(f"10.0.{number // 256}.{number % 256}")
    tries.note("192.0.2.1")
