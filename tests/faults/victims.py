"""The plugins that are killed: they say what they are made of, and note which processes they have been."""

from __future__ import annotations

from pathlib import Path

from tests.integration.live import save

# Versions of the library that plugins with packages ask for.
LIBRARY_VERSIONS = range(1, 9)

SLOT = """\
# /// script
# dependencies = [{dependencies}]
# ///
{imports}
import asyncio, os
from service.sdk import ConfigField, SearchPlugin, SearchResult

class Slot(SearchPlugin):
    name = "{name}"
    version = "{version}"
    description = "says what it is made of, and which processes it has been"

    def get_config_schema(self):
        return [ConfigField(name="word", type="text", default="none")]

    async def start(self):
        with (self.data_dir / "pids").open("a") as pids:
            pids.write(f"{{os.getpid()}}\\n")

    async def search(self, keyword, **kwargs):
        if keyword == "slow":
            await asyncio.sleep(0.25)
        return [SearchResult(title=f"{version} {{self.config['word']}}", url="x:")]
"""

DOWNLOAD = """\
import asyncio, os
from service.sdk import DownloadPlugin

class Counting(DownloadPlugin):
    name = "{name}"
    version = "1"
    description = "writes thirty lines, one after the other"
    supported_protocols = ["{name}"]
    resumable = {resumable}

    async def start(self):
        with (self.data_dir / "pids").open("a") as pids:
            pids.write(f"{{os.getpid()}}\\n")

    async def download(self, task):
        at = (task.resume or {{}}).get("at", 0)
        self.downloads_dir.mkdir(parents=True, exist_ok=True)
        file = self.downloads_dir / f"{{task.id}}.txt"
        lines = file.read_text().splitlines()[:at] if at else []
        for number in range(at, 30):
            lines.append(str(number))
            part = file.with_suffix(".part")
            part.write_text("\\n".join(lines))
            part.rename(file)
            await task.checkpoint({{"at": number + 1}})
            await task.report(downloaded=number + 1, total=30)
            await asyncio.sleep(0.02)
        task.save_path = str(file)
        return True
"""
COUNTED = "\n".join(map(str, range(30)))
STEADY = "steady"
SAVED = ("saved0", "saved1")
RESUMABLE, ONCE = "counting", "once"


def slot_text(name: str, version: str, library: int | None = None) -> str:
    """A plugin that says its version; with a library, it depends on that version of it."""
    return SLOT.format(
        name=name,
        version=version,
        dependencies="" if library is None else f'"greeting=={library}.0"',
        imports="" if library is None else "import greeting",
    )


def furnish(home: Path) -> None:
    """The plugins that are there from the beginning."""
    for name in (STEADY, *SAVED):
        save(home / f"plugins/search/{name}_plugin.py", slot_text(name, "0"))
    for name, resumable in ((RESUMABLE, True), (ONCE, False)):
        text = DOWNLOAD.format(name=name, resumable=resumable)
        save(home / f"plugins/download/{name}_plugin.py", text)
