from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from service.model.identity import Identity, PluginType
from service.model.states import PluginState
from tests.unit.api.fakes import LOAD_ERROR, Api, Result

DEMO = Identity(PluginType.SEARCH, "demo")
ENGLISH = {"Accept-Language": "en"}


async def test_the_list_is_by_type_and_says_where_in_the_log_it_is(api: Api) -> None:
    body = await (await api.client.get("/api/plugins")).json()
    assert [one["name"] for one in body["search"]] == ["broken", "demo"]
    assert [one["name"] for one in body["download"]] == ["http"]
    assert [one["name"] for one in body["parser"]] == ["off", "page", "plain"]
    assert body["seq"] == "0"
    assert body["epoch"]


async def test_errors_in_the_list_are_in_the_readers_language(api: Api) -> None:
    for headers, message in (({}, "坏了"), (ENGLISH, "It broke")):
        listed = await (await api.client.get("/api/plugins", headers=headers)).json()
        assert listed["search"][0]["error"]["message"] == message
        one = await (await api.client.get("/api/plugins/search/broken", headers=headers)).json()
        assert one["error"]["message"] == message


@pytest.mark.parametrize("name", ["demo", "demo_plugin"])
async def test_one_is_found_by_name_or_stem(api: Api, name: str) -> None:
    body = await (await api.client.get(f"/api/plugins/search/{name}")).json()
    assert body["id"] == "search/demo"


@pytest.mark.parametrize(
    "name",
    [
        "none",
        "%2e%2e",
        "..%2f..%2fetc%2fpasswd",
        "demo%2f",
        "demo%00",
        "demo%0a",
        "%ff%fe",
        "demo%20",
        "demo;x",
        "%F0%9F%92%A9",
        quote("名字"),
        "a" * 300,
        "%61" * 1000,
    ],
)
async def test_a_name_that_is_none_is_404_everywhere(api: Api, name: str) -> None:
    from yarl import URL

    for method, target in (
        ("GET", f"/api/plugins/search/{name}"),
        ("GET", f"/api/plugins/search/{name}/config"),
        ("PUT", f"/api/plugins/search/{name}/config"),
        ("GET", f"/api/plugins/search/{name}/logs"),
        ("POST", f"/api/plugins/search/{name}/toggle?enabled=true"),
        ("GET", f"/api/search/{name}?keyword=x"),
    ):
        url = URL(f"http://127.0.0.1:{api.port}{target}", encoded=True)
        async with api.client.session.request(method, url, json={} if method == "PUT" else None) as response:
            assert response.status == 404, target
            assert (await response.json())["code"] in ("plugin_not_found", "not_found")
    assert not api.operations.done
    assert not api.caller.calls


@pytest.mark.parametrize("type", ["movie", "Search", "plugins", "%2e%2e", "search%00"])
async def test_a_type_that_is_none_is_400(api: Api, type: str) -> None:
    from yarl import URL

    url = URL(f"http://127.0.0.1:{api.port}/api/plugins/{type}/demo", encoded=True)
    async with api.client.session.get(url) as response:
        problem = await response.json()
        assert (response.status, problem["field"]) == (400, "type")


async def test_delete(api: Api) -> None:
    body = {"plugin_type": "search", "plugin_name": "demo"}
    answer = await (await api.client.post("/api/plugins/delete", json=body)).json()
    assert answer == {
        "status": "success",
        "hot_unloaded": True,
        "message": "插件删除成功并已卸载",
        "running_calls": 3,
        "change": "c1",
    }
    await api.client.post("/api/plugins/delete", json=body | {"purge": True})
    assert api.operations.done == [("delete", DEMO, False), ("delete", DEMO, True)]
    english = await api.client.post("/api/plugins/delete", json=body, headers=ENGLISH)
    assert (await english.json())["message"] == "The plugin was deleted and unloaded"
    missing = await api.client.post("/api/plugins/delete", json=body | {"plugin_name": "../demo"})
    assert missing.status == 404


@pytest.mark.parametrize("body", [None, b"", b"{}", b" \n"])
async def test_reload_all(api: Api, body: bytes | None) -> None:
    api.operations.results = [
        *(Result(f"search/p{number}", True) for number in range(5)),
        Result("search/broken", False, PluginState.FAILED, error=LOAD_ERROR),
    ]
    answer = await (await api.client.post("/api/plugins/reload", data=body)).json()
    assert answer["message"] == "插件重新加载完成: 成功 5, 失败 1"
    assert (answer["status"], answer["success_count"], answer["fail_count"]) == ("success", 5, 1)
    assert "error" not in answer["results"][0]
    assert answer["results"][0] == {
        "id": "search/p0",
        "ok": True,
        "state": "active",
        "generation": 2,
        "ms": 4.5,
    }
    assert answer["results"][5]["error"]["message"] == "坏了"


