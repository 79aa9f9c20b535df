"""A kernel without Landlock: the server says what is missing and runs, or does not start where that is asked for."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from service.host.workers.ground import ground_of
from service.host.workers.sandbox import Sandbox
from service.worker.confinement.report import probe
from tests.integration.attempts import attempt, plugin, put
from tests.integration.live import live_server, write
from tests.integration.server_process import ROOT, environment

WITHOUT_LANDLOCK = """
from service.worker.confinement import landlock

landlock.version = lambda: 0
"""


NEVER_ALONE = """
from service.worker.confinement import seccomp

seccomp.own_thread_is_alone = lambda: False
"""


def path_with(folder: Path, patch: str) -> str:
    """A PYTHONPATH on which a server and its processes take the kernel for another one."""
    write(folder / "sitecustomize.py", patch)
    return f"{folder}:{ROOT}"


async def test_what_is_missing_is_said_and_what_is_there_is_applied(tmp_path: Path) -> None:
    put(tmp_path / "home", "tries", plugin("tries"))
    path = path_with(tmp_path / "path", WITHOUT_LANDLOCK)
    async with live_server(tmp_path / "home", PYTHONPATH=path) as live:
        ready = (await live.get("/readyz")).body
        assert ready["status"] == "degraded"
        assert "Landlock" in ready["parts"]["sandbox"]["message"]
        assert '"event": "sandbox.incomplete"' in live.server.printed
        assert await attempt(live, "tries", "socket.socket(socket.AF_UNIX)") == "EPERM"
        assert await attempt(live, "tries", "syscall(101, 117, 0, 0, 0, 0)") == "EPERM"


@pytest.mark.parametrize(("version", "lacks"), [(2, "empty files"), (3, "limit ports"), (5, "limit signals")])
def test_each_version_of_landlock_is_known_for_what_it_lacks(
    tmp_path: Path, version: int, lacks: str
) -> None:
    report = probe()
    report = dataclasses.replace(report, landlock=version)
    sandbox = Sandbox(tmp_path, tmp_path / "downloads", report, ground_of(report, tmp_path))
    assert any(lacks in one.en for one in sandbox.missing)


def test_the_server_does_not_start_where_all_of_it_is_required(tmp_path: Path) -> None:
    path = path_with(tmp_path / "path", WITHOUT_LANDLOCK)
    ended = subprocess.run(
        [sys.executable, "-m", "service", "serve", "--home", str(tmp_path / "home"), "--port", "0"],
        env=environment(PYTHONPATH=path, PLUGBAY_SANDBOX__REQUIRED="true"),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == 1
    assert "Landlock" in ended.stderr and "sandbox.required" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_a_plugin_that_cannot_be_confined_does_not_load(tmp_path: Path) -> None:
    put(tmp_path / "home", "tries", plugin("tries"))
    path = path_with(tmp_path / "path", NEVER_ALONE)
    async with live_server(tmp_path / "home", PYTHONPATH=path) as live:
        failed = await live.event("failed", "search/tries")
        assert (failed.plugin["error"]["code"], failed.plugin["state"]) == ("not_confined", "failed")
