"""Loading where there is no worker to be had."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from service.errors import LoadFailed
from service.host.files.sources import source_file, unit_of
from service.host.files.tree import SourceTree
from service.host.loader import Loader, LoadLimits
from service.host.workers.sandbox import Sandbox
from service.host.workers.worker_process import WorkerProcess
from service.limiting import limits_of_plugins
from service.settings import Settings
from service.worker.confinement.policy import Policy

FILE = "search/demo_plugin.py"


class NoWorkers:
    """Stands for templates of a machine that is out of descriptors, or of processes."""

    def __init__(self, error: OSError) -> None:
        self._error = error

    async def acquire(
        self, site: Path | None, policy: Policy | None = None, *, cold: bool = False
    ) -> WorkerProcess:
        raise self._error


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), TimeoutError("none in time")])
async def test_no_worker_is_a_failed_load_and_a_failed_outline(tmp_path: Path, error: OSError) -> None:
    tree, unit = SourceTree(), unit_of(FILE)
    tree.apply(FILE, source_file(b"x = 1\n"))
    assert unit is not None
    downloads = tmp_path / "downloads"
    sandbox = await asyncio.to_thread(Sandbox.of_this_kernel, tmp_path, downloads)
    loader = Loader(
        cast(Any, NoWorkers(error)),
        cast(Any, None),
        tmp_path,
        LoadLimits(1, 1, 1),
        downloads,
        sandbox,
        limits_of_plugins(Settings()),
    )
    snapshot = tree.snapshot(unit)
    for attempt in (loader.outline(snapshot), loader.load(snapshot, {}, 1, lambda data: None)):
        with pytest.raises(LoadFailed) as caught:
            await attempt
        assert caught.value.error.code == "worker_unavailable"
        assert str(error) in caught.value.error.text.en
