# /// script
# requires-python = ">=3.11"
# dependencies = []          # 要用的库，例如 "httpx>=0.27"；每个插件各装各的版本，互不影响
# ///
"""解析一个网站的地址，不访问网络：按配置为每种清晰度编造一条结果。"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from service.sdk import ConfigField, ParserPlugin


class ScaffoldPlugin(ParserPlugin):
    """每个文件定义一个这样的类；Plugbay 根据它的基类找到它。"""

    name = "scaffold"  # 请求和配置中使用的名称，不必与文件名相同
    version = "0.1.0"
    description = "为地址列出清晰度 · Lists qualities of an address"

    def get_config_schema(self) -> list[ConfigField]:
        """页面上的配置表单。填写的值在 `self.config` 中，没有填写的取这里的默认值。"""
        return [
            ConfigField(name="host", label="主机 · Host", default="example.org", required=True),
            ConfigField(
                name="best",
                label="最高清晰度 · Best quality",
                type="select",
                options=["480p", "720p", "1080p"],
                default="1080p",
            ),
        ]

    def can_parse(self, url: str) -> bool:
        """这个地址是否由本插件解析：每个地址都会来问，所以不要在这里访问网络。"""
        return urlsplit(url).hostname == str(self.config["host"])

    def parse_url(self, url: str) -> list[dict[str, Any]]:
        """每条结果有 `name` 和 `url`，还可以有其他任何能表示为 JSON 的信息。

        像这样的普通方法在线程中运行，可以等待。如果写成 `async def`，凡是等待都要 await。
        """
        self.log.info("正在解析 %s", url)
        qualities = ["480p", "720p", "1080p"]
        kept = qualities[: qualities.index(self.config["best"]) + 1]
        return [{"name": one, "url": f"{url}?quality={one}", "quality": one} for one in reversed(kept)]
