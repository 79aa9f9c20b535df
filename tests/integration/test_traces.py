"""What is left of what was done: each change says who had it done, and secrets are nowhere but where they belong."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from service.api.routes import ROUTES
from tests.integration.live import Live, live_server, save, search_plugin, write
from tests.integration.test_door import cookie_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = "s3cret-token-kept-in-the-settings"
PASSWORD, ELSEWHERE = "s3cret-password-of-a-plugin", "s3cret-of-the-package-registry"
IN_URL, SIGNED = "s3cret-in-an-address", "s3cret-signature"
WRONG = "s3cret-token-mistyped"
LOCAL = {"address": "127.0.0.1", "via": "loopback"}
REMOTE = {"address": "198.51.100.7", "via": "bearer"}
FROM_AFAR = {"X-Forwarded-For": "6.6.6.6, 198.51.100.7", "Authorization": f"Bearer {TOKEN}"}
WITH_SECRET = """
from service.sdk import SearchPlugin

class Vault(SearchPlugin):
    name = "vault"
    version = description = "1"
    config_schema = [
        {"name": "password", "type": "password", "label": "P"},
        {"name": "limit", "type": "number", "label": "L"},
    ]

    async def search(self, keyword, **kwargs):
        return [{"title": keyword, "url": "u"}]
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    home = tmp_path_factory.mktemp("traces") / "home"
    write(home / "plugins" / "search" / "demo_plugin.py", search_plugin())
    write(home / "plugins" / "search" / "vault_plugin.py", WITH_SECRET)
    settings = {
        "PLUGBAY_SERVER__TRUSTED_PROXIES": "127.0.0.1",
        "PLUGBAY_SERVER__TOKEN": TOKEN,
        "PLUGBAY_LOGS__LEVEL": "debug",
        "PLUGBAY_LIMITS__INSTALLS_PER_MINUTE": "1000",
        "UV_NO_INDEX": "0",
        # Nobody answers there.
        "UV_DEFAULT_INDEX": f"http://name:{ELSEWHERE}@127.0.0.1:9/simple",
    }
    async with live_server(home, **settings) as live:
        await live.subscribe("**")
        yield live


def form(name: str, source: str) -> aiohttp.FormData:
    fields = aiohttp.FormData({"plugin_type": "search"})
    fields.add_field("file", source.encode(), filename=f"{name}_plugin.py")
    return fields


async def by(live: Live, kind: str, id: str, after: int) -> tuple[str, Any]:
    seen = await live.event(kind, id, after=after)
    return seen.data["cause"], seen.data["by"]


async def newest(live: Live) -> tuple[str, Any]:
    [change] = (await live.get("/api/changes", params={"limit": "1"})).body["changes"]
    return change["kind"], change["by"]


async def test_each_change_says_who_had_it_done(live: Live) -> None:
    toggle = "/api/plugins/search/demo/toggle?enabled="
    at = len(live.events)
    await live.post(f"{toggle}false")
    assert await by(live, "disabled", "search/demo", at) == ("api", LOCAL)
    assert await newest(live) == ("toggle", LOCAL)
    await live.post(f"{toggle}true", headers=FROM_AFAR)
    assert await by(live, "enabled", "search/demo", at) == ("api", REMOTE)
    assert await newest(live) == ("toggle", REMOTE)

    # The next one is nobody's, though the same task may do it.
    at = len(live.events)
    await asyncio.to_thread(save, live.plugins / "search" / "demo_plugin.py", search_plugin(says="2"))
    assert await by(live, "reloaded", "search/demo", at) == ("file", None)

    at = len(live.events)
    cookie = FROM_AFAR | {"Authorization": "", "Cookie": cookie_of(TOKEN)}
    del cookie["Authorization"]
    put = await live.request("PUT", "/api/plugins/search/vault/config", json={"limit": 3}, headers=cookie)
    assert put.status == 200
    seen = REMOTE | {"via": "cookie"}
    assert await by(live, "configured", "search/vault", at) == ("config", seen)
    assert await newest(live) == ("config", seen)
    await live.post(f"/api/changes/{put.body['change']}/undo", headers=FROM_AFAR)
    assert await newest(live) == ("undo", REMOTE)

    at = len(live.events)
    source = search_plugin("extra")
    installed = await live.request(
        "POST", "/api/plugins/install", data=form("extra", source), headers=FROM_AFAR
    )
    assert installed.status == 200, installed
    assert await by(live, "loaded", "search/extra", at) == ("api", REMOTE)
    assert await newest(live) == ("install", REMOTE)
    at = len(live.events)
    await live.post("/api/plugins/delete", {"plugin_type": "search", "plugin_name": "extra"})
    assert await by(live, "unloaded", "search/extra", at) == ("api", LOCAL)
    assert await newest(live) == ("delete", LOCAL)
    await live.post("/api/plugins/reload", headers=FROM_AFAR)
    reloaded = await live.until(
        lambda events: [one for one in events if one.type.endswith("registry.reloaded")]
    )
    assert reloaded[-1].data["by"] == REMOTE
    log = [line for line in live.server.printed.splitlines() if '"plugin.enabled"' in line]
    assert '"by": "198.51.100.7"' in log[-1]


