"""A plugin is configured in a form made from its schema; all configuration goes out to a file and comes back."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.async_api import Locator, Route, expect

from tests.browser.conftest import Opener, Server, View, drop, violations

# One browser serves all tests, so they share its event loop.
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("shared_server")]

FIELDS = """[
    ConfigField(name="greeting", label="问候语 · Greeting", default="Hello", description="开头的词 · The first word"),
    ConfigField(name="token", label="令牌 · Token", type="password", required=True),
    ConfigField(name="limit", label="上限 · Limit", type="number", default=50),
    ConfigField(name="fast", label="快速 · Fast", type="boolean", default=True),
    ConfigField(name="format", label="格式 · Format", type="select", default="auto", options=["auto", "xml"]),
    ConfigField(name="tags", label="标签 · Tags", type="list"),
    ConfigField(name="servers", label="服务器 · Servers", type="list", fields=[
        ConfigField(name="host", label="主机 · Host", required=True),
        ConfigField(name="port", label="端口 · Port", type="number", default=80),
        ConfigField(name="password", label="密码 · Password", type="password"),
        ConfigField(name="paths", label="路径 · Paths", type="list",
                    fields=[ConfigField(name="path", label="路径 · Path")]),
    ]),
]"""

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["endpoint"],
    "properties": {
        "endpoint": {"type": "string", "title": "地址 · Endpoint", "pattern": "^https://"},
        "retries": {"type": "integer", "maximum": 10, "default": 3, "title": "重试 · Retries"},
        "kinds": {"type": "array", "uniqueItems": True, "items": {"enum": ["movie", "series"]}},
        "proxy": {
            "type": "object",
            "title": "代理 · Proxy",
            "properties": {"host": {"type": "string", "minLength": 3}, "port": {"type": "integer"}},
        },
        "words": {"type": "array", "title": "词 · Words", "items": {"type": "string", "minLength": 2}},
        "headers": {
            "type": "object",
            "title": "请求头 · Headers",
            "additionalProperties": {"type": "string"},
        },
    },
}

HOSTILE = "<img src=x onerror=window.injected=1>" + "\u202e" + "长" * 150 + "x" * 300


def configured(name: str, *, fields: str = "[]", schema: Any = None) -> str:
    """The source of a plugin with options, whose results tell how it was configured."""
    options = (
        f"def get_config_schema(self): return {fields}" if schema is None else f"config_schema = {schema!r}"
    )
    return f"""import json

from service.sdk import ConfigField, SearchPlugin, SearchResult


class Configured(SearchPlugin):
    name = {name!r}
    version = "1.0.0"
    description = "有选项 · With options"
    {options}

    async def start(self):
        if self.config.get("greeting") == "bad":
            raise RuntimeError("no bad greetings")

    async def search(self, keyword, **kwargs):
        return [SearchResult(title=json.dumps(self.config, sort_keys=True), url="https://example.com/")]
