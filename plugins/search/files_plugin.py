# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.plugbay]
# network = false
# ///
"""Finds files by their names below one folder."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from service.sdk import ConfigField, SearchPlugin, SearchResult

WELCOME = """\
欢迎使用 Plugbay！把文件放进这个文件夹，即可按文件名搜索；也可以在插件配置里改成别的文件夹。
Welcome to Plugbay! Files that you put here can be found by name; another folder can be set in the configuration.
"""


class FilesPlugin(SearchPlugin):
    """Every word of the keyword must occur in the path below the folder; the newest files come first."""

    name = "files"
    version = "1.0.0"
    description = "按文件名搜索本地文件夹 · Finds files by name"

    def get_config_schema(self) -> list[ConfigField]:
        return [
            ConfigField(
                name="folder",
                label="文件夹 · Folder",
                description="要搜索的文件夹；留空则为插件自己的文件夹 · Empty: a folder of the plugin's own",
            ),
            ConfigField(
                name="limit",
                label="最多结果数 · Results at most",
                type="number",
                default=100,
            ),
            ConfigField(
                name="hidden",
                label="包含隐藏文件 · Hidden files too",
                type="boolean",
                default=False,
            ),
        ]

    @property
    def folder(self) -> Path:
        """The configured folder, else one of the plugin's own."""
        chosen = str(self.config.get("folder") or "")
        return Path(chosen).expanduser() if chosen else self.data_dir / "files"

    async def start(self) -> None:
        if not self.config.get("folder") and not self.folder.exists():
            self.folder.mkdir(parents=True)
            (self.folder / "Welcome to Plugbay.txt").write_text(WELCOME, encoding="utf-8")
        self.log.info("searching below %s", self.folder)

    def search(self, keyword: str, **kwargs: Any) -> list[SearchResult]:
        """A plain method: it runs in a thread, so a slow disk holds up nobody else."""
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{self.folder} is no folder; set another in the configuration")
        words = keyword.casefold().split()
        found = []
        for path in self._files(self.folder):
            below = path.relative_to(self.folder).as_posix().casefold()
            if all(word in below for word in words):
                try:
                    found.append((path, path.stat()))
                except OSError:  # deleted since the folder was read
                    continue
        found.sort(key=lambda item: item[1].st_mtime, reverse=True)
        limit = max(1, int(self.config.get("limit") or 100))
        if len(found) > limit:
            self.log.info("%d files match %r, giving the newest %d", len(found), keyword, limit)
        return [self._result(path, stat) for path, stat in found[:limit]]

    async def get_video_info(self, url: str) -> SearchResult:
        """What is known of one of the files that `search` gave."""
        return await asyncio.to_thread(self._info, url)

    def _info(self, url: str) -> SearchResult:
        parts = urlsplit(url)
        path = Path(unquote(parts.path)).resolve()
        if parts.scheme != "file" or not path.is_relative_to(self.folder.resolve()) or not path.is_file():
            raise ValueError(f"{url} is not a file below {self.folder}")
        return self._result(path, path.stat())

    def _files(self, folder: Path) -> Iterator[Path]:
        hidden = bool(self.config.get("hidden"))
        for parent, folders, names in os.walk(folder, followlinks=False):
            if not hidden:
                folders[:] = [name for name in folders if not name.startswith(".")]
                names = [name for name in names if not name.startswith(".")]
            yield from (Path(parent, name) for name in names)

    def _result(self, path: Path, stat: os.stat_result) -> SearchResult:
        modified = time.strftime("%Y-%m-%d %H:%M", time.localtime(stat.st_mtime))
        return SearchResult(
            title=path.name,
            url=path.absolute().as_uri(),
            platform=self.name,
            description=f"{readable_size(stat.st_size)} · {modified}",
            metadata={"path": str(path), "size": stat.st_size, "modified": int(stat.st_mtime)},
        )


def readable_size(size: float) -> str:
    """`1536` as `1.5 KiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
