# ruff: noqa: UP006, UP035  # typed as it was done when such plugins were written
"""A plain method with a plain client; results as dictionaries, and as models of its own."""

from typing import Dict, List

import httpx
import models
from base_plugin import SearchPlugin


class Entry(models.SearchResult):
    episodes: List[Dict] = []


class CataloguePlugin(SearchPlugin):
    name = "catalogue"
    version = "3"
    description = "目录"

    def get_config_schema(self):
        return [models.ConfigField(name="base_url", label="地址", type="string", required=True)]

    def search(self, keyword: str, **kwargs):
        with httpx.Client(timeout=self._get_config_int("timeout", 10)) as client:
            items = client.get(self._get_config_str("base_url") + "/find", params={"q": keyword}).json()[
                "items"
            ]
        found = [Entry(title=item["title"], url=item["link"]) for item in items]
        found[0].episodes.append({"name": "1"})
        return [*found, {"title": "a dictionary", "url": "u"}]
