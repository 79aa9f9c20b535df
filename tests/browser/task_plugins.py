"""Plugins whose searches and downloads go as far as a test lets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOUND = '''\
import asyncio, json
from service.sdk import SearchPlugin, SearchResult


class Found(SearchPlugin):
    """Finds what its file holds, as far as its gate lets it."""

    name = {name!r}
    version = "1.0.0"
    description = "Finds what it is told"

    async def search(self, keyword, **kwargs):
        results = json.loads((self.data_dir / "results.json").read_text())
        for number, result in enumerate(results):
            while number >= int((self.data_dir / "gate").read_text()):
                await asyncio.sleep(0.02)
            yield SearchResult(**result)
        while len(results) >= int((self.data_dir / "gate").read_text()):
            await asyncio.sleep(0.02)
'''

RAISING = """\
from service.sdk import SearchPlugin


class Raising(SearchPlugin):
    name = "raising"
    version = "1.0.0"
    description = "Raises"

    async def search(self, keyword, **kwargs):
        raise ValueError({reason!r})
"""

COUNTING = '''\
import asyncio
from service.sdk import DownloadPlugin


class Counting(DownloadPlugin):
    """Counts to a hundred as far as its gate lets it; `count:wrong` fails there."""

    name = "counting"
    version = "1.0.0"
    description = "Counts"
    supported_protocols = ["count"]
    resumable = True

    def get_web_ui_url(self):
        return {page!r}

    async def download(self, task):
        at = (task.resume or {{}}).get("at", 0)
        while at < 100:
            if at >= int((self.data_dir / "gate").read_text()):
                if "wrong" in task.url:
                    raise OSError({reason!r})
                await asyncio.sleep(0.02)
                continue
            at += 1
            await task.checkpoint({{"at": at}})
            await task.report(downloaded=at << 20, total=100 << 20, speed=float(3 << 20), eta=90.0)
        task.save_path = str(self.downloads_dir / "counted.bin")
        return True
'''

INSTANT = """\
from service.sdk import DownloadPlugin


class Instant(DownloadPlugin):
    name = "instant"
    version = "1.0.0"
    description = "Is done at once"
    supported_protocols = ["now", "http", "https", "m3u8", "magnet", "torrent"]

    async def download(self, task):
        return True
"""

ALL = 1_000_000


class Gate:
    """A plugin in the home `home` that waits at a number. It may be made before the server starts, or later."""

    def __init__(self, home: Path, kind: str, name: str, source: str) -> None:
        self.name = name
        self.data = home / "data" / "plugins" / kind / name
        self.data.mkdir(parents=True, exist_ok=True)
        self._file = home / "plugins" / kind / f"{name}_plugin.py"
        self._source = source

    def let(self, number: int = ALL) -> None:
        """Let it go on to there."""
        self._put("gate", str(number))

    def save(self) -> None:
        """Put the plugin where it is found."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(self._source, encoding="utf-8")

    def _put(self, name: str, text: str) -> None:
        # By rename, so that it is never read half written.
        part = self.data / f"{name}.new"
        part.write_text(text, encoding="utf-8")
        part.rename(self.data / name)


class Finder(Gate):
    """A search plugin that finds `results`, those before its gate at once."""

    def __init__(self, home: Path, name: str, results: list[dict[str, Any]], gate: int = ALL) -> None:
        super().__init__(home, "search", name, FOUND.format(name=name))
        self._put("results.json", json.dumps(results))
        self.let(gate)
        self.save()


class Counter(Gate):
    """A download plugin that counts to its gate; `reason` is what it fails with, `page` its program's."""

    def __init__(
        self,
        home: Path,
        gate: int = ALL,
        *,
        reason: str = "the disk is full",
        page: str | None = None,
    ) -> None:
        super().__init__(home, "download", "counting", COUNTING.format(reason=reason, page=page))
        self.let(gate)
        self.save()


def results(*titles: str, **more: Any) -> list[dict[str, Any]]:
    """A result of each title."""
    return [{"title": title, "url": f"https://example.org/{title}", **more} for title in titles]
