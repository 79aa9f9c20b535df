# /// script
# requires-python = ">=3.11"
# dependencies = []          # libraries, such as "httpx>=0.27"; every plugin gets its own versions
# ///
"""Downloads `data:` addresses, which hold their content themselves: it works with no network, and shows how it goes."""

from __future__ import annotations

import asyncio
import urllib.request
from pathlib import Path

from service.sdk import ConfigField, DownloadPlugin, DownloadTask


class ScaffoldPlugin(DownloadPlugin):
    """The file holds one class like this; Plugbay finds it by its base class."""

    name = "scaffold"  # what requests and settings call it by; it need not be the file's name
    version = "0.1.0"
    description = "下载 data: 地址 · Downloads data: addresses"
    supported_protocols = ["data"]  # the schemes of the addresses that it takes, such as "https" or "magnet"
    resumable = True  # a paused download goes on from its last checkpoint

    def get_config_schema(self) -> list[ConfigField]:
        """The form on the page. What is entered there is in `self.config`, over these defaults."""
        return [
            ConfigField(
                name="chunk", label="每次写入的字节数 · Bytes written at a time", type="number", default=1024
            ),
        ]

    async def download(self, task: DownloadTask) -> bool:
        """True completes the task; False or an exception fails it. On cancel or pause this method is cancelled.

        In an `async` method everything that waits is awaited; slow plain functions go to a thread as below.
        """
        content = await asyncio.to_thread(_read, task.url)
        target = self._target(task)
        done = 0
        if task.resume is not None:  # the last checkpoint: it was paused, or cut off by a crash or a restart
            done = int(task.resume["done"])
            self.log.info("%s goes on after %d bytes", target.name, done)
        step = max(1, int(self.config["chunk"]))
        while done < len(content):
            part = content[done : done + step]
            await asyncio.to_thread(_write, target, done, part)
            done += len(part)
            # Written first, then noted: what a checkpoint says is there, whatever happens next.
            await task.checkpoint({"done": done})
            # The page shows it at once; percent, speed and time left follow from it.
            await task.report(downloaded=done, total=len(content))
        if not content:
            await asyncio.to_thread(_write, target, 0, b"")
        task.save_path = str(target)
        self.log.info("%s has %d bytes", target.name, len(content))
        return True

    def discard(self, task: DownloadTask) -> None:
        """Throw away what is there of a download that was paused or failed, and is cancelled now."""
        self._target(task).unlink(missing_ok=True)

    def _target(self, task: DownloadTask) -> Path:
        return self.downloads_dir / f"{task.id}.bin"


def _read(url: str) -> bytes:
    if not url.startswith("data:"):
        raise ValueError("only data: addresses are taken")
    with urllib.request.urlopen(url) as response:
        content: bytes = response.read()
    return content


def _write(target: Path, offset: int, part: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("r+b" if offset else "wb") as file:
        file.seek(offset)
        file.write(part)
