"""The plugin of `benchmarks.download`, without a server: lines of JSON on stdin, one for each download."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
from pathlib import Path

from plugins.download.http_plugin import HttpPlugin
from service.sdk import DownloadTask

_THREAD_STACK_BYTES = 1024 * 1024


async def download(url: str, folder: str, connections: int) -> float:
    """Seconds from the task to the finished file."""
    plugin = HttpPlugin()
    plugin.log = logging.getLogger("http")
    plugin.downloads_dir = Path(folder)
    plugin.config = {"connections": connections}
    began = time.perf_counter()
    await plugin.download(DownloadTask(id="benchmark", url=url))
    return time.perf_counter() - began


def main() -> None:
    """Until stdin ends."""
    threading.stack_size(_THREAD_STACK_BYTES)  # as in a worker
    for line in sys.stdin:
        order = json.loads(line)
        seconds = asyncio.run(download(order["url"], order["folder"], order["connections"]))
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
