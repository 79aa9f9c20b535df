"""Downloads by itself, and keeps the task up to date in the database."""

import asyncio
from enum import Enum

from base_plugin import DownloadPlugin, DownloadTask
from database import get_database


class State(str, Enum):  # noqa: UP042
    DONE = "completed"


class StepwisePlugin(DownloadPlugin):
    def __init__(self):
        super().__init__()
        self.db = get_database()

    @property
    def name(self) -> str:
        return "stepwise"

    @property
    def version(self) -> str:
        return "1.0.0"

    @property
    def description(self) -> str:
        return "下载并报告进度"

    @property
    def supported_protocols(self) -> list:
        return ["steps"]

    async def download(self, task: DownloadTask) -> bool:
        size = 4000
        for part in range(1, 5):
            await asyncio.sleep(0)
            await self.db.update_task(
                task.id,
                {
                    "progress": part * 25.0,
                    "progress_message": f"第 {part} 段",
                    "downloaded_bytes": part * 1000,
                    "total_bytes": size,
                    "speed": 1000,
                },
            )
        await asyncio.create_task(
            self.db.update_task(task.id, {"status": State.DONE, "save_path": "/tmp/steps"})
        )
        return (await self.db.get_task(task.id))["status"] == "completed"
