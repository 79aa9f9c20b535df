# ruff: noqa: UP006, UP035  # typed as it was done when such plugins were written
"""Every kind of configuration field, and every helper that reads one."""

from typing import Any, List

from models import ConfigField, SearchResult

from plugins.base_plugin import SearchPlugin


class FormPlugin(SearchPlugin):
    def __init__(self):
        super().__init__()
        self.config = {}

    @property
    def name(self):
        return "form"

    @property
    def version(self):
        return "0.1"

    @property
    def description(self):
        return "a form"

    def get_config_schema(self) -> List[ConfigField]:
        return [
            ConfigField(name="host", label="主机", type="text", default="localhost", placeholder="localhost"),
            ConfigField(name="secret", label="密码", type="password", required=False, help="never shown"),
            ConfigField(name="port", label="端口", type="number", default=8080, min=1, max=65535, step=1),
            ConfigField(name="ratio", label="比例", type="number", default=1.5),
            ConfigField(name="verify", label="验证", type="boolean", default=True),
            ConfigField(
                name="quality", label="清晰度", type="select", default="1080p", options=["720p", "1080p"]
            ),
            ConfigField(
                name="sites",
                label="站点",
                type="list",
                default=[],
                description="several",
                fields=[
                    ConfigField(name="title", label="名称", type="text", required=True),
                    ConfigField(name="url", label="地址", type="text", default="http://none"),
                ],
                group="advanced",
            ),
        ]

    async def search(self, keyword: str, **kwargs: Any) -> List[SearchResult]:
        seen = {
            "config": self.config,
            "host": self._get_config_str("host", "?"),
            "port": self._get_config_int("port", 1),
            "ratio": self._get_config_float("ratio", 0.0),
            "verify": self._get_config_bool("verify", False),
            "missing": self._get_config_int("missing", 7),
        }
        return [SearchResult(title="config", url="u", metadata=seen)]
