"""A server is asked what its API document allows, and some of what it does not: it must answer as described."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from tests.integration.live import live_server, search_plugin, write
from tests.integration.server_process import ROOT
from tests.rounds import SOAK, sized

if SOAK:
    pytestmark = pytest.mark.soak
# Each method at each address but those two that go on for ever.
OPERATIONS = 50


@pytest.mark.timeout(sized(300, 3600))
async def test_the_server_does_as_its_document_says(tmp_path: Path) -> None:
    write(tmp_path / "plugins/search/demo_plugin.py", search_plugin())
    async with live_server(
        tmp_path,
        # Whatever address is made up, none is asked.
        PLUGBAY_INSTALL__ALLOWED_HOSTS="plugins.invalid",
        PLUGBAY_LIMITS__INSTALLS_PER_MINUTE="100000",
    ) as live:
        cases = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "schemathesis.pytest.plugin",
                "-p",
                "no:cacheprovider",
            ),
            *("--timeout", str(sized(60, 3600)), "tests/integration/openapi_cases.py"),
            cwd=ROOT,
            env={**os.environ, "OPENAPI_CASES_URL": live.server.url},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told, _ = await cases.communicate()
        assert cases.returncode == 0, told.decode()
        passed = re.search(r"(\d+) passed", told.decode())
        assert passed is not None and int(passed[1]) >= OPERATIONS, told.decode()
        assert await live.server.stop() == 0
