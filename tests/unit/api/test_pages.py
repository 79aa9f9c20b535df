from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from yarl import URL

from service.api.credentials import Credentials
from service.api.tries import TRIES_A_MINUTE
from tests.unit.api.fakes import TOKEN, Api, running_api

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Host": "localhost"}


class Elements(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))

    def __getitem__(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


async def public(tmp_path: Path, path: str = "/", **headers: str) -> tuple[int, dict[str, str], str]:
    async with running_api(tmp_path / "_web", listen_host="0.0.0.0") as api:
        response = await api.client.get(path, headers=BROWSER | headers, allow_redirects=False)
        return response.status, dict(response.headers), await response.text()


@pytest.mark.parametrize(("language", "first"), [("zh-CN", "需要访问令牌"), ("en-US", "A token is required")])
async def test_a_browser_is_told_how_to_sign_in(tmp_path: Path, language: str, first: str) -> None:
    status, headers, page = await public(tmp_path, **{"Accept-Language": language})
    assert status == 401
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["WWW-Authenticate"].startswith("Bearer")
    assert headers["Cache-Control"] == "no-store"
    elements = Elements(page)
    assert elements["html"] == [{"lang": language if language == "zh-CN" else "en"}]
    assert re.search(r"<h1>(.*?)<", page)[1] == first  # type: ignore[index]
    for words in ("需要访问令牌", "A token is required", "http://localhost/?token=…", "data/token"):
        assert words in page
    [form], [field] = elements["form"], elements["input"]
    # Without an action it goes to the page that is looked at; not by GET, whose addresses are kept and logged.
    assert (form, field["name"], field["type"]) == ({"method": "post"}, "token", "password")
    assert headers["Referrer-Policy"] == "same-origin"
    assert field["aria-label"]


async def test_it_needs_no_script_and_its_policy_allows_nothing_else(tmp_path: Path) -> None:
    _, headers, page = await public(tmp_path)
    elements = Elements(page)
    assert not elements["script"]
    assert not elements["img"]
    assert not elements["link"]
    assert not [
        one for _, one in elements.found if any(name.startswith("on") or name == "style" for name in one)
    ]
    style = re.search(r"<style>(.*)</style>", page, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }


async def test_the_form_signs_in(tmp_path: Path) -> None:
    status, headers, page = await public(tmp_path, "/?token=wrong-one")
    assert status == 401
    assert "wrong-one" not in page
    assert "Set-Cookie" not in headers
    status, headers, _ = await public(tmp_path, f"/?token={TOKEN}")
    assert (status, headers["Location"], headers["Referrer-Policy"]) == (303, "/", "no-referrer")
    assert headers["Set-Cookie"].startswith(Credentials(TOKEN).cookie_name)


def form(token: str, **headers: str) -> dict[str, Any]:
    return {
        "data": {"token": token},
        "headers": BROWSER | {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"} | headers,
        "allow_redirects": False,
    }


@pytest.mark.parametrize(
    ("path", "back"),
    [
        ("/", "/"),
        ("/plugins/search?tab=log&q=a%20b", "/plugins/search?tab=log&q=a+b"),
        ("/?token=wrong-one-again&next=1", "/?next=1"),
        ("//evil.example/x", "/evil.example/x"),
        ("/%5C%5Cevil.example", "/evil.example"),
        ("/%2Fevil.example", "/evil.example"),
        ("/\u6d77", "/%E6%B5%B7"),
    ],
)
async def test_the_form_leads_back_to_its_page_and_nowhere_else(tmp_path: Path, path: str, back: str) -> None:
    async with running_api(tmp_path / "_web", listen_host="0.0.0.0") as api:
        url = URL(f"http://127.0.0.1:{api.port}{path}", encoded="%" in path)
        async with ClientSession() as client, client.post(url, **form(TOKEN)) as response:
            assert (response.status, response.headers["Location"]) == (303, back)
            assert response.headers["Cache-Control"] == "no-store"
            cookie = response.headers["Set-Cookie"]
            assert cookie.startswith(Credentials(TOKEN).cookie_name)
            assert TOKEN not in cookie
            assert "HttpOnly" in cookie


@pytest.mark.parametrize(("language", "words"), [("zh-CN", "访问令牌不正确"), ("en", "The token is wrong")])
async def test_the_form_says_what_is_wrong_and_when_to_come_back(
    tmp_path: Path, language: str, words: str
) -> None:
    async with running_api(tmp_path / "_web", listen_host="0.0.0.0") as api:
        for number in range(TRIES_A_MINUTE):
            wrong = await api.client.post(
                "/plugins", **form(f"not-the-token-{number}", **{"Accept-Language": language})
            )
            page = await wrong.text()
            assert (wrong.status, wrong.content_type) == (401, "text/html")
            assert words in page
            assert Elements(page)["form"]
            assert "not-the-token" not in page
            assert "Set-Cookie" not in wrong.headers
        many = await api.client.post("/plugins", **form(TOKEN, **{"Accept-Language": language}))
        page = await many.text()
        assert many.status == 429
        assert 0 < int(many.headers["Retry-After"]) <= 60
        assert many.headers["Retry-After"] in page
        assert Elements(page)["form"]


async def test_the_form_is_for_this_server_s_pages_only(tmp_path: Path) -> None:
    async with running_api(tmp_path / "_web", listen_host="0.0.0.0") as api:
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            given = form(TOKEN, **headers)
            if "Sec-Fetch-Site" in headers:
                del given["headers"]["Origin"]
            foreign = await api.client.post("/", **given)
            assert (foreign.status, foreign.headers.get("Set-Cookie")) == (403, None)
        split = URL(f"http://127.0.0.1:{api.port}/a%0D%0ASet-Cookie:x", encoded=True)
        async with ClientSession() as client, client.post(split, **form(TOKEN)) as response:
            assert (response.status, response.headers.get("Set-Cookie")) == (401, None)
        for path in ("/api/plugins/reload", "/api/session", "/metrics"):
            other = await api.client.post(path, **form(TOKEN))
            assert other.status != 303
            assert "Set-Cookie" not in other.headers
        for more in ({"data": b"{}", "headers": {"Content-Type": "application/json"}}, {"data": b""}):
            assert (await api.client.post("/", **more)).status == 401
        huge = await api.client.post("/", **form("x" * 5000))
        assert huge.status == 413


@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin", "none"])
async def test_who_was_led_here_is_asked_once_more(tmp_path: Path, site: str) -> None:
    """A strict cookie does not come along from another site."""
    _, _, page = await public(tmp_path, **{"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"})
    assert ('http-equiv="refresh"' in page) == (site in ("cross-site", "same-site"))


@pytest.mark.parametrize("accept", ["application/json", "*/*", "", "text/event-stream"])
async def test_a_program_gets_the_problem(tmp_path: Path, accept: str) -> None:
    status, headers, body = await public(tmp_path, Accept=accept)
    assert (status, json.loads(body)["code"]) == (401, "token_required")
    assert headers["Content-Type"].startswith("application/problem+json")


async def test_other_refusals_have_a_page_without_a_form(api: Api) -> None:
    response = await api.client.get("/", headers=BROWSER | {"Host": "<b>.example"})
    page = await response.text()
    assert response.status == 421
    assert "&lt;b&gt;.example" in page
    assert "<b>" not in page
    assert not Elements(page)["form"]
    origin = await api.client.get("/", headers=BROWSER | {"Origin": "null"})
    assert (origin.status, origin.content_type) == (403, "text/html")


async def test_only_reading_gets_a_page(tmp_path: Path) -> None:
    async with running_api(tmp_path / "_web", listen_host="0.0.0.0") as api:
        posted = await api.client.post("/api/plugins/reload", headers=BROWSER)
        assert (posted.status, (await posted.json())["code"]) == (401, "token_required")
        headed = await api.client.head("/", headers=BROWSER)
        assert (headed.status, headed.content_type) == (401, "text/html")
