"""Source, revisions, updates, changes and sets of dependencies over HTTP."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from service.api import keys
from service.errors import LoadFailed
from tests.unit.api.fakes import LOAD_ERROR, Api
from tests.unit.api.version_fakes import NEW, OLD, FakeEditing, FakeRevising, FakeUpdates, refusal

DEMO = "/api/plugins/search/demo"
ENGLISH = {"Accept-Language": "en"}


def editing(api: Api) -> FakeEditing:
    fake = api.app[keys.EDITING]
    assert isinstance(fake, FakeEditing)
    return fake


def revising(api: Api) -> FakeRevising:
    fake = api.app[keys.REVISING]
    assert isinstance(fake, FakeRevising)
    return fake


def updates(api: Api) -> FakeUpdates:
    fake = api.app[keys.UPDATES]
    assert isinstance(fake, FakeUpdates)
    return fake


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def ask(api: Api, method: str, path: str, **more: Any) -> tuple[int, Any]:
    async with api.client.request(method, path, headers=more.pop("headers", ENGLISH), **more) as response:
        return response.status, await response.json(content_type=None)


async def test_source_is_the_bytes_of_the_file_with_its_tag(api: Api) -> None:
    async with api.client.get(f"{DEMO}/source") as response:
        assert (response.status, response.content_type) == (200, "text/plain")
        assert await response.read() == b"x = 1\n"
        assert response.headers["ETag"] == f'"{sha256(b"x = 1" + bytes([10]))}"'
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    async with api.client.get(f"{DEMO}/source?path=part.py") as response:
        assert "你好" in await response.text()
    assert (await ask(api, "GET", f"{DEMO}/source?path=none.py"))[1]["code"] == "source_not_found"
    assert (await ask(api, "GET", "/api/plugins/search/none/source"))[1]["code"] == "plugin_not_found"


@pytest.mark.parametrize("path", ["a%00b", "a&path=b", "x" * 256, "%ff"])
async def test_a_path_that_is_none_is_400(api: Api, path: str) -> None:
    status, problem = await ask(api, "GET", f"{DEMO}/source?path={path}")
    assert (status, problem["field"]) == (400, "path")


@pytest.mark.parametrize(
    "media_type", ["text/plain", "text/x-python", "application/x-www-form-urlencoded", None]
)
async def test_source_is_written_as_it_came(api: Api, media_type: str | None) -> None:
    headers = ENGLISH | ({"Content-Type": media_type} if media_type else {})
    content = b"# \xff\r\nx=%20&y\n"
    async with api.client.put(f"{DEMO}/source", data=content, headers=headers) as response:
        assert response.status == 200
        answer = await response.json()
        assert (answer["id"], answer["change"]) == ("search/demo", "c1")
        assert response.headers["ETag"] == f'"{sha256(content)}"'
    assert editing(api).contents[None] == content
    assert editing(api).asked == [("put", None, None)]


@pytest.mark.parametrize("media_type", ["application/json", "multipart/form-data; boundary=x"])
async def test_source_is_no_json_and_no_form_of_parts(api: Api, media_type: str) -> None:
    status, problem = await ask(
        api, "PUT", f"{DEMO}/source", data=b"{}", headers={"Content-Type": media_type}
    )
    assert (status, problem["code"]) == (415, "media_type_unsupported")


async def test_source_may_be_as_large_as_an_upload_and_no_larger(api: Api) -> None:
    assert (await ask(api, "PUT", f"{DEMO}/source", data=b"#" * 200_000))[0] == 200
    assert (await ask(api, "PUT", f"{DEMO}/source", data=b"#" * 300_000))[0] == 413


NOW = f'"{sha256(b"x = 1" + bytes([10]))}"'


@pytest.mark.parametrize(
    ("tag", "status"),
    [
        (NOW, 200),
        (NOW.strip('"'), 200),
        (f'"{"0" * 64}", {NOW}', 200),
        ("*", 200),
        (f'"{"0" * 64}"', 412),
        (f'"{"0" * 64}", "{"1" * 64}"', 412),
        (f"W/{NOW}", 412),
        ('"', 412),
        ("nonsense", 412),
    ],
)
async def test_source_is_written_over_what_was_read_only(api: Api, tag: str, status: int) -> None:
    answered, answer = await ask(
        api, "PUT", f"{DEMO}/source", data=b"x = 2\n", headers={"If-Match": tag, "Content-Type": "text/plain"}
    )
    assert answered == status
    assert editing(api).contents[None] == (b"x = 2\n" if status == 200 else b"x = 1\n")
    if status == 412:
        assert (answer["code"], answer["sha256"]) == ("source_changed", NOW.strip('"'))


async def test_source_that_does_not_load_is_422(api: Api) -> None:
    editing(api).raises = LoadFailed(LOAD_ERROR)
    status, problem = await ask(api, "PUT", f"{DEMO}/source", data=b"x = ")
    assert (status, problem["error"]["message"]) == (422, "It broke")


async def test_files_are_listed_with_who_uses_them(api: Api) -> None:
    _, answer = await ask(api, "GET", f"{DEMO}/files")
    assert [(one["kind"], one["used_by"]) for one in answer["files"]] == [
        ("main", ["search/demo"]),
        ("helper", ["search/demo", "search/other"]),
    ]
    assert (await ask(api, "GET", "/api/plugins/search/none/files"))[0] == 404


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_a_template_is_in_the_readers_language(api: Api, language: str) -> None:
    path = "/api/plugins/template?plugin_type=parser&name=%E6%96%B0-one"
    status, answer = await ask(api, "GET", path, headers={"Accept-Language": language})
    assert (status, answer["file"]) == (200, "plugins/parser/新-one_plugin.py")
    assert 'name = "新-one"' in answer["text"] and "class 新OnePlugin(ParserPlugin):" in answer["text"]
    assert ("页面上的配置表单" in answer["text"]) == (language == "zh")
    assert ("The form on the page" in answer["text"]) == (language == "en")


@pytest.mark.parametrize(
    ("query", "status", "code", "field"),
    [
        ("plugin_type=search&name=demo", 409, "plugin_exists", None),
        ("plugin_type=search&name=demo_plugin", 400, "request_invalid", "name"),
        ("plugin_type=search&name=..%2Fx", 400, "request_invalid", "name"),
        (f"plugin_type=search&name={'x' * 58}", 400, "request_invalid", "name"),
        ("plugin_type=search&name=%00", 400, "request_invalid", "name"),
        ("plugin_type=search", 400, "request_invalid", "name"),
        ("plugin_type=none&name=x", 400, "request_invalid", "plugin_type"),
        ("name=x", 400, "request_invalid", "plugin_type"),
    ],
)
async def test_a_name_that_is_taken_or_none_has_no_template(
    api: Api, query: str, status: int, code: str, field: str | None
) -> None:
    answered, problem = await ask(api, "GET", f"/api/plugins/template?{query}")
    assert (answered, problem["code"], problem.get("field")) == (status, code, field)


async def test_an_import_is_planned_in_the_readers_language(api: Api) -> None:
    body = {"config": {"search:demo": {"key": ""}}, "dry_run": True}
    status, answer = await ask(api, "POST", "/api/config/import", json=body)
    assert (status, answer) == (
        200,
        {
            "status": "plan",
            "reloaded_count": 0,
            "changes": [
                {
                    "id": "search/demo",
                    "present": True,
                    "enabled": {"from": True, "to": False},
                    "fields": [{"field": "key", "from": "********", "to": None}],
                    "errors": [{"field": "size", "message": "has to be a number"}],
                }
            ],
        },
    )
    assert api.operations.done == [("plan", body["config"])]


async def test_revisions_are_listed_read_and_compared(api: Api) -> None:
    _, answer = await ask(api, "GET", f"{DEMO}/revisions")
    assert [(one["revision"], one["current"]) for one in answer["revisions"]] == [(NEW, True), (OLD, False)]
    assert answer["revisions"][0]["origin"]["kind"] == "url"
    assert answer["revisions"][1]["origin"] is None
    _, answer = await ask(api, "GET", f"{DEMO}/revisions/{NEW[:8]}")
    assert answer == {"revision": NEW, "files": [{"path": "search/demo_plugin.py", "text": "x = 1\n"}]}
    assert (await ask(api, "GET", f"{DEMO}/revisions/ffffff"))[0] == 404
    assert (await ask(api, "GET", f"{DEMO}/revisions/{'f' * 65}"))[0] == 400
    _, answer = await ask(api, "GET", f"{DEMO}/diff?from={OLD[:6]}")
    assert answer["diff"].startswith("-x = 1")
    await ask(api, "GET", f"{DEMO}/diff?from={OLD[:6]}&to={NEW[:6]}")
    assert revising(api).asked == [("diff", OLD[:6], None), ("diff", OLD[:6], NEW[:6])]
    assert (await ask(api, "GET", f"{DEMO}/diff"))[1]["field"] == "from"


async def test_going_back_answers_with_the_plugin(api: Api) -> None:
    status, answer = await ask(api, "POST", f"{DEMO}/rollback", json={"revision": OLD})
    assert (status, answer["id"], answer["change"]) == (200, "search/demo", "c1")
    assert revising(api).asked == [("rollback", OLD)]
    assert (await ask(api, "POST", f"{DEMO}/rollback", json={}))[1]["field"] == "revision"
    revising(api).raises = refusal("revision_not_found")
    assert (await ask(api, "POST", f"{DEMO}/rollback", json={"revision": "f" * 64}))[0] == 404


async def test_a_check_tells_why_it_does_not_load(api: Api) -> None:
    body = {"url": "https://example.org/new_plugin.py", "plugin_type": "search"}
    status, answer = await ask(api, "POST", "/api/plugins/check", json=body)
    assert (status, answer["status"], answer["loads"]) == (200, "checked", False)
    assert answer["error"]["message"] == "It broke"
    assert answer["dependencies"]["add"][0] == {"name": "six", "version": "1.17", "size": 11050}
    assert (await ask(api, "POST", "/api/plugins/check", json=body | {"url": "x"}))[1]["field"] == "url"


async def test_outdated_is_in_the_readers_language(api: Api) -> None:
    _, answer = await ask(api, "GET", "/api/plugins/outdated")
    fresh, lost = answer["plugins"]
    assert (fresh["state"], fresh["latest_version"], fresh["problem"]) == ("outdated", "1.1", None)
    assert lost["problem"] == "Cannot be reached"


async def test_an_update_says_whether_anything_changed(api: Api) -> None:
    fake = updates(api)
    _, answer = await ask(api, "POST", f"{DEMO}/update")
    assert (answer["status"], answer["plugin"]["id"]) == ("success", "search/demo")
    fake.changed = False
    _, answer = await ask(api, "POST", f"{DEMO}/update", json={"replace": True, "accept_origin": True})
    assert answer["status"] == "current"
    _, answer = await ask(api, "POST", f"{DEMO}/update", json={"dry_run": True})
    assert answer["status"] == "plan"
    assert fake.asked == [(False, False, False), (False, True, True), (True, False, False)]


@pytest.mark.parametrize("code", ["locally_modified", "origin_changed", "no_origin"])
async def test_an_update_that_needs_a_word_is_409(api: Api, code: str) -> None:
    updates(api).raises = refusal(code, recorded="a", offered="b")
    status, problem = await ask(api, "POST", f"{DEMO}/update", json={})
    assert (status, problem["code"], problem["recorded"]) == (409, code, "a")


async def test_changes_are_listed_and_undone(api: Api) -> None:
    _, answer = await ask(api, "GET", "/api/changes")
    assert [(one["id"], one["undone_by"]) for one in answer["changes"]] == [("c2", None), ("c1", "c2")]
    assert answer["changes"][0]["summary"] == "deleted"
    _, answer = await ask(api, "POST", "/api/changes/c2/undo")
    assert (answer["status"], answer["change"]["id"], answer["plugin"]) == ("success", "c3", None)
    assert (await ask(api, "POST", "/api/changes/c1/undo"))[0] == 409
    assert (await ask(api, "POST", "/api/changes/nonsense/undo"))[0] == 404
    assert (await ask(api, "POST", "/api/changes/%E4%BD%A0/undo"))[0] == 400
    assert (await ask(api, "GET", "/api/changes?limit=0"))[0] == 400


async def test_sets_of_packages_are_listed_and_pruned(api: Api) -> None:
    _, answer = await ask(api, "GET", "/api/environments")
    assert (answer["size"], [one["used_by"] for one in answer["environments"]]) == (
        140,
        [["search/demo"], []],
    )
    assert answer["environments"][0]["packages"] == [{"name": "six", "version": "1.17.0", "size": 11050}]
    _, answer = await ask(api, "POST", "/api/environments/prune")
    assert (answer["freed"], [one["id"] for one in answer["removed"]]) == (40, ["e2"])
    assert (await ask(api, "GET", "/api/environments"))[1]["size"] == 100
