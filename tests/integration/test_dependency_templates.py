"""Plugins on dependency sets in a whole server: versions side by side, reloads, and templates that are killed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.live import Live, live_server, save, search_plugin, write
from tests.integration.process_tree import children, descendants, template_of, until_gone
from tests.registry import Registry

LIBRARY = """
import os
VERSION = {version!r}
IMPORTED_BY = os.getpid()
"""
THREADS = LIBRARY + "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
ANSWER = """
import importlib.metadata, os, lib

def answer(says):
    where = "itself" if lib.IMPORTED_BY == os.getpid() else "forked"
    return f"{says} {lib.VERSION} {importlib.metadata.version('lib')} {where} {os.getppid()}"
"""


def plugin_on(requirement: str, name: str, says: str = "1") -> str:
    """A plugin that answers with the version of its library and where it was imported."""
    text = search_plugin(
        name,
        says,
        imports=ANSWER,
        expression=f"answer({says!r})",
    )
    text = text.replace(
        "        return [",
        "        if keyword == 'wait':\n            import asyncio\n            await asyncio.Event().wait()\n"
        "        return [",
    )
    return f'# /// script\n# dependencies = ["{requirement}"]\n# ///\n{text}'


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    with Registry() as registry:
        for version in ("1.0", "2.0"):
            registry.add("lib", version, {"lib.py": LIBRARY.format(version=version)})
        registry.add("lib", "3.0", {"lib.py": THREADS.format(version="3.0")})
        home = tmp_path / "home"
        for name, version in (("one", "1.0"), ("two", "2.0"), ("three", "3.0")):
            write(home / f"plugins/search/{name}_plugin.py", plugin_on(f"lib=={version}", name))
        async with live_server(home, **registry.environment(tmp_path / "cache")) as live:
            yield live


async def answers_in_the_end(live: Live, name: str, expected: str) -> None:
    """Reload a plugin until it answers so, its parent aside: its set's template comes in the background."""
    async with asyncio.timeout(20):
        while (answer := (await live.answer(name)).rpartition(" ")[0]) != expected:
            assert answer == expected.replace("forked", "itself")
            await asyncio.sleep(0.05)
            await live.post("/api/plugins/reload", {"plugin_type": "search", "plugin_name": name})


async def test_versions_side_by_side_and_templates_that_are_killed(live: Live) -> None:
    for name in ("one", "two", "three"):
        await live.event("loaded", f"search/{name}")
    base = template_of(live.server.process.pid)
    assert await live.answer("one") == f"1 1.0 1.0 itself {base}"
    await answers_in_the_end(live, "one", "1 1.0 1.0 forked")
    await answers_in_the_end(live, "two", "1 2.0 2.0 forked")
    # One that starts threads at its import is imported by each worker.
    for says in ("1", "2", "3"):
        start = len(live.events)
        save(live.plugins / "search/three_plugin.py", plugin_on("lib==3.0", "three", says + "0"))
        await live.event("reloaded", "search/three", after=start)
        assert await live.answer("three") == f"{says}0 3.0 3.0 itself {base}"

    template = int((await live.answer("one")).split()[-1])
    assert template in children(base)
    waiting = asyncio.create_task(live.search("one", "wait"))
    async with asyncio.timeout(10):
        while not (await live.plugin("search/one"))["running_calls"]:
            await asyncio.sleep(0.01)
    start = len(live.events)
    left = {template} | descendants(template)

    os.kill(template, signal.SIGKILL)

    answer = await waiting
    assert (answer.status, answer.body["code"]) == (502, "plugin_crashed")
    await until_gone(left)
    await live.event("loaded", "search/one", after=start)
    await answers_in_the_end(live, "one", "1 1.0 1.0 forked")
    assert (await live.answer("two")).startswith("1 2.0 2.0 forked")

    left = descendants(live.server.process.pid)
    live.server.process.kill()
    await until_gone(left)
