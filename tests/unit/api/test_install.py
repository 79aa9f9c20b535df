from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import aiohttp
import pytest

from service import errors
from service.model.identity import PluginType
from tests.unit.api.fakes import LOAD_ERROR, Api

URL = "https://example.com/demo_plugin.py"
INSTALL = "/api/plugins/install"


def form(**fields: Any) -> aiohttp.FormData:
    data = aiohttp.FormData()
    for name, value in fields.items():
        if isinstance(value, tuple):
            data.add_field(name, value[1], filename=value[0])
        else:
            data.add_field(name, value)
    return data


async def test_by_address(api: Api) -> None:
    body = {
        "url": URL,
        "plugin_type": "search",
        "sha256": "Ab" * 32,
        "replace": True,
        "grant": True,
    }
    answer = await (await api.client.post(INSTALL, json=body)).json()
    assert answer["status"] == "success"
    assert answer["plugin_name"] == "new"
    assert answer["hot_loaded"] is True
    assert answer["message"] == "插件安装成功并已加载，可以立即使用"
    assert answer["plugin"]["id"] == "search/new"
    [request] = api.installer.requests
    assert (request.url, request.plugin_type, request.source) == (URL, PluginType.SEARCH, None)
    assert (request.replace, request.keep, request.grant) == (True, False, True)


async def test_by_upload(api: Api) -> None:
    data = form(
        file=("demo_plugin.py", b"x = 1\r\n\x00\xff"), plugin_type="parser", keep="true", replace="false"
    )
    answer = await (await api.client.post(INSTALL, data=data, headers={"Accept-Language": "en"})).json()
    assert answer["message"] == "The plugin was installed and loaded and can be used at once"
    [request] = api.installer.requests
    assert request.source == b"x = 1\r\n\x00\xff"
    assert (request.filename, request.url, request.plugin_type) == ("demo_plugin.py", None, PluginType.PARSER)
    assert (request.keep, request.replace) == (True, False)


async def test_a_kept_plugin_is_not_called_loaded(api: Api) -> None:
    api.installer.hot_loaded = False
    answer = await (
        await api.client.post(INSTALL, json={"url": URL, "plugin_type": "search", "keep": True})
    ).json()
    assert answer["hot_loaded"] is False
    assert "未能加载" in answer["message"]


async def test_a_plan_changes_nothing(api: Api) -> None:
    answer = await (
        await api.client.post(INSTALL, json={"url": URL, "plugin_type": "search", "dry_run": True})
    ).json()
    assert answer == {"status": "plan", "plugin": None, "conflicts": [], "error": None}
    assert api.installer.requests[0].dry_run


async def test_a_plugin_that_does_not_load_is_422_with_its_error(api: Api) -> None:
    api.installer.raises = errors.LoadFailed(LOAD_ERROR)
    response = await api.client.post(INSTALL, json={"url": URL, "plugin_type": "search"})
    problem = await response.json()
    assert response.status == 422
    assert problem["error"]["file"] == "plugins/search/broken_plugin.py"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "demo_plugin.py",
        "ftp://example.com/x.py",
        "file:///etc/passwd",
        "http://",
        "http:///x.py",
        "https://[::1/x.py",
        "http://example.com:x/",
        "http://example.com:99999/",
        "javascript:alert(1)",
        "http://example.com/\n",
        "x" * 5000,
    ],
)
async def test_what_is_no_web_address_is_400(api: Api, url: str) -> None:
    response = await api.client.post(INSTALL, json={"url": url, "plugin_type": "search"})
    assert (response.status, (await response.json())["field"]) == (400, "url")
    assert not api.installer.requests


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"plugin_type": "movie"}, "plugin_type"),
        ({"sha256": "abc"}, "sha256"),
        ({"replace": "yes"}, "replace"),
        ({"unknown": 1}, "unknown"),
        ({"url": None}, "url"),
        ({"grant": {}}, "grant"),
    ],
)
async def test_a_wrong_field_is_400(api: Api, change: dict[str, Any], field: str) -> None:
    response = await api.client.post(INSTALL, json={"url": URL, "plugin_type": "search"} | change)
    assert (response.status, (await response.json())["field"]) == (400, field)
    assert not api.installer.requests


