"""What comes with Plugbay: all of it loads from a new home, and the document names its settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.test_bundled_downloads import bundled_server

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(120)
async def test_every_bundled_plugin_serves_and_its_settings_are_described(tmp_path: Path) -> None:
    async with bundled_server(tmp_path / "home") as live:
        plugins = await live.listed()
    assert {id: plugin["state"] for id, plugin in plugins.items() if plugin["state"] != "active"} == {}
    assert {plugin["origin"]["kind"] for plugin in plugins.values()} == {"bundled"}
    document = (ROOT / "docs/bundled-plugins.md").read_text(encoding="utf-8")
    described: dict[str, set[str]] = {}
    plugin_id = ""
    for line in document.splitlines():
        cells = [cell.strip() for cell in line.split(" | ")] if line.startswith("|") else []
        if len(cells) != 3 or cells[0] in ("| plugin", "|---|---|---|"):
            continue
        if names := cells[0].strip("| ").replace("`", "").split():
            plugin_id = "/".join(names)
        described.setdefault(plugin_id, set()).update(cells[1].replace("`", "").split(", "))
    fields = {id: {field["name"] for field in plugin["config_schema"]} for id, plugin in plugins.items()}
    assert described == {id: names for id, names in fields.items() if names}
