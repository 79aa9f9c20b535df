"""What a worker says of a download: how far it is, and how it ended. See `service.worker.downloads`."""

from __future__ import annotations

from typing import Any

import msgspec

from service.errors import CallFailed
from service.model.text import Text


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How far a download says that it is."""

    progress: float | None = None
    downloaded: int | None = None
    total: int | None = None
    speed: float | None = None
    eta: float | None = None
    message: str | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker says when a download has ended, see `service.worker.downloads`."""

    done: bool
    status: str
    title: str
    save_path: str | None
    external_id: str | None
    error: str | None
    metadata: Any


class DownloadFailed(CallFailed):
    """The plugin says that the download failed, without having raised."""

    code = "download_failed"

    def __init__(self, id: str, reason: str | None) -> None:
        super().__init__(
            Text(
                zh=f"插件 {id} 没有完成下载：{reason or '未说明原因，请查看插件日志'}",
                en=f"Plugin {id} did not complete the download: {reason or 'it gave no reason; see its log'}",
            )
        )


def facts_of_report(body: bytes) -> dict[str, Any]:
    """What a report changes of a task; nothing where it is none, as it is not from a worker of ours then."""
    try:
        report = msgspec.json.decode(body, type=Report)
    except msgspec.MsgspecError:
        return {}
    facts: dict[str, Any] = {
        name: value
        for name in ("downloaded", "total", "speed", "eta")
        if (value := getattr(report, name)) is not None
    }
    if report.progress is not None:
        facts["progress"] = min(100.0, max(0.0, report.progress))
    if report.message is not None:
        facts["progress_message"] = report.message
    return facts
