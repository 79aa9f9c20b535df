from __future__ import annotations

import json
from typing import Any

import pytest

from service import errors
from service.model.text import Text
from tests.unit.api.fakes import Api

RESULT = {"title": "A", "url": "u", "thumbnail": None, "metadata": {}}


async def test_a_search_passes_its_results_through_untouched(api: Api) -> None:
    raw = '[ {"title":"斗罗大陆", "url":"u","metadata":{"big":123456789012345678901234567890}} ]'
    api.caller.answers["demo", "search"] = raw.encode()
    response = await api.client.get("/api/search/demo_plugin", params={"keyword": "斗 罗&x"})
    assert response.content_type == "application/json"
    assert await response.text() == f'{{"results":{raw}}}'
    assert api.caller.calls == [("demo", "search", {"keyword": "斗 罗&x"})]


@pytest.mark.parametrize("query", ["", "?keyword=", "?keyword=%20", "?keyword=a&keyword=b", "?q=a"])
async def test_a_search_needs_a_keyword(api: Api, query: str) -> None:
    response = await api.client.get(f"/api/search/demo{query}")
    assert (response.status, (await response.json())["field"]) == (400, "keyword")
    assert not api.caller.calls


@pytest.mark.parametrize("keyword", ["%ff", "%00", "%ed%a0%80", "%", "%zz", "\x80"])
async def test_any_keyword_is_taken_or_refused(api: Api, keyword: str) -> None:
    from yarl import URL

    api.caller.answers["demo", "search"] = b"[]"
    url = URL(f"http://127.0.0.1:{api.port}/api/search/demo?keyword={keyword}", encoded=True)
    async with api.client.session.get(url) as response:
        assert response.status in (200, 400)


async def test_a_disabled_plugin_is_409(api: Api) -> None:
    api.registry.plugins[0].enabled = False
    response = await api.client.get("/api/search/demo?keyword=x")
    assert (response.status, (await response.json())["code"]) == (409, "plugin_disabled")


async def test_episodes_gain_their_links_from_every_parser_that_can(api: Api) -> None:
    episodes = [{"title": "1", "play_url": "http://a/1"}, {"title": "2", "play_url": ""}, {"title": "3"}, 7]
    found = [RESULT | {"metadata": {"episodes": episodes}}, RESULT | {"metadata": None}]
    api.caller.answers["demo", "search"] = json.dumps(found).encode()
    api.caller.answers["page", "can_parse"] = b"true"
    api.caller.answers["page", "parse_url"] = errors.PluginRaised(
        "parser/page", {"type": "E", "message": "m"}
    )
    api.caller.answers["plain", "parse_url"] = lambda url: json.dumps(
        [{"name": "n", "url": url, "q": 1}]
    ).encode()
    results = (await (await api.client.get("/api/search/demo?keyword=x")).json())["results"]
    got = results[0]["metadata"]["episodes"]
    assert got[0]["parsed_urls"] == [{"plugin": "plain", "name": "n", "url": "http://a/1", "q": 1}]
    assert got[1:] == episodes[1:]


async def test_video_info(api: Api) -> None:
    api.caller.answers["demo", "get_video_info"] = json.dumps(RESULT).encode()
    body = {"url": "http://x", "plugin_name": "demo"}
    assert await (await api.client.post("/api/video-info", json=body)).json() == RESULT
    api.caller.answers["demo", "get_video_info"] = b"null"
    assert (await api.client.post("/api/video-info", json=body)).status == 404
    unable = await api.client.post("/api/video-info", json=body | {"plugin_name": "broken"})
    assert (unable.status, (await unable.json())["code"]) == (400, "method_not_supported")


