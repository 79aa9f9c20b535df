from __future__ import annotations

import errno
from typing import Any

import msgspec
import pytest
import structlog

from service import errors
from service.api.problems import KINDS, kind_of
from service.model.text import Text
from tests.unit.api.fakes import LOAD_ERROR, Api

TEXT = Text(zh="出错了", en="It went wrong")
SECRET = "secret-path-/home/somebody"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.PluginNotFound("search", "x"), 404, "plugin_not_found"),
        (errors.PluginDisabled("search/x"), 409, "plugin_disabled"),
        (errors.PluginExists("search/x", "plugins/search/x_plugin.py"), 409, "plugin_exists"),
        (errors.ConfigMissing("search/x", ["key"]), 409, "config_missing"),
        (errors.ConfigInvalid([{"field": "a", "message": "b"}]), 422, "config_invalid"),
        (errors.GrantInvalid("search/x", [{"field": "grant.read", "message": "b"}]), 422, "grant_invalid"),
        (errors.RequestRefused(TEXT, code="url_refused"), 400, "url_refused"),
        (errors.RequestRefused(TEXT, code="hash_mismatch"), 422, "hash_mismatch"),
        (errors.RequestRefused(TEXT, code="too_large"), 413, "too_large"),
        (errors.RequestRefused(TEXT, code="never_heard_of"), 400, "never_heard_of"),
        (errors.LoadFailed(LOAD_ERROR), 422, "plugin_invalid"),
        *(
            (errors.LoadFailed(msgspec.structs.replace(LOAD_ERROR, code=code)), 504, code)
            for code in ("registry_unreachable", "dependencies_timeout")
        ),
        (errors.FetchFailed(TEXT), 502, "fetch_failed"),
        (errors.FetchFailed(TEXT, code="fetch_timeout"), 504, "fetch_timeout"),
        (errors.PluginUnavailable("search/x", TEXT, 2.2), 503, "plugin_unavailable"),
        (errors.PluginRaised("search/x", {"type": "E", "message": "m"}), 502, "plugin_error"),
        (errors.PluginCrashed("search/x", TEXT), 502, "plugin_crashed"),
        (errors.PluginTimeout("search/x", "search", 30), 504, "plugin_timeout"),
        (errors.PlugbayError(TEXT), 500, "internal"),
    ],
)
async def test_every_error_has_its_status(api: Api, error: Exception, status: int, code: str) -> None:
    api.caller.answers["demo", "search"] = error
    response = await api.client.get("/api/search/demo?keyword=x", headers={"Accept-Language": "en"})
    problem = await response.json(content_type="application/problem+json")
    assert (response.status, problem["status"], problem["code"]) == (status, status, code)
    assert problem["type"] == f"urn:plugbay:problem:{code}"
    assert problem["title"].isascii()
    assert problem["detail"] == str(error)


async def test_texts_are_in_the_readers_language_and_codes_are_not(api: Api) -> None:
    answers = {}
    for language in ("zh", "en"):
        headers = {"Accept-Language": language, "X-Request-ID": "one-for-all"}
        response = await api.client.get("/api/plugins/search/none", headers=headers)
        answers[language] = await response.json()
    assert answers["zh"]["code"] == answers["en"]["code"]
    assert answers["zh"]["title"] != answers["en"]["title"]
    assert "没有" in answers["zh"]["detail"]
    assert answers["en"]["detail"].isascii()
    plain = await api.client.get("/api/plugins/search/none", headers={"X-Request-ID": "one-for-all"})
    assert await plain.json() == answers["zh"]


async def test_the_fields_of_the_case_come_along_in_the_readers_language(api: Api) -> None:
    api.caller.answers["demo", "search"] = errors.LoadFailed(LOAD_ERROR)
    for language, message in (("zh", "坏了"), ("en", "It broke")):
        response = await api.client.get("/api/search/demo?keyword=x", headers={"Accept-Language": language})
        error = (await response.json())["error"]
        assert (error["stage"], error["line"], error["message"]) == ("import", 3, message)


async def test_no_field_takes_the_place_of_a_standard_member(api: Api) -> None:
    api.caller.answers["demo", "search"] = errors.RequestRefused(TEXT, status=200, code="x", detail="no")
    problem = await (await api.client.get("/api/search/demo?keyword=x")).json()
    assert (problem["status"], problem["detail"]) == (400, "出错了")


@pytest.mark.parametrize(("seconds", "header"), [(0.0, "1"), (0.2, "1"), (2.2, "3"), (30.0, "30")])
async def test_unavailable_says_when_to_come_back(api: Api, seconds: float, header: str) -> None:
    api.caller.answers["demo", "search"] = errors.PluginUnavailable("search/demo", TEXT, seconds)
    response = await api.client.get("/api/search/demo?keyword=x")
    assert response.headers["Retry-After"] == header


async def test_what_nobody_foresaw_is_logged_and_not_told(api: Api) -> None:
    api.caller.answers["demo", "search"] = RuntimeError(SECRET)
    with structlog.testing.capture_logs() as lines:
        response = await api.client.get("/api/search/demo?keyword=hidden")
    body = await response.text()
    problem: dict[str, Any] = await response.json()
    assert (response.status, problem["code"]) == (500, "internal")
    assert SECRET not in body
    assert "RuntimeError" not in body
    assert problem["request_id"] == response.headers["X-Request-ID"]
    logged = [line for line in lines if line["log_level"] == "error"]
    assert [line["request_id"] for line in logged] == [problem["request_id"]]
    assert str(logged[0]["exc_info"]) == SECRET
    assert "hidden" not in str(logged[0]["path"])


async def test_a_full_disk_says_so(api: Api) -> None:
    api.operations.raises = OSError(errno.ENOSPC, SECRET)
    response = await api.client.post(
        "/api/plugins/delete", json={"plugin_type": "search", "plugin_name": "demo"}
    )
    assert (response.status, (await response.json())["code"]) == (507, "disk_full")
    assert SECRET not in await response.text()


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", "/api/nothing", 404, "not_found"),
        ("GET", "/api/plugins/", 404, "not_found"),
        ("GET", "/nothing.txt", 404, "not_found"),
        ("PUT", "/api/plugins", 405, "method_not_allowed"),
        ("GET", "/api/plugins/delete", 405, "method_not_allowed"),
        ("POST", "/", 405, "method_not_allowed"),
        ("GET", "/api/ws", 426, "upgrade_required"),
    ],
)
async def test_the_routers_own_errors_are_problems_too(
    api: Api, method: str, target: str, status: int, code: str
) -> None:
    response = await api.client.request(method, target)
    problem = await response.json(content_type="application/problem+json")
    assert (response.status, problem["code"]) == (status, code)
    if status == 405:
        assert response.headers["Allow"]


def test_every_kind_has_both_languages() -> None:
    for code, kind in KINDS.items():
        assert 400 <= kind.status < 600
        assert kind.title.en.isascii(), code
        assert not kind.title.zh.isascii(), code


def test_every_error_class_has_a_kind_of_its_own_code() -> None:
    pending = [errors.RequestRefused, errors.LoadFailed, errors.FetchFailed, errors.CallFailed]
    for cls in pending:
        pending += cls.__subclasses__() if cls.__module__ == errors.__name__ else []
        if cls is not errors.CallFailed and cls.__module__ == errors.__name__:
            assert cls.code in KINDS, cls


def test_an_unknown_code_has_the_status_of_its_class() -> None:
    assert kind_of(errors.CallFailed(TEXT, code="brand_new")).status == 502
