"""Settings and stored configuration, whatever is in the files: taken, or refused with the place; what is good stays."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_asyncio

from service.host.configuration import config_file
from service.host.configuration.config_store import ConfigStore
from service.settings import Settings
from service.settings_reading import SettingsError, load_settings
from tests.fuzz.config_texts import environment, plugins_json, service_toml
from tests.fuzz.findings import Findings, check_text
from tests.fuzz.plugin_texts import sound_plugin
from tests.integration.live import Live, live_server
from tests.integration.server_process import ROOT, running_server
from tests.integration.server_process import environment as process_environment
from tests.rounds import SEED, SOAK, sized

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1200)]
if SOAK:
    pytestmark.append(pytest.mark.soak)

SECONDS = 30.0
FIELDS = """
    def get_config_schema(self):
        return [
            {"name": "host", "type": "text", "default": ""},
            {"name": "secret", "type": "password"},
            {"name": "on", "type": "boolean", "default": True},
            {"name": "mode", "type": "select", "options": ["a", "b"]},
            {"name": "sites", "type": "list", "fields": [{"name": "port", "type": "number", "default": 80}]},
        ]
"""


# -- settings ----------------------------------------------------------------------------------------------------


async def test_settings(tmp_path: Path) -> None:
    findings = Findings("service.toml and PLUGBAY_ variables")
    (tmp_path / "config").mkdir()
    path = tmp_path / "config" / "service.toml"
    for number in range(sized(120, 3000)):
        chance = Random(f"{SEED} settings {number}")
        content = service_toml(chance) if number % 2 == 0 else b""
        environ = environment(chance) if number % 4 else {}
        path.write_bytes(content)
        with findings.watching(f"{environ} {content[:900]!r}"):
            try:
                settings = await asyncio.to_thread(load_settings, tmp_path, environ)
                assert isinstance(settings, Settings)
                findings.count("taken")
            except SettingsError as error:
                findings.count("refused")
                check_text(error.text)
                named = "service.toml" in error.text.en or any(name in error.text.en for name in environ)
                assert named, f"no place is told: {error.text.en}"
    findings.close()


async def test_a_start_with_wrong_settings_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    findings = Findings("starts")
    home = tmp_path / "home"
    (home / "config").mkdir(parents=True)
    wrong = 0
    for number in range(400):
        content = service_toml(Random(f"{SEED} start {number}"))
        (home / "config" / "service.toml").write_bytes(content)
        try:
            await asyncio.to_thread(load_settings, home, {})
            continue
        except SettingsError:
            wrong += 1
        if wrong > sized(1, 15):
            break
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service", "serve", "--home", str(home), "--port", "0"),
            cwd=ROOT,
            env=process_environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(SECONDS):
            output, _ = await process.communicate()
        findings.count("refused")
        if process.returncode not in (1, 2) or b"Traceback" in output or b"service.toml" not in output:
            findings.add(repr(content[:900]), f"status {process.returncode}: {output.decode()[:900]}")
        if (left := sorted(one.name for one in home.iterdir())) != ["config"]:
            findings.add(repr(content[:900]), f"a start that was refused left {left}")
    findings.close()


# -- stored configuration ----------------------------------------------------------------------------------------


async def test_the_store_keeps_what_is_good(tmp_path: Path) -> None:
    findings = Findings("contents of config/plugins.json read by the store")
    path = tmp_path / "config" / "plugins.json"
    path.parent.mkdir()
    store = ConfigStore(path, settle_s=0)
    await store.load()
    for number in range(sized(60, 1500)):
        content = plugins_json(Random(f"{SEED} store {number}"))
        before = store.export()
        path.write_bytes(content)
        with findings.watching(repr(content[:900])):
            await store.reread()
            if store.problem is None:
                findings.count("taken")
                assert store.export() == config_file.parse(content, "plugins.json")
            else:
                findings.count("refused")
                check_text(store.problem)
                assert same(store.export(), before), "the last good values are gone"
                assert path.read_bytes() == content, "a bad file was written over"
            if number % 5 == 0:
                await store.restore_all({"search:own": {"n": number}})
                assert store.entry("search:own") == {"n": number} and store.problem is None
                looked = await asyncio.to_thread(config_file.look, path)
                assert looked.entries == store.export()
    await store.close()
    kept = [one.name for one in path.parent.iterdir() if "corrupt" in one.name]
    assert len(kept) <= config_file.KEPT_ASIDE
    findings.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    home = tmp_path_factory.mktemp("configs") / "home"
    folder = home / "plugins" / "search"
    folder.mkdir(parents=True)
    (folder / "first_plugin.py").write_text(sound_plugin("first"))
    (folder / "fuzz_plugin.py").write_text(sound_plugin("fuzz") + FIELDS)
    async with live_server(home) as live:
        await live.event("loaded", "search/fuzz")
        yield live


async def test_edits_by_hand_of_a_running_server(live: Live) -> None:
    findings = Findings("contents of config/plugins.json saved beside a server")
    path = live.home / "config" / "plugins.json"
    for number in range(sized(8, 120)):
        content = plugins_json(Random(f"{SEED} live {number}"))
        await asyncio.to_thread(save, path, content)
        case = repr(content[:900])
        for route in (
            "/api/plugins",
            "/api/plugins/search/fuzz/config",
            "/api/config/export",
            "/livez",
            "/readyz",
        ):
            answer = await live.get(route)
            if answer.status not in (200, 503) or not isinstance(answer.body, dict):
                findings.add(case, f"{route} answered {answer}")
        for name in ("first", "fuzz"):
            answer = await live.search(name)
            if answer.status not in (200, 409, 503):
                findings.add(case, f"the plugin {name} answered {answer}")
        findings.count("saves")
    await asyncio.to_thread(save, path, b"{}\n")
    async with asyncio.timeout(SECONDS):
        while not await are_well(live):
            await asyncio.sleep(0.05)
    granted = (await live.plugin("search/fuzz"))["permissions"]["granted"]
    assert granted.get("read", []) == granted.get("write", []) == []
    for line in live.server.printed.split("\n"):
        if "Traceback" in line:
            findings.add(line[:2000], "the server's own log has a fault")
    async with asyncio.timeout(SECONDS):
        # The copy of what is good is written when all else is done.
        while (beside := beside_of(path)) != {"plugins.json", "plugins.json.good"}:
            assert all(name.endswith(".tmp") for name in beside - {"plugins.json", "plugins.json.good"}), (
                beside
            )
            await asyncio.sleep(0.05)
    findings.close()


def beside_of(path: Path) -> set[str]:
    """What lies in a file's folder, damaged ones that were kept under the file's own name."""
    return {one.name.partition(".corrupt-")[0] for one in path.parent.iterdir()}


async def are_well(live: Live) -> bool:
    """Whether both plugins serve and nothing is said against the file."""
    listed = await live.listed()
    states = {one["state"] for one in listed.values()}
    return states == {"active"} and (await live.get("/readyz")).status == 200


async def test_a_start_over_any_stored_configuration(tmp_path: Path) -> None:
    findings = Findings("starts over config/plugins.json")
    for number in range(sized(1, 12)):
        home = tmp_path / str(number) / "home"
        content = plugins_json(Random(f"{SEED} stored {number}"))
        save(home / "config" / "plugins.json", content)
        (home / "plugins" / "search").mkdir(parents=True)
        (home / "plugins" / "search" / "fuzz_plugin.py").write_text(sound_plugin("fuzz") + FIELDS)
        async with running_server(home, environ=process_environment()) as server:
            listed = await server.plugbay("list", "--json")
            if listed.status != 0 or not isinstance(json.loads(listed.stdout), dict | list):
                findings.add(repr(content[:900]), str(listed)[:900])
            findings.count("starts")
        if "Traceback" in server.printed:
            findings.add(repr(content[:900]), server.printed[-2000:])
    findings.close()


def save(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(".plugins.json.tmp")
    temporary.write_bytes(content)
    temporary.rename(path)


def same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
