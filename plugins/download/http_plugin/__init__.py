# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.plugbay]
# write = ["{folder}"]
# ///
"""Downloads `http` and `https` addresses into a folder, over several connections, and goes on after interruptions."""

from __future__ import annotations

import asyncio
import functools
import re
import ssl
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from plugins.download.http_plugin.address import plain_url
from plugins.download.http_plugin.job import Job
from plugins.download.http_plugin.part import remove
from plugins.download.http_plugin.state import Options
from plugins.download.http_plugin.transfer import MORE_CONNECTIONS
from plugins.download.http_plugin.version import parsed_checksum
from plugins.shared.lenient_values import not_negative
from service.sdk import ConfigField, DownloadPlugin, DownloadTask

REMEMBERED = 100
MAX_CONNECTIONS = 16
# These the plugin sets itself; others would break ranges or the connection.
_OWN_HEADERS = {
    "accept-encoding", "connection", "content-length", "host", "if-range", "range", "te", "transfer-encoding",
}  # fmt: skip


class HttpPlugin(DownloadPlugin):
    """Writes to `NAME.part` and renames it when all has arrived and is right.

    `metadata` of a task may have `checksum` (`sha256:…`, `sha1:…`, `md5:…`) and `headers` (an object).
    """

    name = "http"
    version = "2.0.0"
    description = (
        "下载 HTTP/HTTPS 文件：多连接、断点续传 · Downloads over HTTP and HTTPS, in parallel and resumable"
    )
    supported_protocols = ["http", "https"]
    resumable = True

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self._more = threading.Semaphore(MORE_CONNECTIONS)

    def get_config_schema(self) -> list[ConfigField]:
        return [
            ConfigField(
                name="folder",
                label="下载文件夹 · Folder",
                description="留空则为 Plugbay 的下载文件夹 · Empty: Plugbay's folder for downloads",
            ),
            ConfigField(
                name="connections",
                label="每个文件的连接数 · Connections for one file",
                type="number",
                default=4,
                description="1 到 16；服务器支持分段时才用多个 · 1 to 16; several only where the server serves ranges",
            ),
            ConfigField(
                name="timeout_s",
                label="无数据超时（秒）· Seconds without data",
                type="number",
                default=30,
            ),
            ConfigField(
                name="retries",
                label="连续失败重试次数 · Tries in a row without progress",
                type="number",
                default=5,
            ),
            ConfigField(
                name="limit_mib",
                label="文件大小上限（MiB，0 不限）· Largest file in MiB, 0 for any",
                type="number",
                default=0,
            ),
            ConfigField(
                name="user_agent",
                label="User-Agent",
                description="留空则为插件名 · Empty: the plugin's name",
            ),
            ConfigField(
                name="headers",
                label="请求头 · Request headers",
                type="list",
                default=[],
                description="Authorization、Cookie 不会发给重定向到的其他主机 · Authorization and Cookie stay with the "
                "host of the address, also behind redirects",
                fields=[
                    ConfigField(name="name", label="名称 · Name"),
                    ConfigField(name="value", label="值 · Value", type="password"),
                ],
            ),
        ]

    @property
    def folder(self) -> Path:
        """The configured folder, else the one for all downloads."""
        chosen = str(self.config.get("folder") or "").strip()
        return Path(chosen).expanduser().absolute() if chosen else self.downloads_dir

    async def download(self, task: DownloadTask) -> bool:
        """Download it; raises ValueError or OSError with the cause and the remedy."""
        plain_url(task.url)
        checksum = str(task.metadata.get("checksum") or "").strip()
        if checksum:
            parsed_checksum(checksum)
        job = Job(
            task, self._options(task), [checksum] if checksum else [], self._more, lambda: self._tls, self.log
        )
        self.jobs.pop(task.id, None)
        self.jobs[task.id] = job
        try:
            return await job.run()
        finally:
            self._forget()

    async def discard(self, task: DownloadTask) -> None:
        """Remove the part file that a checkpoint names."""
        if state := task.resume:
            await asyncio.to_thread(remove, Path(str(state.get("part"))), state.get("inode"))

    def get_progress(self, id: str) -> dict[str, Any] | None:
        """How far one download is."""
        job = self.jobs.get(id)
        return None if job is None else job.described()

    def cancel(self, id: str) -> bool:
        """Stop a running download at once and remove its part file; false where it does not run."""
        job = self.jobs.get(id)
        if job is None or job.task.status != "downloading":
            return False
        job.abandon()
        return True

    def get_downloads(self) -> list[dict[str, Any]]:
        """The downloads of this generation: the running ones and the last hundred others."""
        return [job.described() for job in list(self.jobs.values())]

    @functools.cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    def _options(self, task: DownloadTask) -> Options:
        headers = {
            "User-Agent": str(self.config.get("user_agent") or "") or f"Plugbay-{self.name}/{self.version}"
        }
        for name, value in [*_pairs(self.config.get("headers")), *_pairs(task.metadata.get("headers"))]:
            same = next((one for one in headers if one.lower() == name.lower()), name)
            headers[same] = value
        return Options(
            folder=self.folder,
            timeout_s=max(0.1, not_negative(self.config.get("timeout_s"), 30)),
            limit_bytes=int(not_negative(self.config.get("limit_mib"), 0) * 1024 * 1024),
            connections=int(min(MAX_CONNECTIONS, max(1, not_negative(self.config.get("connections"), 4)))),
            retries=int(not_negative(self.config.get("retries"), 5)),
            headers=headers,
        )

    def _forget(self) -> None:
        ended = [id for id, job in self.jobs.items() if job.task.status != "downloading"]
        for id in ended[: max(0, len(ended) - REMEMBERED)]:
            del self.jobs[id]


def _pairs(given: Any) -> Iterable[tuple[str, str]]:
    """Headers from whatever form they were given in: an object, a list of `name` and `value`, or lines of text."""
    if isinstance(given, Mapping):
        given = [{"name": name, "value": value} for name, value in given.items()]
    if isinstance(given, str):
        given = given.splitlines()
    for one in given if isinstance(given, list) else []:
        if isinstance(one, str):
            name, _, value = one.partition(":")
        elif isinstance(one, Mapping):
            name, value = str(one.get("name") or ""), str(one.get("value") or "")
        else:
            continue
        name, value = name.strip(), value.strip()
        if not name or not value or name.lower() in _OWN_HEADERS:
            continue
        if not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name, re.ASCII) or re.search(r"[\r\n\x00]", value):
            raise ValueError(
                f"{name!r} is no header; a name has letters, digits and dashes, a value is one line"
            )
        # http.client writes Latin-1; what is beyond goes as UTF-8.
        yield name, value.encode().decode("latin-1")
