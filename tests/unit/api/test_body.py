from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from service.api.body import MAX_DEPTH
from tests.unit.api.fakes import Api, running_api

DELETE = "/api/plugins/delete"
CONFIG = "/api/plugins/search/demo/config"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "plugin_type"),
        ({"plugin_type": "search"}, "plugin_name"),
        ({"plugin_type": "search", "plugin_name": "demo", "nmae": 1}, "nmae"),
        ({"plugin_type": "search", "plugin_name": 7}, "plugin_name"),
        ({"plugin_type": "search", "plugin_name": None}, "plugin_name"),
        ({"plugin_type": "search", "plugin_name": ""}, "plugin_name"),
        ({"plugin_type": "movie", "plugin_name": "demo"}, "plugin_type"),
        ({"plugin_type": "search", "plugin_name": "demo", "purge": "yes"}, "purge"),
    ],
)
@pytest.mark.parametrize("language", ["zh", "en"])
async def test_a_wrong_field_is_named(api: Api, body: object, field: str, language: str) -> None:
    response = await api.client.post(DELETE, json=body, headers={"Accept-Language": language})
    problem = await response.json()
    assert (response.status, problem["code"], problem["field"]) == (400, "request_invalid", field)
    assert field in problem["detail"]
    assert problem["detail"].isascii() == (language == "en")
    assert not api.operations.done


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"[]",
        b"null",
        b'"text"',
        b"{",
        b'{"plugin_type":"search","plugin_name":"demo"} x',
        b'{"plugin_type":"search","plugin_name":"d\xff"}',
        b"\xff\xfe{\x00}\x00",
        b'{"plugin_type":"search","plugin_name":"\\ud800abcdefgh"}',
        b"[" * 50_000,
        b'{"plugin_type":' * 4_000,
    ],
)
async def test_what_is_no_json_of_the_kind_is_400(api: Api, body: bytes) -> None:
    for target in (DELETE, "/api/plugins/install", "/api/video-info", "/api/parse", "/api/config/import"):
        response = await api.client.post(target, data=body, headers={"Content-Type": "application/json"})
        assert response.status == 400, target
        assert (await response.json())["code"] == "request_invalid"
    assert not api.operations.done


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1" * 5000, "0x1", "01"])
async def test_what_is_no_json_number_is_400(api: Api, number: str) -> None:
    body = f'{{"a": {number}}}'
    response = await api.client.put(CONFIG, data=body, headers={"Content-Type": "application/json"})
    assert response.status == 400
    assert not api.operations.done


async def test_large_whole_numbers_come_back(api: Api) -> None:
    response = await api.client.put(CONFIG, json={"a": 10**40})
    assert json.loads(await response.text())["config"] == {"a": 10**40}


async def test_deep_configuration_is_refused_and_a_flat_one_taken(api: Api) -> None:
    def nested(depth: int) -> bytes:
        return b'{"a":' * depth + b"1" + b"}" * depth

    assert (await api.client.put(CONFIG, data=nested(MAX_DEPTH - 1))).status == 200
    assert (await api.client.put(CONFIG, data=nested(MAX_DEPTH + 1))).status == 400
    imported = b'{"config":{"search:demo":' + nested(MAX_DEPTH) + b"}}"
    assert (await api.client.post("/api/config/import", data=imported)).status == 400


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        (None, 200),
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("application/merge-patch+json", 200),
        ("text/plain;charset=UTF-8", 200),
        ("application/octet-stream", 200),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/xml", 415),
    ],
)
async def test_media_types(api: Api, content_type: str | None, status: int) -> None:
    body = b'{"plugin_type":"search","plugin_name":"demo"}'
    headers = {} if content_type is None else {"Content-Type": content_type}
    skip = {"Content-Type"} if content_type is None else set()
    response = await api.client.post(DELETE, data=body, headers=headers, skip_auto_headers=skip)
    assert response.status == status
    if status == 415:
        assert (await response.json())["code"] == "media_type_unsupported"


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_above_the_limit_is_413(tmp_path: Path, chunked: bool) -> None:
    async with running_api(tmp_path, json_bytes=1000) as api:
        body = json.dumps({"a": "x" * 2000}).encode()

        async def chunks():  # type: ignore[no-untyped-def]
            for start in range(0, len(body), 300):
                yield body[start : start + 300]

        response = await api.client.put(CONFIG, data=chunks() if chunked else body)
        problem = await response.json()
        assert (response.status, problem["code"], problem["limit"]) == (413, "too_large", 1000)
        assert (await api.client.put(CONFIG, json={"a": "x" * 900})).status == 200


async def test_a_small_body_that_unpacks_to_a_large_one_is_413(tmp_path: Path) -> None:
    async with running_api(tmp_path, json_bytes=100_000) as api:
        bomb = gzip.compress(b'{"a":"' + b"x" * 50_000_000 + b'"}')
        response = await api.client.put(CONFIG, data=bomb, headers={"Content-Encoding": "gzip"})
        assert response.status == 413
        good = gzip.compress(b'{"a":1}')
        response = await api.client.put(CONFIG, data=good, headers={"Content-Encoding": "gzip"})
        assert (await response.json())["config"] == {"a": 1}
        broken = await api.client.put(CONFIG, data=b"no gzip at all", headers={"Content-Encoding": "gzip"})
        assert broken.status == 400
