"""A new plugin works as it is: it is clean, it can be tried, its own tests pass in a real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.forging import run_plugbay
from tests.integration.server_process import ROOT

CALLS = {
    "search": (["search", "hello"], "hello 1\t\t\thttps://example.org/hello/1"),
    "parser": (["parse", "https://example.org/film"], "1080p\t\t\thttps://example.org/film?quality=1080p"),
    "download": (["download", "data:,hello"], "check.bin\t5 B"),
}


pytestmark = pytest.mark.timeout(180)


def run(program: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PLUGBAY_LANG": "en",
        "PLUGBAY_URL": "http://127.0.0.1:9",
        "PYTHONPATH": str(ROOT),
    }
    environment.pop("PYTEST_ADDOPTS", None)
    environment.pop("PYTEST_XDIST_WORKER", None)
    if program == "service":
        return run_plugbay(*arguments, environ=environment, folder=cwd, timeout_s=50)
    return subprocess.run(
        [sys.executable, "-m", program, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_what_is_made_works_as_it_is(tmp_path: Path) -> None:
    tests = []
    for type, (words, printed) in CALLS.items():
        made = json.loads(run("service", "new", type, "demo", "--json", cwd=tmp_path).stdout)
        plugin, test = made["files"]
        tests.append(test)
        tried = run("service", "try", plugin, *words, cwd=tmp_path)
        assert (tried.returncode, tried.stdout.split("\n")[0]) == (0, printed), tried.stderr
    checked = run("service", "check", ".", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.endswith("3 plugins, no problems\n")
    # As their author would: with the fixture found by itself, and no configuration.
    others = [word for name in ("asyncio", "aiohttp", "schemathesis") for word in ("-p", f"no:{name}")]
    tested = run("pytest", "-q", "-p", "no:cacheprovider", *others, *tests, cwd=tmp_path)
    assert tested.returncode == 0, tested.stdout
    assert "9 passed" in tested.stdout