async def exercise(live: Live, headers: dict[str, str]) -> list[tuple[str, str]]:
    """Ask every route for something that is there and for something that is not; all that is said."""
    said: list[tuple[str, str]] = []
    for route in ROUTES:
        if route.path in ("/api/ws", "/api/events"):
            continue
        for name in ("vault", "none"):
            path = re.sub(r"{(name|plugin)}", name, route.path.replace("{type}", "search"))
            path = re.sub(r"{\w+}", "0" * 12, path)
            for body in (None, {}, {"password": {}, "url": f"http://a:{IN_URL}@127.0.0.1:9/?sig={SIGNED}"}):
                answer = await live.request(
                    route.method,
                    path,
                    headers=headers,
                    json=body,
                    params={"token": WRONG} if body == {} else None,
                )
                said.append((f"{route.method} {path}", f"{answer.headers}{answer.body}"))
    return said


async def test_secrets_are_nowhere_but_where_they_belong(live: Live) -> None:
    vault = "/api/plugins/search/vault"
    put = await live.request("PUT", f"{vault}/config", json={"password": PASSWORD}, headers=FROM_AFAR)
    assert put.status == 200
    wrong = await live.request("PUT", f"{vault}/config", json={"password": [PASSWORD], "limit": PASSWORD})
    assert wrong.status == 422
    said = [("put", str(put)), ("wrong", str(wrong.headers))]
    url = f"http://name:{IN_URL}@127.0.0.1:9/gone_plugin.py?sig={SIGNED}"
    for path in ("/api/plugins/install", "/api/plugins/check"):
        gone = await live.post(path, {"url": url, "plugin_type": "search"})
        assert gone.status == 502
        said.append((path, str(gone)))
    needing = '# /// script\n# dependencies = ["nowhere-to-be-found"]\n# ///\n' + search_plugin("needing")
    refused = await live.request("POST", "/api/plugins/install", data=form("needing", needing))
    assert refused.status == 504, refused
    said.append(("registry", str(refused)))
    guessing = {"X-Forwarded-For": "198.51.100.9", "Accept": "text/html"}
    for _ in range(2):
        tried = await live.post("/api/session", {"token": WRONG}, headers=guessing)
        said.append(("sign in", str(tried)))
    page = await live.get("/", params={"token": WRONG}, headers=guessing)
    assert page.status == 401
    said.append(("page", str(page)))
    signed = await live.get("/", params={"token": TOKEN}, headers=FROM_AFAR, allow_redirects=False)
    assert signed.status == 303
    said.append(("signed in", str(signed.body) + signed.headers["Location"]))
    said += await exercise(live, FROM_AFAR)
    said.append(("activity", str(await live.get("/api/activity?limit=1000"))))
    said.append(("changes", str(await live.get("/api/changes?limit=1000"))))
    said.append(("metrics", str(await live.get("/metrics"))))
    said += [(f"event {one.type}", str(one)) for one in live.events]
    said += [("log", line) for line in live.server.printed.splitlines()]
    assert len(said) > 300

    # An export is for whoever moves a server, and says so.
    may_say = {("GET /api/config/export", PASSWORD)}
    secrets = (TOKEN, PASSWORD, IN_URL, SIGNED, ELSEWHERE, WRONG, cookie_of(TOKEN).partition("=")[2])
    leaks = {
        (where, secret)
        for where, text in said
        for secret in secrets
        if secret in text and (where, secret) not in may_say
    }
    assert leaks == set()
    found = await asyncio.to_thread(lambda: list(written(live.home, secrets)))
    # What a change did is kept by content, in files for nobody else to read.
    belongs = ("config/plugins.json", "data/revisions/")
    outside = {path for path, secret in found if secret != PASSWORD or not path.startswith(belongs)}
    assert outside == set()
    kept = [live.home / path for path, _ in found]
    assert kept
    assert {path.stat().st_mode & 0o077 for path in kept} == {0}


def written(home: Path, secrets: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Which files hold which of the secrets."""
    for path in home.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                content = path.read_bytes()
                for secret in secrets:
                    if secret.encode() in content:
                        yield str(path.relative_to(home)), secret
