# /// script
# requires-python = ">=3.11"
# dependencies = []          # such as "httpx>=0.27"; each plugin gets its own
# ///
"""A download plugin to begin with: copy it to `NAME_plugin.py` beside this file, and it is loaded at once.

Files named `plugin_template*` are not loaded.
"""

from __future__ import annotations

import asyncio

from service.sdk import DownloadPlugin, DownloadTask


class TemplatePlugin(DownloadPlugin):
    """One class of this kind in the file; its `name` is what requests call it by."""

    name = "template"
    version = "0.1.0"
    description = "一句话说明 · What it downloads, in one line"
    supported_protocols = ["example"]

    async def download(self, task: DownloadTask) -> bool:
        """True completes the task, False or an exception fails it. Progress is 0 to 100."""
        for percent in range(0, 101, 10):
            if task.cancelled:
                return False
            await asyncio.sleep(0.1)
            await task.report(progress=percent)
        return True
