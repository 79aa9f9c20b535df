from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestServer

from tests.unit.cli.task_server import TaskServer


@pytest.fixture
async def server() -> AsyncIterator[TaskServer]:
    fake = TaskServer()
    async with TestServer(fake.app()) as running:
        fake.url = str(running.make_url("")).rstrip("/")
        yield fake
