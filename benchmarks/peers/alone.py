"""One plugin in a Python process of its own, started from nothing: the plain way to keep plugins apart.

    python -m benchmarks.peers.alone PLUGIN_FILE

It says `{"pid": …}` when the plugin is there, and ends with its stdin. It serves nothing; what it would need for
that comes on top.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from benchmarks.peers.importing import imported
from service.sdk import SearchPlugin


async def _serve(path: str) -> None:
    plugin = imported(path, SearchPlugin)
    json.dumps(await plugin.search("x"), default=vars)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    print(json.dumps({"pid": os.getpid()}), flush=True)
    await reader.read()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
