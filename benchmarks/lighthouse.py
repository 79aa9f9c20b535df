"""Lighthouse on the built page, at a version that is fixed: run by npm, which fetches it the first time."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from pathlib import Path

from benchmarks import browser

VERSION = "12.8.2"
CATEGORIES = ("performance", "accessibility", "best-practices")
_TIMEOUT_S = 300.0
_FLAGS = "--headless=new --no-sandbox --disable-background-networking --disable-component-update"


async def scores(url: str) -> dict[str, float] | None:
    """What the page gets in each category, 0 to 100.

    Returns:
        None where npm is not there, or cannot fetch Lighthouse.
    """
    npm = shutil.which("npm")
    if npm is None or browser.CHROMIUM is None:
        return None
    with tempfile.TemporaryDirectory(prefix="plugbay-bench-") as folder:
        report = Path(folder) / "report.json"
        process = await asyncio.create_subprocess_exec(
            *(npm, "exec", "--yes", f"lighthouse@{VERSION}", "--", url),
            *("--quiet", "--output=json", f"--output-path={report}", f"--chrome-flags={_FLAGS}"),
            f"--only-categories={','.join(CATEGORIES)}",
            cwd=folder,
            env={**os.environ, "CHROME_PATH": browser.CHROMIUM},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        if not report.is_file():
            return None
        found = json.loads(report.read_bytes())["categories"]
    return {name: round(100 * (found[name]["score"] or 0)) for name in CATEGORIES}
