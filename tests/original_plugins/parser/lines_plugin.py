# ruff: noqa: UP006, UP035  # typed as it was done when such plugins were written
"""Several lines for one address."""

from typing import Any, Dict, List

from base_plugin import ParserPlugin


class LinesPlugin(ParserPlugin):
    @property
    def name(self) -> str:
        return "lines"

    @property
    def version(self) -> str:
        return "1.0.0"

    @property
    def description(self) -> str:
        return "解析线路"

    def can_parse(self, url: str) -> bool:
        return url.startswith("lines://")

    def parse_url(self, url: str) -> List[Dict[str, Any]]:
        return [{"name": f"线路 {number}", "url": f"{url}?line={number}"} for number in (1, 2)]
