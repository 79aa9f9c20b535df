# /// script
# requires-python = ">=3.11"
# dependencies = []          # 要用的库，例如 "httpx>=0.27"；每个插件各装各的版本，互不影响
# ///
"""下载 `data:` 地址。这种地址本身就带着内容，所以没有网络也能运行，正好用来看清下载插件的写法。"""

from __future__ import annotations

import asyncio
import urllib.request
from pathlib import Path

from service.sdk import ConfigField, DownloadPlugin, DownloadTask


class ScaffoldPlugin(DownloadPlugin):
    """每个文件定义一个这样的类；Plugbay 根据它的基类找到它。"""

    name = "scaffold"  # 请求和配置中使用的名称，不必与文件名相同
    version = "0.1.0"
    description = "下载 data: 地址 · Downloads data: addresses"
    supported_protocols = ["data"]  # 能下载哪些协议的地址，例如 "https" 或 "magnet"
    resumable = True  # 暂停后从最后一个检查点继续

    def get_config_schema(self) -> list[ConfigField]:
        """页面上的配置表单。填写的值在 `self.config` 中，没有填写的取这里的默认值。"""
        return [
            ConfigField(
                name="chunk", label="每次写入的字节数 · Bytes written at a time", type="number", default=1024
            ),
        ]

    async def download(self, task: DownloadTask) -> bool:
        """返回 True 表示任务完成；返回 False 或抛出异常表示失败。取消或暂停时，这个方法会被中断。

        在 `async` 方法中，凡是等待都要 await；耗时的普通函数像下面这样放到线程中运行。
        """
        content = await asyncio.to_thread(_read, task.url)
        target = self._target(task)
        done = 0
        if task.resume is not None:  # 最后一个检查点：任务曾被暂停，或因崩溃、重启而中断
            done = int(task.resume["done"])
            self.log.info("%s 从第 %d 字节继续", target.name, done)
        step = max(1, int(self.config["chunk"]))
        while done < len(content):
            part = content[done : done + step]
            await asyncio.to_thread(_write, target, done, part)
            done += len(part)
            # 先写入，再记录：无论之后发生什么，检查点所说的内容都已经在磁盘上。
            await task.checkpoint({"done": done})
            # 页面会立即显示；百分比、速度和剩余时间由此得出。
            await task.report(downloaded=done, total=len(content))
        if not content:
            await asyncio.to_thread(_write, target, 0, b"")
        task.save_path = str(target)
        self.log.info("%s 共 %d 字节", target.name, len(content))
        return True

    def discard(self, task: DownloadTask) -> None:
        """暂停或失败的下载被取消时，在这里删除已经写下的内容。"""
        self._target(task).unlink(missing_ok=True)

    def _target(self, task: DownloadTask) -> Path:
        return self.downloads_dir / f"{task.id}.bin"


def _read(url: str) -> bytes:
    if not url.startswith("data:"):
        raise ValueError("只能下载 data: 地址")
    with urllib.request.urlopen(url) as response:
        content: bytes = response.read()
    return content


def _write(target: Path, offset: int, part: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("r+b" if offset else "wb") as file:
        file.seek(offset)
        file.write(part)