"""


async def furnish(server: Server, name: str, **options: Any) -> None:
    """Puts the plugin in place, or back to how it was."""
    server.save(f"search/{name}_plugin.py", configured(name, **options))
    await server.post("/api/plugins/reload", None)


async def seen(server: Server, name: str) -> Any:
    """The configuration as the serving generation has it."""
    status, answer = await server.search(name)
    assert status == 200, answer
    return json.loads(answer["results"][0]["title"])


async def form_of(open_page: Opener, server: Server, name: str, **options: Any) -> tuple[View, Locator]:
    view = await open_page(f"{server.url}/#/plugins/search/{name}/config", **options)
    form = view.page.locator("form[aria-label]")
    await expect(form).to_be_visible()
    return view, form


async def is_saved(form: Locator) -> None:
    await expect(form.locator("[data-saved]")).to_contain_text("serves with it")


async def test_every_kind_of_field_is_filled_by_keyboard_and_serves(
    server: Server, open_page: Opener
) -> None:
    await furnish(server, "fields", fields=FIELDS)
    view, form = await form_of(open_page, server, "fields")
    await expect(form).to_contain_text("The first word")
    await expect(form).not_to_contain_text("开头的词")
    await expect(form.get_by_label("Greeting", exact=True)).to_have_value("Hello")
    await expect(form).to_contain_text("1 required field has no value")

    await form.get_by_label("Token", exact=True).fill("s3cret")
    await form.get_by_label("Limit", exact=True).fill("20")
    await form.get_by_label("Fast", exact=True).press("Space")
    await form.get_by_label("Format", exact=True).select_option("xml")
    await form.get_by_role("button", name="Add an entry to “Tags”").press("Enter")
    await view.page.keyboard.type("a tag")
    await form.get_by_role("button", name="Add an entry to “Servers”").press("Enter")
    await view.page.keyboard.type("one.example")
    await form.get_by_label("Port", exact=True).fill("8080")
    await form.get_by_label("Password", exact=True).fill("hidden")
    await form.get_by_role("button", name="Add an entry to “Paths”").press("Enter")
    await view.page.keyboard.type("/films")
    await view.page.keyboard.press("Control+s")

    await is_saved(form)
    await expect(form.get_by_label("Path", exact=True)).to_be_focused()
    assert await seen(server, "fields") == {
        "greeting": "Hello",
        "token": "s3cret",
        "limit": 20,
        "fast": False,
        "format": "xml",
        "tags": ["a tag"],
        "servers": [
            {"host": "one.example", "port": 8080, "password": "hidden", "paths": [{"path": "/films"}]}
        ],
    }
    generation = (await server.get("/api/plugins/search/fields"))["generation"]
    await expect(form.locator("[data-saved]")).to_contain_text(f"generation {generation} serves")
    await expect(form).not_to_contain_text("required field has no value")

    # What is stored stays hidden, and stays.
    await expect(form).not_to_contain_text("s3cret")
    await expect(form.get_by_label("Token", exact=True)).to_have_value("")
    await form.get_by_role("button", name="Use the default of “Limit”").press("Enter")
    await form.get_by_label("Greeting", exact=True).fill("Hi")
    await form.get_by_label("Greeting", exact=True).press("Enter")
    await is_saved(form)
    config = await seen(server, "fields")
    assert (config["token"], config["limit"], config["greeting"]) == ("s3cret", 50, "Hi")
    await form.get_by_role("button", name="Clear the stored password “Token”").click()
    await view.button("Save").click()
    await expect(form).to_contain_text("1 required field has no value")
    assert "token" not in (await server.get("/api/config/export"))["config"]["search:fields"]


async def test_what_is_wrong_is_told_where_it_is(server: Server, open_page: Opener) -> None:
    await furnish(server, "schema", schema=SCHEMA)
    await server.post(
        "/api/plugins/search/schema/config", {"endpoint": "https://a", "proxy": {"host": "abc"}}
    )
    view, form = await form_of(open_page, server, "schema")
    endpoint, host = form.get_by_label("Endpoint", exact=True), form.get_by_label("host", exact=True)
    await endpoint.fill("ftp://a")
    await form.get_by_label("Retries", exact=True).fill("eleven")
    await host.fill("a")
    await form.get_by_label("series", exact=True).check()
    await form.get_by_role("button", name="Add an entry to “Words”").click()
    await view.page.keyboard.type("w")
    await view.button("Save").click()

    await expect(form.get_by_role("alert").first).to_contain_text("4 values need to be changed")
    await expect(endpoint).to_be_focused()
    for control in (
        endpoint,
        form.get_by_label("Retries", exact=True),
        host,
        form.get_by_label("Words, entry 1", exact=True),
    ):
        await expect(control).to_have_attribute("aria-invalid", "true")
        await expect(control).to_have_accessible_description(re.compile("has to|does not|needs"))
    assert (await seen(server, "schema"))["endpoint"] == "https://a"

    await endpoint.fill("https://b")
    await expect(endpoint).to_have_attribute("aria-invalid", "false")
    await form.get_by_label("Retries", exact=True).fill("10")
    await host.fill("abcd")
    await form.get_by_label("Words, entry 1", exact=True).fill("word")
    await form.get_by_role("button", name="Add a key").click()
    await view.page.keyboard.type("Accept")
    await form.get_by_label("Value of “Accept”", exact=True).fill("text/html")
    await view.button("Save").click()
    await is_saved(form)
    assert await seen(server, "schema") == {
        "endpoint": "https://b",
        "retries": 10,
        "kinds": ["series"],
        "proxy": {"host": "abcd"},
        "words": ["word"],
        "headers": {"Accept": "text/html"},
    }


async def test_a_configuration_that_does_not_load_is_told_and_can_be_undone(
    server: Server, open_page: Opener
) -> None:
    await furnish(server, "picky", fields=FIELDS)
    await server.post("/api/plugins/search/picky/config", {"token": "a"})
    view, form = await form_of(open_page, server, "picky")
    generation = (await server.get("/api/plugins/search/picky"))["generation"]
    await form.get_by_label("Greeting", exact=True).fill("bad")
    await view.button("Save").click()
    await expect(form).to_contain_text("no bad greetings")
    await expect(form).to_contain_text(f"Generation {generation} still serves")
    assert (await seen(server, "picky"))["greeting"] == "Hello"
    await view.button("Undo this save").click()
    await expect(form.get_by_label("Greeting", exact=True)).to_have_value("Hello")

    # What is typed while a save is under way is not lost.
    async def slowly(route: Route) -> None:
        if route.request.method != "PUT":
            await route.continue_()
            return
        response = await route.fetch()
        await form.get_by_label("Limit", exact=True).fill("9")
        await route.fulfill(response=response)

    await view.page.route("**/config", slowly)
    await form.get_by_label("Greeting", exact=True).fill("good")
    await view.button("Save").click()
    await expect(form).to_contain_text("Unsaved changes")
    await expect(form.get_by_label("Limit", exact=True)).to_have_value("9")
    await expect(view.button("Save")).to_be_enabled()
    await view.page.unroute("**/config", slowly)
    assert (await seen(server, "picky"))["greeting"] == "good"
    await view.button("Save").click()
    await is_saved(form)
    assert (await seen(server, "picky"))["limit"] == 9


async def test_a_change_made_elsewhere_appears_or_is_offered(server: Server, open_page: Opener) -> None:
    await furnish(server, "shared", fields=FIELDS)
    view, form = await form_of(open_page, server, "shared")
    path = "/api/plugins/search/shared/config"
    await server.post(path, {"limit": 7})
    await expect(form.get_by_label("Limit", exact=True)).to_have_value("7")
    await expect(form).to_contain_text("No unsaved changes")

    await form.get_by_label("Greeting", exact=True).fill("Mine")
    await server.post(path, {"limit": 8, "greeting": "Theirs"})
    await expect(form).to_contain_text("was just changed elsewhere")
    await expect(form.get_by_label("Greeting", exact=True)).to_have_value("Mine")
    await view.button("Keep my changes, update the rest").click()
    await expect(form.get_by_label("Limit", exact=True)).to_have_value("8")
    await expect(form.get_by_label("Greeting", exact=True)).to_have_value("Mine")

    # Looking elsewhere loses nothing.
    await view.page.get_by_role("link", name="Log").first.click()
    await expect(form).to_have_count(0)
    await view.page.go_back()
    await expect(form.get_by_label("Greeting", exact=True)).to_have_value("Mine")

    # The other view of it forgets nothing of that, and saving overwrites nothing that was not typed here.
    await server.post(path, {"limit": 9, "greeting": "Theirs"})
    await expect(form).to_contain_text("was just changed elsewhere")
    await view.button("JSON").click()
    await view.button("Form").click()
    await expect(form).to_contain_text("was just changed elsewhere")
    await view.button("Save").click()
    await is_saved(form)
    await expect(form.get_by_label("Limit", exact=True)).to_have_value("9")
    stored = (await server.get("/api/config/export"))["config"]["search:shared"]
    assert (stored["limit"], stored["greeting"]) == (9, "Mine")

    # The same as JSON, passwords hidden.
    await view.button("JSON").click()
    text = form.get_by_label("All configuration (JSON)", exact=True)
    assert json.loads(await text.input_value())["greeting"] == "Mine"
    await text.fill('{"greeting": "Typed",')
    await view.button("Save").click()
    await expect(form).to_contain_text("Not valid JSON")
    await text.fill('{"greeting": "Typed", "more": [1]}')
    await view.button("Form").click()
    await expect(form.get_by_label("Greeting", exact=True)).to_have_value("Typed")
    await expect(form).to_contain_text("more")
    await view.button("Save").click()
    await is_saved(form)
    stored = (await server.get("/api/config/export"))["config"]["search:shared"]
    assert stored == {"greeting": "Typed", "more": [1]}


async def test_all_configuration_is_exported_previewed_imported_and_put_back(
    server: Server, open_page: Opener
) -> None:
    await furnish(server, "moved", fields=FIELDS)
    await server.post("/api/plugins/search/moved/config", {"limit": 1, "token": "old"})
    view = await open_page(f"{server.url}/#/settings")
    async with view.page.expect_download() as download:
        await view.button("Export configuration").click()
    file = await (await download.value).path()
    exported = json.loads(file.read_text(encoding="utf-8"))
    assert exported["config"]["search:moved"] == {"limit": 1, "token": "old"}

    await view.button("Import configuration…").click()
    dialog = view.page.get_by_role("dialog")
    # A file that is dropped here is no plugin to install.
    await drop(dialog.locator("label").first, "config.json", file.read_text(encoding="utf-8"))
    await expect(view.page.get_by_role("dialog")).to_have_count(1)
    await expect(dialog).to_contain_text("the same as the configuration now")
    await expect(dialog.get_by_role("button", name="Apply")).to_be_disabled()

    async def preview(config: Any) -> None:
        await dialog.get_by_role("button", name="Use another file").click()
        text = json.dumps({"config": config}).encode()
        payload = {"name": "config.json", "mimeType": "application/json", "buffer": text}
        await dialog.get_by_label("Configuration file").set_input_files(payload)  # type: ignore[arg-type]  # a dict is one

    await preview({"search:moved": {"limit": "many"}, "search:gone": {"a": HOSTILE}})
    change = dialog.locator('[data-change="search/moved"]')
    await expect(change).to_contain_text("has to be a number")
    await expect(dialog.locator('[data-change="search/gone"]')).to_contain_text("Not installed")
    await expect(dialog.get_by_role("button", name="Apply")).to_be_disabled()

    await preview({"search:moved": {"limit": 2, "token": "new", "_enabled": False}})
    await expect(change).to_contain_text("Disables it")
    await expect(change).to_contain_text("limit")
    await expect(change).not_to_contain_text("new")
    assert (await server.get("/api/config/export"))["config"] == exported["config"]
    await expect(dialog.get_by_role("button", name="Apply")).to_be_enabled()
    await dialog.get_by_role("button", name="Apply").press("Enter")
    await expect(dialog).to_have_count(0)
    await expect(view.button("Import configuration…")).to_be_focused()
    stored = (await server.get("/api/config/export"))["config"]["search:moved"]
    assert stored == {"limit": 2, "token": "new", "_enabled": False}
    await view.button("Undo the import").click()
    await expect(view.button("Undo the import")).to_have_count(0)
    assert (await server.get("/api/config/export"))["config"] == exported["config"]


@pytest.mark.parametrize(("locale", "theme"), [("zh-CN", "light"), ("en-GB", "dark")])
async def test_forms_are_accessible_fit_a_small_screen_and_inject_nothing(
    server: Server, open_page: Opener, locale: str, theme: str
) -> None:
    hostile = {
        "type": "object",
        "title": HOSTILE,
        "required": ["text"],
        "properties": {
            "text": {"type": "string", "title": HOSTILE, "description": HOSTILE, "default": HOSTILE},
            "pick": {"enum": [HOSTILE, "a"], "title": HOSTILE},
            "several": {"type": "array", "uniqueItems": True, "items": {"enum": [HOSTILE, "b"]}},
            "list": {
                "type": "array",
                "items": {"type": "object", "properties": {HOSTILE: {"type": "string"}}},
            },
            "words": {"type": "array", "items": {"type": "string"}},
            "key": {"type": "string", "format": "password"},
            "on": {"type": "boolean"},
            "any": {},
            "map": {"type": "object", "additionalProperties": {"type": "number"}},
            "choice": {
                "oneOf": [{"type": "string", "title": HOSTILE}, {"type": "object", "properties": {"x": {}}}]
            },
        },
    }
    await furnish(server, "hostile", schema=hostile)
    values = {"list": [{HOSTILE: HOSTILE}], "words": [HOSTILE], "key": "k", HOSTILE: 1, "map": {HOSTILE: 1}}
    await server.post("/api/plugins/search/hostile/config", {**values, "choice": {"x": [HOSTILE]}})
    view, form = await form_of(open_page, server, "hostile", locale=locale, theme=theme, width=360)
    section = view.page.get_by_role("region", name="配置" if locale == "zh-CN" else "Configuration")
    assert await section.evaluate("(element) => element.scrollWidth - element.clientWidth") <= 0
    assert await violations(view.page) == []
    assert await view.page.evaluate("window.injected") is None
    await view.button("JSON").click()
    await expect(form.locator("textarea")).to_be_visible()
    assert await section.evaluate("(element) => element.scrollWidth - element.clientWidth") <= 0
    assert await violations(view.page) == []
