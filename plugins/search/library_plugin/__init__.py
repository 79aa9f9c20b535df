# /// script
# requires-python = ">=3.11"
# dependencies = ["watchdog>=7.1"]
#
# [tool.plugbay]
# network = false
# read = ["{downloads}", "{folders}", "{folder}"]
# ///
"""Finds files in chosen folders, and all that was downloaded, by name and by what is in them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import stat
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from plugins.search.library_plugin.content import snippet
from plugins.search.library_plugin.keeper import Keeper
from plugins.search.library_plugin.query import Reader
from plugins.search.library_plugin.store import Place, is_damage
from plugins.search.library_plugin.tree import Tree, readable
from plugins.shared.keyword_query import Query
from plugins.shared.lenient_values import as_bool, as_number
from plugins.shared.readable_text import readable_size
from service.sdk import ConfigField, SearchPlugin, SearchResult

# How long a search waits for what has just changed, and how long for the words around what was found.
UP_TO_DATE_SECONDS = 2.0
SNIPPETS_SECONDS = 0.03
STOP_SECONDS = 3.0
LIMIT_MAX = 10_000


class LibraryPlugin(SearchPlugin):
    """Searches an index of names, folders and texts that follows what changes in the folders.

    All words must occur, "phrases" as they stand, -words not at all. First come files that have them in their name,
    then in their folders' names, then in their text; of equals the newest.
    """

    name = "library"
    version = "1.0.0"
    description = (
        "搜索本地文件夹和已下载文件的名称与内容 · Finds local files and downloads by name and content"
    )

    def __init__(self) -> None:
        self.tree: Tree | None = None
        self.keeper: Keeper | None = None
        self.reader: Reader | None = None

    def get_config_schema(self) -> list[ConfigField]:
        return [
            ConfigField(
                name="folders",
                label="文件夹 · Folders",
                type="list",
                default=[],
                description="下载文件夹总在其中 · The downloads folder is always among them",
                fields=[ConfigField(name="path", label="路径 · Path", required=True)],
            ),
            ConfigField(name="limit", label="最多结果数 · Results at most", type="number", default=100),
            ConfigField(
                name="hidden", label="包含隐藏文件 · Hidden files too", type="boolean", default=False
            ),
            ConfigField(
                name="text_kib",
                label="索引每个文本的前多少 KiB（0 不索引内容）· KiB of each text to index, 0 for none",
                type="number",
                default=1024,
            ),
        ]

    @property
    def folders(self) -> list[Path]:
        """The configured folders; `folder` is the name that an earlier plugin had for a single one."""
        chosen = self.config.get("folders") or []
        entries: Iterable[Any] = [chosen] if isinstance(chosen, str | dict) else chosen
        paths = [entry.get("path") if isinstance(entry, dict) else entry for entry in entries]
        paths.append(self.config.get("folder"))
        return [Path(str(path).strip()).expanduser() for path in paths if path and str(path).strip()]

    async def start(self) -> None:
        index_folder = self.data_dir / "index"
        self.tree = await asyncio.to_thread(
            Tree,
            [self.downloads_dir, *self.folders],
            hidden=as_bool(self.config.get("hidden"), False),
            passed_over=index_folder,
        )
        place = Place(index_folder)
        self.reader = Reader(place)
        self.keeper = Keeper(place, self.tree, text_max_bytes=self._text_max_bytes, log=self.log)
        self.keeper.start()
        # What begins here is cancelled when this generation is to end, and the index is then left to the next one.
        self._keeping = asyncio.create_task(self._keep(self.keeper), name="library")
        self.log.info("searching below %s", ", ".join(os.fsdecode(root.path) for root in self.tree.roots))

    async def stop(self) -> None:
        if self.keeper is not None:
            self._keeping.cancel()
            await asyncio.to_thread(self.keeper.stop, STOP_SECONDS)
        if self.reader is not None:
            self.reader.close()

    async def search(self, keyword: str, **kwargs: Any) -> list[SearchResult]:
        """Wait a little for what has just changed, then ask the index in a thread."""
        limit = int(as_number(kwargs.get("limit") or self.config.get("limit"), 100, 1, LIMIT_MAX))
        query = Query.parse(str(keyword))
        await self._catch_up()
        try:
            results = await asyncio.to_thread(self._search, query, limit)
        except sqlite3.Error as error:
            self.log.warning("the index does not answer: %s", error)
            if is_damage(error):
                await asyncio.to_thread(self._throw_away_index)
            await self._catch_up()
            try:
                results = await asyncio.to_thread(self._search, query, limit)
            except sqlite3.Error as again:
                raise RuntimeError(
                    f"the index in {self.data_dir / 'index'} cannot be read ({again}); it is made anew as soon as"
                    " it can be: see that the disk is not full and the folder is writable, and search again"
                ) from again
        if not results:
            await asyncio.to_thread(self._complain_of_folders)
        return results

    async def get_video_info(self, url: str) -> SearchResult:
        """What is known of one of the files that `search` gave."""
        return await asyncio.to_thread(self._info, url)

    async def _keep(self, keeper: Keeper) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            keeper.stop()

    async def _catch_up(self) -> None:
        if self.keeper is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(UP_TO_DATE_SECONDS):
                    await asyncio.wrap_future(self.keeper.ask())

    def _search(self, query: Query, limit: int) -> list[SearchResult]:
        if self.tree is None or self.reader is None:
            raise RuntimeError("the library has not been started")
        roots = {root.path for root in self.tree.roots}
        results: list[SearchResult] = []
        snippets_until = time.monotonic() + SNIPPETS_SECONDS
        with self.reader.hits(query, limit) as hits:
            for hit in hits:
                if hit.root not in roots or (hit.hidden and not self.tree.hidden):
                    continue  # left over from another configuration
                try:
                    status = os.stat(hit.path)
                except OSError:  # gone since the last look
                    continue
                result = self._result(hit.path, status)
                if hit.in_text and time.monotonic() < snippets_until:
                    found = snippet(hit.path, self._text_max_bytes, query.required)
                    if found:
                        result.metadata["snippet"] = found
                        result.description = f"{result.description} · {found}"
                results.append(result)
                if len(results) >= limit:
                    break
        return results

    def _info(self, url: str) -> SearchResult:
        if self.tree is None:
            raise RuntimeError("the library has not been started")
        parts = urlsplit(url)
        path = os.path.abspath(unquote_to_bytes(parts.path))
        if parts.scheme == "file" and parts.netloc in ("", "localhost") and b"\0" not in path:
            with contextlib.suppress(OSError):
                if self.tree.owns(path) and stat.S_ISREG((status := os.stat(path)).st_mode):
                    return self._result(path, status)
        folders = ", ".join(os.fsdecode(root.path) for root in self.tree.roots)
        raise ValueError(f"{url} is not a file below {folders}")

    def _result(self, path: bytes, status: os.stat_result) -> SearchResult:
        modified = time.strftime("%Y-%m-%d %H:%M", time.localtime(status.st_mtime))
        return SearchResult(
            title=readable(os.path.basename(path)),
            url=Path(os.fsdecode(path)).as_uri(),
            platform=self.name,
            description=f"{readable_size(status.st_size)} · {modified}",
            metadata={"path": readable(path), "size": status.st_size, "modified": int(status.st_mtime)},
        )

    def _complain_of_folders(self) -> None:
        """Finding nothing is no answer where none of the configured folders is there.

        Raises:
            FileNotFoundError
        """
        folders = self.folders
        if folders and not any(folder.is_dir() for folder in folders):
            named = ", ".join(map(str, folders))
            raise FileNotFoundError(
                f"nothing found, and {named} is no folder; set another in the configuration"
            )

    def _throw_away_index(self) -> None:
        """Remove a damaged index; the keeper notices and makes it anew."""
        place = Place(self.data_dir / "index")
        with place.locked():
            place.throw_away()

    @property
    def _text_max_bytes(self) -> int:
        return int(as_number(self.config.get("text_kib"), 1024, 0, 64 * 1024)) * 1024
