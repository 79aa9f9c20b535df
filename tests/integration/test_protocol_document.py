"""The page on the protocol: every example is run against a real server, every table held against the code."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from jsonschema import Draft7Validator

from service.api.events_document import build_asyncapi
from service.api.problems import KINDS
from tests.integration.live import Live, live_server, search_plugin, write
from tests.integration.server_process import ROOT

PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000"
SECONDS = 10.0

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@asynccontextmanager
async def served(tmp_path: Path) -> AsyncIterator[Live]:
    home = tmp_path / "home"
    write(home / "plugins" / "search" / "demo_plugin.py", search_plugin("demo"))
    async with live_server(home) as live:
        await live.event("loaded", "search/demo")
        yield live


async def run(live: Live, script: str) -> str:
    """What a shell prints that runs it against the server."""
    bash = await asyncio.create_subprocess_exec(
        *("bash", "-c", script.replace(ADDRESS, live.server.url)), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(SECONDS):
        output, _ = await bash.communicate()
    return output.decode()


def pattern(expected: str) -> str:
    """A regular expression of a text in which `…` stands for anything."""
    return r"[\s\S]*?".join(map(re.escape, expected.split("…")))


def steps(block: str) -> Iterator[tuple[str, str]]:
    """The commands of a console block, each with what it prints."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


async def test_the_commands_print_what_the_page_says(tmp_path: Path) -> None:
    console = blocks("console")
    assert len(console) == 7
    async with served(tmp_path) as live:
        for block in console:
            commands, expected = zip(*steps(block), strict=True)
            # In one shell, since some use what others set.
            printed = await run(live, "".join(f"{command}\nprintf '\\0'\n" for command in commands))
            for command, output, wanted in zip(commands, printed.split("\0"), expected, strict=False):
                assert re.fullmatch(pattern(wanted.strip()), output.strip()), f"{command}\n{output}"


async def test_the_frames_are_answered_as_the_page_says(tmp_path: Path) -> None:
    websocket = blocks("websocket")
    assert len(websocket) == 2
    async with served(tmp_path) as live, aiohttp.ClientSession(headers={"Accept-Language": "en"}) as session:
        await live.post("/api/plugins/search/demo/toggle?enabled=false")
        await live.event("drained", "search/demo")
        async with session.ws_connect(live.server.url + "/api/ws") as ws:
            for line in "".join(websocket).splitlines():
                kind, _, text = line.partition(" ")
                if kind == "→":
                    await ws.send_str(text)
                elif kind == "$":
                    await run(live, text)
                else:
                    assert kind == "←", line
                    async with asyncio.timeout(SECONDS):
                        received = await ws.receive_str()
                        while (
                            '"type":"plugbay.heartbeat"' in received
                            or '"type":"plugbay.plugin.loading"' in received
                        ):
                            received = await ws.receive_str()
                    assert re.fullmatch(pattern(text), received), f"{text}\n{received}"


def test_the_event_is_as_the_document_describes_it() -> None:
    [block] = blocks("json")
    event = json.loads(block)
    schema = build_asyncapi(version="1")["components"]["schemas"]["CloudEvent"]
    Draft7Validator(schema).validate(event)
    assert event["id"] == f"{event['epoch']}-{event['seq']}"


def test_every_event_is_in_the_table() -> None:
    section = PAGE.partition("\n## Events\n")[2].partition("\n## ")[0]
    named: set[str] = set()
    for row in re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE):
        first, *others = re.findall(r"`([^`]*)`", row)
        stem = first.rpartition(".")[0]
        named |= {f"plugbay.{first}", *(f"plugbay.{stem}{other}" for other in others)}
    described = {
        name
        for name in build_asyncapi(version="1")["components"]["messages"]
        if name.startswith("plugbay.") and not name.startswith("plugbay.stream.")
    }
    assert named - {"plugbay.type `plugbay."} == described


def test_every_status_of_a_problem_is_in_the_table_or_told_of() -> None:
    told = {int(number) for number in re.findall(r"\b[45]\d\d\b", PAGE)}
    rare = {405, 408, 414, 417, 431, 500}
    assert {kind.status for kind in KINDS.values()} - told <= rare
