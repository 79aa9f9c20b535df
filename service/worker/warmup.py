"""What a spare worker does while it waits: everything that a load does, with a plugin of no use.

After a fork every page that is written to is copied first. A load writes to some thousand of them; here they are
copied while nobody waits for it. Measured: 2 to 3 ms of a load of 5.
"""

from __future__ import annotations

import asyncio
import json
import sys
from types import ModuleType

from service.wire.frames import FrameDecoder, encode
from service.worker import contract
from service.worker.modules import SnapshotImporter, SourceModule

_MODULE = "plugins.search.warm_up_plugin"
_SOURCE = b'''
"""A module like most."""

import json
import re
from typing import Any
from urllib.parse import quote

from service.sdk import ConfigField, SearchPlugin, SearchResult

PATTERN = re.compile("warm (up)")


class WarmUp(SearchPlugin):
    name = "warm_up"
    version = "1"
    description = "is never listed"

    def get_config_schema(self) -> list[ConfigField]:
        return [ConfigField(name="url", label="URL", default="http://127.0.0.1")]

    async def search(self, keyword: str, **kwargs: Any) -> list[SearchResult]:
        results = []
        for page in range(3):
            try:
                results.append(SearchResult(title=f"{keyword} {page}", url=quote(keyword)))
            except (KeyError, ValueError) as error:
                self.log.info("%s", error)
        return json.loads(json.dumps([one.model_dump() for one in results]))
'''


def warm_up(loop: asyncio.AbstractEventLoop) -> None:
    """Go through a load and a call, and leave nothing behind."""
    importer = SnapshotImporter({_MODULE: SourceModule("/warm_up_plugin.py", False, _SOURCE * 4)}, "/")
    module = ModuleType(_MODULE)
    sys.modules[_MODULE] = module
    try:
        exec(importer.get_code(_MODULE), module.__dict__)
        cls = contract.find_class(module, "search")
        methods = contract.check_methods(cls, "search")
        plugin = cls()
        manifest = contract.describe(plugin, "search", methods)
        fields, json_schema = contract.schema_of(plugin)
        plugin.config, _ = contract.effective_config(fields, json_schema, {})
        results = loop.run_until_complete(plugin.search("warm up"))  # type: ignore[attr-defined]  # it has one
        FrameDecoder(1 << 20).feed(encode(json.dumps(manifest).encode(), json.dumps(results).encode()))
    finally:
        del sys.modules[_MODULE]
