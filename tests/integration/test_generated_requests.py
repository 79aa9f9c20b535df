"""Names, addresses, configurations and frames as nobody would write them: no error of its own, no file outside home.

Everything is generated from a seed; `make soak` tries many times as much.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, example, given, seed, settings
from hypothesis import strategies as st
from yarl import URL

from tests.integration.live import Live, live_server, save, search_plugin
from tests.rounds import SEED, SOAK, sized

EXAMPLES = sized(20, 400)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]
if SOAK:
    # The same tests at full length.
    pytestmark.append(pytest.mark.soak)

MARK = "<img src=x onerror=alert(1)>"
SCHEMA = """
    def get_config_schema(self):
        from service.sdk import ConfigField
        part = ConfigField(name="port", label="Port", type="number", default=80)
        return [
            ConfigField(name="host", label="Host", type="text", default=""),
            ConfigField(name="secret", label="Secret", type="password", default=""),
            ConfigField(name="on", label="On", type="boolean", default=True),
            ConfigField(name="mode", label="Mode", type="select", default="a", options=["a", "b"]),
            ConfigField(name="sites", label="Sites", type="list", default=[], fields=[part]),
        ]
"""

WORDS = st.text(max_size=60) | st.sampled_from(
    [
        "..",
        "../../etc/passwd",
        "%2e%2e%2f",
        "/etc/passwd",
        "con",
        "\0",
        "a/../../b",
        MARK,
        "x" * 300,
        "‮",
        "demo",
        ".",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(["host", "secret", "on", "mode", "sites", "_enabled", "_granted", "demo", ""]) | WORDS
CONFIGS = st.dictionaries(KEYS, JSON, max_size=5)
ADDRESSES = st.builds(
    "{}{}{}".format,
    st.sampled_from(["http://", "https://", "file://", "ftp://", "//", "", "http:/", "javascript:"]),
    st.sampled_from(["[::1", "169.254.169.254", "localhost:0", "a@b:c@", "0x7f.1", "例.invalid", ""]) | WORDS,
    st.sampled_from(["/", "/demo_plugin.py", "/../../x_plugin.py", f"/{MARK}", "?a=b#c", ""]),
)
FRAMES = st.builds(
    lambda method, params, id: json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": id}),
    st.sampled_from(["subscribe", "unsubscribe", "ping", "rpc.discover", ""]) | WORDS,
    JSON | st.fixed_dictionaries({"topics": st.lists(WORDS, max_size=3)}, optional={"since": JSON}),
    JSON,
)
few = settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    home = tmp_path_factory.mktemp("generated") / "home"
    async with live_server(home, PLUGBAY_INSTALL__ALLOWED_HOSTS="plugins.invalid") as live:
        save(live.plugins / "search/demo_plugin.py", search_plugin() + SCHEMA)
        await live.event("loaded", "search/demo")
        yield live
        assert "Traceback" not in live.server.printed


@pytest.fixture(autouse=True)
def nothing_outside(live: Live) -> Any:
    """Whatever was asked for, there is nothing beside home, and nothing among the plugins that nobody put there."""
    yield
    assert [path.name for path in live.home.parent.iterdir()] == [live.home.name]
    known = {"demo_plugin.py"}
    found = {path.name for path in (live.home / "plugins").rglob("*_plugin*") if path.is_file()}
    assert found <= known


async def asked(live: Live, method: str, path: str, **more: Any) -> tuple[int, str]:
    """The status and the text of an answer that is none of the server's own errors, and no page."""
    # As it is written: a client would resolve dots by itself.
    url = URL(live.server.url + path, encoded=True)
    async with aiohttp.ClientSession() as session:
        async with session.request(method, url, allow_redirects=False, **more) as response:
            text = await response.text(errors="replace")
            assert response.status < 500 or response.status in (502, 503, 504), (method, path, more, text)
            # The page itself, for what leads out of the API, has nothing of the request in it.
            assert MARK not in text or response.content_type != "text/html", (method, path, more)
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            return response.status, text


def quoted(*parts: str) -> str:
    return "/".join(quote(part, safe="") for part in parts)


@few
@seed(SEED)
@given(type=st.sampled_from(["search", "download", "parser"]) | WORDS, name=WORDS)
@example(type="search", name="..")
@example(type="..", name="..%2f..%2fconfig")
async def test_names(live: Live, type: str, name: str) -> None:
    at = f"/api/plugins/{quoted(type, name)}"
    body = {"plugin_type": type, "plugin_name": name}
    if (type, name) != ("search", "demo"):
        await asked(live, "POST", "/api/plugins/delete", json=body)
    await asked(live, "POST", "/api/plugins/reload", json=body)
    await asked(live, "GET", at)
    await asked(live, "GET", f"{at}/source", params={"path": name.replace("\0", "")})
    await asked(live, "GET", f"{at}/files")
    await asked(live, "GET", "/api/plugins/template", params={"plugin_type": "search", "name": name})
    status, text = await asked(live, "GET", f"/api/search/{quoted(name)}", params={"keyword": MARK})
    assert status == 200 or json.loads(text)["code"]


@few
@seed(SEED)
@given(url=ADDRESSES, type=st.sampled_from(["search", "download", "parser"]) | WORDS)
@example(url="http://plugins.invalid/../../../x_plugin.py", type="../..")
async def test_addresses(live: Live, url: str, type: str) -> None:
    for path in ("/api/plugins/install", "/api/plugins/check"):
        status, text = await asked(live, "POST", path, json={"url": url, "plugin_type": type})
        assert status >= 400 and json.loads(text)["code"], (url, type)
    await asked(live, "GET", "/api/thumbnail", params={"url": url.replace("\0", "")})


@few
@seed(SEED)
@given(config=CONFIGS)
@example(config={"sites": [{"port": "x"}], "secret": MARK, "_granted": {"write": ["/"]}})
async def test_configurations(live: Live, config: dict[str, Any]) -> None:
    headers = {"Content-Type": "application/json"}
    text = json.dumps(config)
    await asked(live, "PUT", "/api/plugins/search/demo/config", data=text, headers=headers)
    whole = json.dumps({"config": {"search:demo": config, "search:absent": config}})
    await asked(live, "POST", "/api/config/import", data=whole, headers=headers)
    kept = live.home / "config" / "plugins.json"
    assert not kept.exists() or isinstance(json.loads(kept.read_text(encoding="utf-8")), dict)
    granted = (await live.plugin("search/demo"))["permissions"]["granted"]
    assert granted.get("read", []) == granted.get("write", []) == []


@few
@seed(SEED)
@given(frames=st.lists(FRAMES | WORDS | JSON.map(json.dumps), min_size=1, max_size=6))
async def test_frames(live: Live, frames: list[str]) -> None:
    async with aiohttp.ClientSession(live.server.url) as session:
        async with session.ws_connect("/api/ws") as socket:
            for frame in frames:
                await socket.send_str(frame.encode("utf-8", "replace").decode())
            await socket.send_str('{"jsonrpc": "2.0", "id": "last", "method": "ping"}')
            while True:
                message = await socket.receive(10)
                assert message.type is aiohttp.WSMsgType.TEXT, (frames, message)
                told = json.loads(message.data)
                if isinstance(told, dict) and told.get("id") == "last":
                    break