async def test_reload_one(api: Api) -> None:
    body = {"plugin_type": "search", "plugin_name": "demo"}
    answer = await (await api.client.post("/api/plugins/reload", json=body, headers=ENGLISH)).json()
    assert answer["message"] == "Plugins reloaded: 1 succeeded, 0 failed"
    assert api.operations.done == [("reload", DEMO)]


@pytest.mark.parametrize("given", ["plugin_type", "plugin_name"])
async def test_reload_of_half_a_name_is_400(api: Api, given: str) -> None:
    response = await api.client.post("/api/plugins/reload", json={given: "search"})
    problem = await response.json()
    assert response.status == 400
    assert problem["field"] in {"plugin_type", "plugin_name"} - {given}
    assert not api.operations.done


@pytest.mark.parametrize(
    ("given", "enabled"), [("true", True), ("false", False), ("True", True), ("FALSE", False)]
)
async def test_toggle(api: Api, given: str, enabled: bool) -> None:
    response = await api.client.post(f"/api/plugins/search/demo/toggle?enabled={given}")
    assert await response.json() == {"status": "success", "enabled": enabled, "change": "c1"}
    assert api.operations.done == [("enable", DEMO, enabled)]


@pytest.mark.parametrize(
    "query", ["", "?enabled=", "?enabled=maybe", "?enabled=1", "?enabled=true&enabled=false"]
)
async def test_toggle_without_a_clear_word_is_400(api: Api, query: str) -> None:
    response = await api.client.post(f"/api/plugins/search/demo/toggle{query}")
    assert (response.status, (await response.json())["field"]) == (400, "enabled")
    assert not api.operations.done


async def test_logs(api: Api) -> None:
    lines = (await (await api.client.get("/api/plugins/search/demo/logs?lines=7")).json())["lines"]
    assert lines == [
        {"at": "2026-01-01T00:00:00Z", "level": "info", "generation": 1, "message": "search/demo_plugin 7"}
    ]
    default = (await (await api.client.get("/api/plugins/search/demo/logs")).json())["lines"]
    assert default[0]["message"].endswith(" 200")


@pytest.mark.parametrize("lines", ["0", "-1", "x", "", "1e3", "10001", "9" * 5000, "７", "1&lines=2"])
async def test_a_number_of_lines_that_is_none_is_400(api: Api, lines: str) -> None:
    response = await api.client.get(f"/api/plugins/search/demo/logs?lines={lines}")
    assert (response.status, (await response.json())["field"]) == (400, "lines")


class TestConfig:
    async def test_get(self, api: Api) -> None:
        response = await api.client.get("/api/plugins/search/demo/config")
        assert await response.json() == {"config": {"key": "********"}}

    @pytest.mark.parametrize("method", ["POST", "PUT"])
    async def test_set(self, api: Api, method: str) -> None:
        response = await api.client.request(
            method, "/api/plugins/search/demo/config", json={"a": [1, {"b": ""}]}
        )
        answer = await response.json()
        assert answer.pop("plugin")["id"] == "search/demo"
        assert answer == {
            "error": None,
            "status": "success",
            "config": {"a": [1, {"b": ""}]},
            "warnings": ["extra"],
            "change": "c1",
        }
        assert api.operations.done == [("config", DEMO, {"a": [1, {"b": ""}]})]

    @pytest.mark.parametrize("body", [[], "x", 1, None, True])
    async def test_a_config_is_an_object(self, api: Api, body: object) -> None:
        response = await api.client.put("/api/plugins/search/demo/config", data=json.dumps(body))
        assert response.status == 400

    async def test_an_export_can_be_imported_as_it_is(self, api: Api) -> None:
        exported = await (await api.client.get("/api/config/export")).json()
        assert exported["status"] == "success"
        assert exported["timestamp"].endswith("Z")
        answer = await (await api.client.post("/api/config/import", json=exported)).json()
        assert answer == {
            "status": "success",
            "reloaded_count": 1,
            "message": "配置导入成功，已重新加载 1 个插件",
            "change": "c1",
        }
        assert api.operations.done == [("import", {"search:demo": {"key": "secret"}})]

    @pytest.mark.parametrize(
        "body", [{}, {"config": []}, {"config": {"search:demo": 1}}, {"config": {}, "other": 1}]
    )
    async def test_an_import_that_is_none_is_400(self, api: Api, body: object) -> None:
        assert (await api.client.post("/api/config/import", json=body)).status == 400
        assert not api.operations.done

    async def test_secrets_are_not_cached(self, api: Api) -> None:
        response = await api.client.get("/api/config/export")
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
