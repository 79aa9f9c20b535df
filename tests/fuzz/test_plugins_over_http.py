"""Hostile and spoilt texts over HTTP, and files with names that nobody gives: refused with a reason, or served."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.fuzz.findings import Findings
from tests.fuzz.plugin_texts import PluginText, plugin_text, sound_plugin
from tests.integration.live import Answer, Live, live_server
from tests.rounds import SEED, SOAK, sized

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1200)]
if SOAK:
    pytestmark.append(pytest.mark.soak)

SECONDS = 60.0
# Far from the numbers of the files that are saved.
FIRST = 1_000_000
REFUSED = {400, 404, 409, 412, 413, 415, 422, 502, 503, 504}
NAMES = (
    *(
        "\u200b",
        "a\u200bb",
        "\u202edlrow",
        "é",
        "e\u0301",
        "例",
        "a b",
        " a",
        "a ",
        "a\nb",
        "a\tb",
        "-a",
        ".a",
        "..",
        "a.b",
        "CON",
    ),
    *(
        "a'b",
        'a"b',
        "$(x)",
        "`x`",
        "%2e%2e",
        "a%00b",
        "<img src=x onerror=alert(1)>",
        "\U0001f600",
        "class",
        "__init__",
        "_",
        "1",
    ),
    *(
        "x" * 64,
        "x" * 65,
        "x" * 240,
        "例" * 80,
        "\x1b[31m",
        "a\x7fb",
        "\ufeff",
        "\u2028",
        "ﬁ",
        "A",
        "a_plugin",
        "plugin_template",
    ),
)
BYTES = (b"\xff", b"a\x80b", b"\xed\xa0\x80", b"\xc3(", b"\x01")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    home = tmp_path_factory.mktemp("over_http") / "home"
    folder = home / "plugins" / "search"
    folder.mkdir(parents=True)
    (folder / "edited_plugin.py").write_text(sound_plugin("edited"))
    settings = {f"PLUGBAY_LIMITS__{name}_S": "8" for name in ("LOAD", "START", "SELF_CHECK")}
    settings |= {"PLUGBAY_LIMITS__STOP_S": "1", "PLUGBAY_LIMITS__INSTALLS_PER_MINUTE": "100000"}
    async with live_server(home, **settings, PLUGBAY_DEPENDENCIES__TIMEOUT_S="10") as live:
        await live.event("loaded", "search/edited")
        yield live
        assert "Traceback (most recent" not in live.server.printed


async def test_texts(live: Live) -> None:
    findings = Findings("texts planned, installed and written over HTTP")
    at_once = asyncio.Semaphore(6)

    async def one(number: int) -> None:
        async with at_once:
            text = plugin_text(SEED, FIRST + number, may_hang=False)
            with findings.watching(text.how):
                await asyncio.wait_for(over_http(live, findings, text, f"over{number}"), 2 * SECONDS)

    await asyncio.gather(*(one(number) for number in range(sized(8, 300))))
    with findings.watching("a sound text"):
        answer = await live.request(
            "PUT", "/api/plugins/search/edited/source", data=sound_plugin("edited", says="end")
        )
        assert answer.status == 200 and await live.answer("edited") == "end", answer
        listed = await live.listed()
        assert set(listed) == {"search/edited"}, set(listed)
    findings.close()


async def over_http(live: Live, findings: Findings, text: PluginText, name: str) -> None:
    """Look at the plan, install it to be kept or not, take it away, and write it over another's text."""
    for fields in ({"dry_run": "true"}, {"keep": "true"}):
        form = aiohttp.FormData({"plugin_type": text.type, **fields})
        form.add_field("file", text.content, filename=f"{name}_plugin.py")
        answer = await live.request("POST", "/api/plugins/install", data=form)
        told(findings, answer)
        if answer.status == 200 and "keep" in fields:
            plugin = answer.body["plugin"]
            body = {"plugin_type": text.type, "plugin_name": plugin["name"], "purge": True}
            answer = await live.post("/api/plugins/delete", body)
            assert answer.status == 200, answer
    if text.type == "search":
        # Under the identity that it has: a text of another name is refused, or takes its place.
        content = text.content.replace(name.encode(), b"edited")
        answer = await live.request("PUT", "/api/plugins/search/edited/source", data=content)
        told(findings, answer)
        back = await live.get("/api/plugins")
        [plugin] = [one for one in back.body["search"] if one["file"].endswith("/edited_plugin.py")]
        source = f"/api/plugins/search/{plugin['name']}/source"
        answer = await live.request("PUT", source, data=sound_plugin("edited"))
        assert answer.status in (200, 404, 409), answer


def told(findings: Findings, answer: Answer) -> None:
    """Whether an answer is one of the contract's, and says what is wrong."""
    findings.count(f"answers {answer.status}")
    if answer.status == 200:
        return
    assert answer.status in REFUSED and isinstance(answer.body, dict), answer
    assert answer.body["code"] and answer.body["detail"] and answer.body["code"] != "internal", answer
    if answer.body.get("error"):
        assert all(answer.body["error"]["messages"][language] for language in ("zh", "en")), answer


async def test_names_of_files(live: Live) -> None:
    findings = Findings("files with odd names")
    folder = os.fsencode(live.plugins / "search")
    names = [*(name.encode("utf-8", "surrogatepass") for name in NAMES), *BYTES]
    chance = Random(f"{SEED} names")
    chosen = chance.sample(names, sized(12, len(names)))
    made: list[bytes] = []
    for number, name in enumerate(chosen):
        ending = chance.choice((b"_plugin.py", b"_plugin.py", b".py", b"_requirements.txt", b"_plugin"))
        path = os.path.join(folder, name.replace(b"/", b"") + ending)
        try:
            if ending == b"_plugin":
                os.mkdir(path)
                made.append(path)
                path = os.path.join(path, b"__init__.py")
            with open(path, "wb") as file:
                file.write(sound_plugin(f"odd{number}").encode())
        except OSError:
            continue
        if ending != b"_plugin":
            made.append(path)
        findings.count("names")
    await quiet(live, findings)
    listed = await live.listed()
    for plugin in listed.values():
        json.dumps(plugin).encode()
        with findings.watching(plugin["file"]):
            assert plugin["state"] == "active" or plugin["error"]["code"] in ("conflict", "name_invalid"), (
                plugin
            )
            if plugin["state"] == "active":
                assert (await live.search(plugin["name"])).status == 200
            findings.count(plugin["state"])
    for path in made:
        await asyncio.to_thread(remove, path)
    async with asyncio.timeout(SECONDS):
        while set(await live.listed()) != {"search/edited"}:
            await asyncio.sleep(0.05)
    findings.close()


async def quiet(live: Live, findings: Findings) -> None:
    """Wait until all is tried, asking for what a page would ask for."""
    async with asyncio.timeout(SECONDS):
        while True:
            await live.quiet(0.3)
            for path in ("/api/plugins", "/readyz", "/livez", "/metrics", "/api/activity"):
                answer = await live.get(path)
                if answer.status not in (200, 503):
                    findings.add(path, str(answer)[:900])
            if all(one["state"] != "loading" for one in (await live.listed()).values()):
                return


def remove(path: bytes) -> Any:
    if os.path.isdir(path):
        for name in os.listdir(path):
            os.unlink(os.path.join(path, name))
        os.rmdir(path)
    else:
        os.unlink(path)
