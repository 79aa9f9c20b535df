"""A registry for uv, a cache of its own, and sets of packages in a temporary folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from service.host.dependencies.environments import Environments
from tests.registry import Registry

Opened = Callable[..., Awaitable[Environments]]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uv-cache")


@pytest.fixture
def registry(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    with Registry() as registry:
        for name, value in registry.environment(cache).items():
            monkeypatch.setenv(name, value)
        yield registry


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "envs"


@pytest.fixture
async def opened(folder: Path, registry: Registry) -> AsyncIterator[Opened]:
    async with AsyncExitStack() as stack:

        async def open_environments(**options: object) -> Environments:
            settings = {"timeout_s": 20.0, "allow_builds": False, "linger_s": 0.05} | options
            environments = Environments(folder, **settings)
            stack.push_async_callback(environments.close)
            await environments.start()
            return environments

        yield open_environments
