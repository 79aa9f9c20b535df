# /// script
# requires-python = ">=3.11"
# dependencies = []          # 要用的库，例如 "httpx>=0.27"；每个插件各装各的版本，互不影响
# ///
"""暂时不搜索任何真实网站：按配置编造结果，先看到效果，再从这里改起。"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from service.sdk import ConfigField, SearchPlugin, SearchResult


class ScaffoldPlugin(SearchPlugin):
    """每个文件定义一个这样的类；Plugbay 根据它的基类找到它。"""

    name = "scaffold"  # 请求和配置中使用的名称，不必与文件名相同
    version = "0.1.0"
    description = "编造的示例结果 · Made-up results to begin with"

    def get_config_schema(self) -> list[ConfigField]:
        """页面上的配置表单。填写的值在 `self.config` 中，没有填写的取这里的默认值。"""
        return [
            ConfigField(name="site", label="网站 · Site", default="https://example.org", required=True),
            ConfigField(name="limit", label="结果数 · Results", type="number", default=3),
        ]

    async def start(self) -> None:
        """在第一次调用之前运行：需要打开的资源在这里打开，不要在导入时打开。与之对应的是 `stop()`。"""
        self.log.info("将在 %s 搜索", self.config["site"])

    async def self_check(self) -> None:
        """确定无法工作时，在这里抛出异常；之前的版本会继续提供服务。"""
        if not str(self.config["site"]).startswith(("http://", "https://")):
            raise ValueError("site 必须以 http:// 或 https:// 开头")

    async def search(self, keyword: str, **kwargs: Any) -> AsyncIterator[SearchResult]:
        """逐条 yield 结果，每条都会立即显示；返回一个列表也可以。

        在 `async` 方法中，凡是等待都要 await：不要用 `time.sleep` 或 `requests`。只能同步调用的库，请写成普通的
        `def search`，它会在线程中运行。
        """
        self.log.info("正在搜索 %s", keyword)
        for number in range(1, int(self.config["limit"]) + 1):
            yield SearchResult(
                title=f"{keyword} {number}",
                url=f"{self.config['site']}/{quote(keyword)}/{number}",
                platform=self.name,
                metadata={"number": number},  # 其他任何信息，只要能表示为 JSON
            )

    async def get_video_info(self, url: str) -> SearchResult:
        """可选：说明一个地址背后是什么。"""
        return SearchResult(title=url.rpartition("/")[2], url=url, platform=self.name)
