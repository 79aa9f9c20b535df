# /// script
# requires-python = ">=3.11"
# dependencies = ["aiohttp>=3.14", "yarl>=1.20", "cryptography>=45", "m3u8>=6.0"]
#
# [tool.plugbay]
# write = ["{folder}"]
# ///
"""Downloads HLS streams (`.m3u8`): the segments of one quality, joined in order."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from plugins.download.hls_plugin.fetch import Fetcher
from plugins.download.hls_plugin.job import Job, saved_states
from plugins.download.hls_plugin.options import Options
from plugins.download.hls_plugin.spool import in_thread
from plugins.download.hls_plugin.state import remove
from service.sdk import ConfigField, DownloadPlugin, DownloadTask


class HlsPlugin(DownloadPlugin):
    """The file is byte for byte what the playlist says, or the task fails and names the segment.

    Separate audio tracks become files of their own beside it, `NAME.audio.ts`. A live stream is followed to its end.
    """

    name = "hls"
    version = "1.0.0"
    description = "下载 HLS（m3u8）视频流 · Downloads HLS (m3u8) streams"
    supported_protocols = ["m3u8"]
    resumable = True

    def get_config_schema(self) -> list[ConfigField]:
        return [
            ConfigField(
                name="folder",
                label="下载文件夹 · Folder",
                description="留空则为服务器的下载文件夹 · Empty: where the server's downloads go",
            ),
            ConfigField(
                name="max_height",
                label="最高分辨率（行，0 不限）· Highest resolution in lines, 0 for any",
                type="number",
                default=0,
                description="例如 720；默认选择最佳画质 · Such as 720; the best quality unless set",
            ),
            ConfigField(
                name="max_bandwidth",
                label="最高码率（bit/s，0 不限）· Highest bandwidth in bit/s, 0 for any",
                type="number",
                default=0,
            ),
            ConfigField(
                name="audio",
                label="独立音轨 · Separate audio tracks",
                type="select",
                default="default",
                options=["default", "all", "none"],
                description="另存为 NAME.audio.* · Saved beside the video as NAME.audio.*",
            ),
            ConfigField(
                name="parallel", label="同时下载的分片数 · Segments at once", type="number", default=8
            ),
            ConfigField(
                name="retries",
                label="每个分片的重试次数 · Retries of each segment",
                type="number",
                default=4,
            ),
            ConfigField(
                name="timeout_s",
                label="无数据超时（秒）· Seconds without data",
                type="number",
                default=20,
            ),
            ConfigField(name="user_agent", label="User-Agent"),
            ConfigField(name="referer", label="Referer"),
            ConfigField(
                name="live_minutes",
                label="直播录制时长（分钟，0 到结束）· Minutes of a live stream to record, 0 for all",
                type="number",
                default=0,
            ),
            ConfigField(
                name="live_idle_minutes",
                label="直播无新内容即结束（分钟，0 不限）· Minutes without news that end a live stream, 0 for never",
                type="number",
                default=10,
            ),
        ]

    async def download(self, task: DownloadTask) -> bool:
        if urlsplit(task.url).scheme.lower() not in ("http", "https"):
            raise ValueError(f"{task.url} is neither http nor https")
        options = Options.of(self.config, task.metadata, f"Plugbay-{self.name}/{self.version}")
        async with Fetcher(
            options.headers,
            task.url,
            parallel=options.parallel,
            timeout_s=options.timeout_s,
            retries=options.retries,
        ) as fetcher:
            job = Job(task, options, fetcher, self._folder(), self.log)
            try:
                await job.run()
            except BaseException:
                await job.leave(everything=task.cancelled and not task.paused)
                raise
        return True

    async def discard(self, task: DownloadTask) -> None:
        for state in saved_states(task.resume).values():
            await in_thread(remove, state)

    def _folder(self) -> Path:
        chosen = str(self.config.get("folder") or "").strip()
        return Path(chosen).expanduser().absolute() if chosen else self.downloads_dir
