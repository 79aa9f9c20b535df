from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.unit.tasks.world import World, world


@pytest.fixture(name="world")
async def world_fixture(tmp_path: Path) -> AsyncIterator[World]:
    """Tasks on a disk of their own."""
    async with world(tmp_path) as found:
        yield found


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    """Log to nowhere: without the server's settings a traceback would be printed on the event loop."""
    with capture_logs():
        yield