class TestParse:
    def answers(self, api: Api, **answers: Any) -> None:
        api.caller.answers |= {
            ("page", "can_parse"): b"true",
            ("page", "parse_url"): b'[{"name":"p","url":"1"}]',
            ("plain", "parse_url"): b'[{"name":"q","url":"2","plugin":"forged","more":{"a":[1]}}]',
        }

    async def parse(self, api: Api, **body: Any) -> dict[str, Any]:
        response = await api.client.post("/api/parse", json={"url": "http://x"} | body)
        assert response.status == 200
        answer: dict[str, Any] = await response.json()
        assert answer.pop("task_id")
        return answer

    async def test_all_that_can(self, api: Api) -> None:
        self.answers(api)
        answer = await self.parse(api)
        assert answer["results"] == [
            {"plugin": "page", "name": "p", "url": "1"},
            {"plugin": "plain", "name": "q", "url": "2", "more": {"a": [1]}},
        ]
        assert answer["errors"] == []

    async def test_one_that_does_not_agree_is_left_out_unless_named(self, api: Api) -> None:
        self.answers(api)
        api.caller.answers["page", "can_parse"] = b"false"
        assert [one["plugin"] for one in (await self.parse(api))["results"]] == ["plain"]
        named = await self.parse(api, plugins=["page", "page_plugin"])
        assert [one["plugin"] for one in named["results"]] == ["page"]

    async def test_one_that_fails_costs_its_own_part_only(self, api: Api) -> None:
        self.answers(api)
        api.caller.answers["page", "can_parse"] = errors.PluginCrashed(
            "parser/page", Text(zh="退出", en="exit")
        )
        answer = await self.parse(api)
        assert [one["plugin"] for one in answer["results"]] == ["plain"]
        [error] = answer["errors"]
        assert (error["plugin"], error["code"]) == ("page", "plugin_crashed")
        assert "退出" in error["message"]

    async def test_a_disabled_one_that_is_named_is_an_error_of_its_own(self, api: Api) -> None:
        self.answers(api)
        answer = await self.parse(api, plugins=["plain", "off"])
        assert [one["plugin"] for one in answer["results"]] == ["plain"]
        assert [one["code"] for one in answer["errors"]] == ["plugin_disabled"]

    async def test_one_that_is_not_there_is_404(self, api: Api) -> None:
        response = await api.client.post("/api/parse", json={"url": "http://x", "plugins": ["plain", "none"]})
        assert response.status == 404
        assert not api.caller.calls

    async def test_none_named_asks_none(self, api: Api) -> None:
        assert await self.parse(api, plugins=[]) == {"results": [], "errors": []}


class TestHealth:
    async def test_livez(self, api: Api) -> None:
        assert await (await api.client.get("/livez")).json() == {"status": "ok", "loop_lag_ms": 0.25}

    async def test_readyz(self, api: Api) -> None:
        ready = await api.client.get("/readyz", headers={"Accept-Language": "en"})
        assert await ready.json() == {
            "status": "ready",
            "parts": {"plugins": {"ok": True, "message": "scanned"}},
        }
        api.health.all_parts["plugins"].ok = False
        assert (await (await api.client.get("/readyz")).json())["status"] == "degraded"
        api.registry.ready.clear()
        starting = await api.client.get("/readyz")
        problem = await starting.json()
        assert (starting.status, problem["code"]) == (503, "not_ready")
        assert problem["parts"]["plugins"]["message"] == "已扫描"

    async def test_metrics(self, api: Api) -> None:
        api.caller.answers["demo", "search"] = b"[]"
        await api.client.get("/api/search/demo?keyword=x")
        api.caller.answers["demo", "search"] = errors.PluginTimeout("search/demo", "search", 30)
        await api.client.get("/api/search/demo?keyword=x")
        await api.client.get("/api/none-of-mine")
        await api.client.post("/api/plugins/reload", json={"plugin_type": "search", "plugin_name": "demo"})
        text = await (await api.client.get("/metrics")).text()
        for line in (
            'plugbay_http_requests_total{method="GET",route="/api/search/{plugin}",status="200"} 1.0',
            'plugbay_http_requests_total{method="GET",route="/api/search/{plugin}",status="504"} 1.0',
            'plugbay_http_requests_total{method="GET",route="unmatched",status="404"} 1.0',
            'plugbay_http_request_seconds_count{route="/api/search/{plugin}"} 2.0',
            'plugbay_plugin_calls_total{method="search",outcome="plugin_timeout",plugin="search/demo"} 1.0',
            'plugbay_plugin_errors_total{plugin="search/demo"} 1.0',
            'plugbay_plugins{state="disabled",type="parser"} 1.0',
            'plugbay_reloads_total{outcome="succeeded"} 1.0',
            "plugbay_event_log_head 0.0",
            "plugbay_clients 0.0",
        ):
            assert line in text, line
        assert "none-of-mine" not in text
