"""The data of a plugin that was deleted, while its last calls still use it and another of its name comes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from tests.integration.live import Live, live_server, write

PLUGIN = """\
import asyncio, os
from service.sdk import SearchPlugin, SearchResult

class Demo(SearchPlugin):
    name = "demo"
    version = "{version}"
    description = "keeps what it is"

    async def start(self):
        kept = self.data_dir / "kept"
        self.found = kept.read_text() if kept.exists() else "nothing"
        kept.write_text("{version}")

    async def search(self, keyword, **kwargs):
        if keyword == "wait":
            (self.data_dir / "begun").touch()
            while not os.path.exists({gate!r}):
                await asyncio.sleep(0.02)
        return [SearchResult(title=f"{{self.version}} found {{self.found}}", url="x:")]
"""


async def install(live: Live, text: str) -> None:
    form = aiohttp.FormData()
    form.add_field("file", text.encode(), filename="demo_plugin.py")
    form.add_field("plugin_type", "search")
    installed = await live.post("/api/plugins/install", data=form)
    assert installed.status == 200, installed.body


async def test_a_new_plugin_keeps_its_own_data(tmp_path: Path) -> None:
    home, gate = tmp_path / "home", str(tmp_path / "gate")
    data = home / "data/plugins/search/demo"
    async with live_server(home) as live:
        await install(live, PLUGIN.format(version="1", gate=gate))
        call = asyncio.create_task(live.answer("demo", "wait"))
        async with asyncio.timeout(10):
            while not (data / "begun").exists():
                await asyncio.sleep(0.02)
        body = {"plugin_type": "search", "plugin_name": "demo", "purge": True}
        deleted = await live.post("/api/plugins/delete", body)
        assert (deleted.status, deleted.body["running_calls"]) == (200, 1)
        assert (data / "kept").read_text() == "1"

        await install(live, PLUGIN.format(version="2", gate=gate))
        assert await live.answer("demo") == "2 found nothing"
        write(tmp_path / "gate", "")
        assert await call == "1 found nothing"
        await live.event("drained", "search/demo")
        await live.quiet(0.2)

        # What the last call of the first one waited for must not take the second one's data along.
        assert (data / "kept").read_text() == "2"
        assert list((home / "data/journal").iterdir()) == []
        [trashed] = (home / "data/trash").rglob("kept")
        assert trashed.read_text() == "1"
