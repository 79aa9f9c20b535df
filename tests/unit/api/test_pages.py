from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from service.api.credentials import Credentials
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
    assert (form["action"], form["method"], field["name"], field["type"]) == ("/", "get", "token", "password")
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
