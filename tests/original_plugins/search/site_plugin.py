# ruff: noqa: UP006, UP035, UP045  # typed as it was done when such plugins were written
"""按关键词在网站上搜索视频"""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import httpx
from base_plugin import ConfigField, SearchPlugin, SearchResult
from database import get_database
from logger import get_logger

logger = get_logger(__name__)


class SitePlugin(SearchPlugin):
    def __init__(self):
        super().__init__()
        self.config: Dict[str, Any] = {}
        self.client: Optional[httpx.AsyncClient] = None

    @property
    def name(self) -> str:
        return "site"

    @property
    def version(self) -> str:
        return "1.2.0"

    @property
    def description(self) -> str:
        return "网站搜索"

    def get_config_schema(self) -> List[ConfigField]:
        return [
            ConfigField(
                name="base_url",
                label="站点地址",
                type="text",
                required=True,
                placeholder="http://example.com",
            ),
            ConfigField(name="timeout", label="超时（秒）", type="number", default=10, min=1, max=60),
        ]

    def set_config(self, config: Dict[str, Any]) -> None:
        self.config = config
        self.client = httpx.AsyncClient(timeout=self._get_config_float("timeout", 5.0))

    async def search(
        self, keyword: str, task_id: Optional[str] = None, **kwargs: Any
    ) -> Optional[List[SearchResult]]:
        db = get_database()
        if task_id:
            await db.update_task(task_id, {"progress": 10, "progress_message": "正在请求"})
        logger.info("搜索 %s", keyword)
        base_url = self.config.get("base_url", "")
        try:
            response = await self.client.get(f"{base_url}/find", params={"q": keyword})
            response.raise_for_status()
        except httpx.HTTPError as error:
            logger.error(f"请求失败: {error}")
            raise
        results = [
            SearchResult(
                title=item["title"],
                url=item["link"],
                thumbnail=item.get("pic"),
                duration=item.get("seconds"),
                platform=self.name,
                description=None,
                metadata={"id": item["id"]},
                score=item["id"],
            )
            for item in response.json()["items"]
        ]
        if task_id:
            await db.update_task(task_id, {"progress": 100})
        return results