FILE = ("a_plugin.py", b"x = 1")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"plugin_type": "search"}, "file"),
        ({"file": FILE}, "plugin_type"),
        ({"file": FILE, "plugin_type": "movie"}, "plugin_type"),
        ({"file": FILE, "plugin_type": "search", "url": URL}, "url"),
        ({"file": FILE, "plugin_type": "search", "filename": "x"}, "filename"),
        ({"file": FILE, "plugin_type": "search", "replace": "perhaps"}, "replace"),
        ({"file": FILE, "plugin_type": "search", "grant": "{"}, "grant"),
        ({"file": FILE, "plugin_type": "search", "sha256": "zz"}, "sha256"),
        ({"file": FILE, "plugin_type": b"\xff"}, "plugin_type"),
        ({"file": ("../../x_plugin.py", b"x"), "plugin_type": "search"}, "file"),
        ({"file": ("a\\b.py", b"x"), "plugin_type": "search"}, "file"),
        ({"file": ("/etc/passwd", b"x"), "plugin_type": "search"}, "file"),
        ({"file": ("a" * 300, b"x"), "plugin_type": "search"}, "file"),
    ],
)
async def test_a_wrong_upload_is_400(api: Api, fields: dict[str, Any], field: str | None) -> None:
    data = aiohttp.FormData(quote_fields=False)
    for name, value in fields.items():
        if isinstance(value, tuple):
            data.add_field(name, value[1], filename=value[0])
        elif isinstance(value, bytes):
            # Latin-1 puts each byte into the form as it is.
            data.add_field(name, value.decode("latin-1"), content_type="text/plain; charset=latin-1")
        else:
            data.add_field(name, value, content_type="text/plain")
    response = await api.client.post(INSTALL, data=data)
    problem = await response.json()
    assert (response.status, problem.get("field")) == (400, field)
    assert not api.installer.requests


async def test_a_field_given_twice_is_400(api: Api) -> None:
    data = form(file=FILE)
    data.add_field("plugin_type", "search")
    data.add_field("plugin_type", "parser")
    assert (await api.client.post(INSTALL, data=data)).status == 400


async def test_an_upload_above_the_limit_is_413(api: Api) -> None:
    data = form(file=("a_plugin.py", BytesIO(b"x" * (256 * 1024 + 1))), plugin_type="search")
    response = await api.client.post(INSTALL, data=data)
    assert (response.status, (await response.json())["code"]) == (413, "too_large")
    huge = form(file=("a_plugin.py", BytesIO(b"x" * 5_000_000)), plugin_type="search")
    assert (await api.client.post(INSTALL, data=huge)).status == 413
    long_field = form(file=FILE, plugin_type="x" * 200_000)
    assert (await api.client.post(INSTALL, data=long_field)).status == 413
    assert not api.installer.requests


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"anything"),
        ("multipart/form-data; boundary=", b"--\r\n"),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"no boundary at all"),
        ("multipart/form-data; boundary=x", b"--x\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\nbroken header\r\n\r\nbody\r\n--x--\r\n"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.py"\r\n\r\nnever ends',
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.py"\r\n'
            b"Content-Transfer-Encoding: base64\r\n\r\neA==\r\n--x--\r\n",
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"\r\n'
            b"Content-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\nz\r\n--y--\r\n--x--\r\n",
        ),
        ("multipart/form-data; boundary=" + "x" * 500, b"--x"),
    ],
)
async def test_a_broken_upload_is_400(api: Api, content_type: str, body: bytes) -> None:
    response = await api.client.post(INSTALL, data=body, headers={"Content-Type": content_type})
    assert response.status == 400, await response.text()
    assert json.loads(await response.text())["code"] == "request_invalid"
    assert not api.installer.requests
