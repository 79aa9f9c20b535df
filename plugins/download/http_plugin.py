# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
"""Downloads `http` and `https` addresses into a folder."""

from __future__ import annotations

import asyncio
import re
import time
import urllib.request
from email.message import Message
from http.client import HTTPResponse
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from service.sdk import ConfigField, DownloadPlugin, DownloadTask

CHUNK_BYTES = 256 * 1024
REPORT_INTERVAL_S = 0.25
NAME_MAX_BYTES = 200


class HttpPlugin(DownloadPlugin):
    """Writes to `NAME.part` and renames it when all has arrived, so that a file under its own name is whole."""

    name = "http"
    version = "1.0.0"
    description = "下载 HTTP/HTTPS 文件 · Downloads over HTTP and HTTPS"
    supported_protocols = ["http", "https"]

    def __init__(self) -> None:
        self.tasks: dict[str, DownloadTask] = {}
        self.stopping: set[str] = set()

    def get_config_schema(self) -> list[ConfigField]:
        return [
            ConfigField(
                name="folder",
                label="下载文件夹 · Folder",
                description="留空则为插件自己的文件夹 · Empty: a folder of the plugin's own",
            ),
            ConfigField(
                name="timeout_s",
                label="无数据超时（秒）· Seconds without data",
                type="number",
                default=30,
            ),
            ConfigField(
                name="limit_mib",
                label="文件大小上限（MiB，0 不限）· Largest file in MiB, 0 for any",
                type="number",
                default=0,
            ),
        ]

    @property
    def folder(self) -> Path:
        """The configured folder, else one of the plugin's own."""
        chosen = str(self.config.get("folder") or "")
        return Path(chosen).expanduser() if chosen else self.data_dir / "downloads"

    async def download(self, task: DownloadTask) -> bool:
        if urlsplit(task.url).scheme.lower() not in self.supported_protocols:
            raise ValueError(f"{task.url} is neither http nor https")
        self.tasks[task.id] = task
        task.status = "downloading"
        response: HTTPResponse = await asyncio.to_thread(self._open, task.url)
        # Closing happens in a thread too: it may wait for the other side.
        try:
            return await self._save(task, response)
        except BaseException:
            task.status = "failed"
            raise
        finally:
            self.stopping.discard(task.id)
            await asyncio.to_thread(response.close)

    def get_progress(self, id: str) -> dict[str, Any] | None:
        """How far one download is."""
        task = self.tasks.get(id)
        return None if task is None else {"id": id, "status": task.status, "progress": task.progress}

    def cancel(self, id: str) -> bool:
        """Ask a running download to stop; it does before the next piece."""
        task = self.tasks.get(id)
        if task is None or task.status != "downloading":
            return False
        self.stopping.add(id)
        return True

    def get_downloads(self) -> list[dict[str, Any]]:
        """All downloads since this generation began."""
        return [task.model_dump() for task in self.tasks.values()]

    def _open(self, url: str) -> HTTPResponse:
        request = urllib.request.Request(url, headers={"User-Agent": f"Plugbay-{self.name}/{self.version}"})
        response: HTTPResponse = urllib.request.urlopen(
            request, timeout=float(self.config.get("timeout_s") or 30)
        )
        return response

    async def _save(self, task: DownloadTask, response: HTTPResponse) -> bool:
        length = response.headers.get("Content-Length")
        total = int(length) if length and length.isdigit() else None
        limit = int(float(self.config.get("limit_mib") or 0) * 1024 * 1024)
        if limit and (total or 0) > limit:
            raise ValueError(f"the file has {total} bytes, more than the configured limit")
        target, part, file = await asyncio.to_thread(
            claim, self.folder, file_name(response.headers, response.url)
        )
        task.save_path = str(target)
        self.log.info("%s → %s", task.url, target)
        try:
            with file:
                done = await self._copy(task, response, file, total, limit)
            if not done:
                task.status = "cancelled"
                self.log.info("%s cancelled", task.url)
                return False
            await asyncio.to_thread(part.replace, target)
        finally:
            await asyncio.to_thread(part.unlink, missing_ok=True)
        task.status = "completed"
        return True

    async def _copy(
        self, task: DownloadTask, response: HTTPResponse, file: IO[bytes], total: int | None, limit: int
    ) -> bool:
        """Whether all of it was copied; False where the task was cancelled."""
        began = reported = time.monotonic()
        downloaded = 0
        while chunk := await asyncio.to_thread(response.read, CHUNK_BYTES):
            if task.cancelled or task.id in self.stopping:
                return False
            downloaded += len(chunk)
            if limit and downloaded > limit:
                raise ValueError("the file is larger than the configured limit")
            await asyncio.to_thread(file.write, chunk)
            now = time.monotonic()
            if now - reported >= REPORT_INTERVAL_S:
                reported = now
                await self._report(task, downloaded, total, downloaded / (now - began))
        if total is not None and downloaded < total:
            raise ConnectionError(f"the connection ended after {downloaded} of {total} bytes")
        await task.report(progress=100, downloaded=downloaded, total=downloaded)
        return True

    async def _report(self, task: DownloadTask, downloaded: int, total: int | None, speed: float) -> None:
        if total:
            eta = (total - downloaded) / speed if speed else None
            await task.report(
                progress=100 * downloaded / total, downloaded=downloaded, total=total, speed=speed, eta=eta
            )
        else:
            await task.report(downloaded=downloaded, speed=speed)


def file_name(headers: Message, url: str) -> str:
    """A name that is safe in any folder: from `Content-Disposition`, else from the address, else `download`."""
    name = headers.get_filename() or unquote(urlsplit(url).path.rstrip("/"))
    name = re.split(r"[/\\]", name)[-1]
    name = re.sub(r'[\x00-\x1f\x7f<>:"|?*]', "_", name).strip(" .")
    stem, dot, suffix = name.rpartition(".")
    if not dot:
        stem, suffix = name, ""
    suffix = f".{suffix[:16]}" if dot else ""
    kept = stem.encode()[: NAME_MAX_BYTES - len(suffix.encode())].decode(errors="ignore")
    return (kept + suffix) if kept else "download"


def claim(folder: Path, name: str) -> tuple[Path, Path, IO[bytes]]:
    """Opens `NAME.part` for writing, `NAME (2).part` where the name is taken, and gives both paths with it."""
    folder.mkdir(parents=True, exist_ok=True)
    base = Path(name)
    number = 1
    while True:
        target = folder / (name if number == 1 else f"{base.stem} ({number}){base.suffix}")
        part = target.with_name(f"{target.name}.part")
        if not target.exists():
            try:
                return target, part, part.open("xb")
            except FileExistsError:  # another download of the same name is under way
                pass
        number += 1
