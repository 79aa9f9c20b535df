"""The bundled plugins in an environment that has nothing but what the server itself needs."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest
import uv

from service.home import prepare_home
from tests.integration.live import connected
from tests.integration.server_process import ROOT, environment, running_server


@pytest.fixture
def bare_python(tmp_path: Path) -> str:
    """An interpreter in an environment with the server's own dependencies."""
    folder = tmp_path / "bare"
    tool = uv.find_uv_bin()
    environ = {"UV_SYSTEM_CERTS": "1", **os.environ}
    try:
        subprocess.run([tool, "venv", "-q", str(folder)], check=True, timeout=30, cwd=tmp_path)
        subprocess.run(
            [tool, "pip", "install", "-q", "--python", str(folder), "-r", str(ROOT / "pyproject.toml")],
            check=True,
            capture_output=True,
            text=True,
            timeout=50,
            cwd=tmp_path,
            env=environ,
        )
    except subprocess.CalledProcessError as error:
        if "Failed to fetch" in error.stderr:
            pytest.skip(f"the package registry cannot be reached: {error.stderr[-300:]}")
        raise
    return str(folder / "bin/python")


@pytest.mark.timeout(180)
async def test_every_bundled_plugin_gets_its_own_packages(tmp_path: Path, bare_python: str) -> None:
    home = tmp_path / "home"
    await asyncio.to_thread(prepare_home, home)
    environ = environment(UV_NO_INDEX="0")
    async with running_server(home, environ=environ, python=bare_python) as server, connected(server) as live:
        async with asyncio.timeout(120):
            while True:
                plugins = (await live.listed()).values()
                if plugins and not any(one["state"] == "loading" for one in plugins):
                    break
                await asyncio.sleep(0.2)
        wrong = {one["id"]: one["error"] for one in plugins if one["state"] != "active"}
        assert wrong == {}
        sets = (await live.get("/api/environments")).body["environments"]
        users = {user for one in sets for user in one["used_by"]}
        assert {"download/hls", "parser/page", "search/feeds"} <= users
        # The server's environment has none of it.
        names = {package["name"] for one in sets for package in one["packages"]}
        has = "import importlib.metadata, sys; print([d.name for d in importlib.metadata.distributions()])"
        installed = subprocess.run(
            [bare_python, "-c", has], capture_output=True, text=True, check=True
        ).stdout
        for name in ("m3u8", "lxml", "feedparser", "trafilatura"):
            assert name in names and f"'{name}'" not in installed
