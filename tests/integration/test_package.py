"""What is built: the wheel by way of the source package, and a server that runs from nothing else."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from service.home import BUNDLED, bundled_files
from tests.integration.server_process import ROOT, ServerProcess, environment, running_server

FILES = bundled_files()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source package and the wheel that was built from it."""
    if not (ROOT / "service/_web/index.html").is_file():
        pytest.skip("the front end is not built: run make setup")
    # A copy: the checkout may be somebody's home, with plugins of their own.
    folder = tmp_path_factory.mktemp("source")
    ignored = shutil.ignore_patterns(
        ".git", ".venv", "node_modules", "data", ".*_cache", "__pycache__", "dist"
    )
    shutil.copytree(ROOT, folder / "checkout", ignore=ignored)
    (folder / "checkout/plugins/search/private_plugin.py").write_text("secret = 1\n")
    (folder / "checkout/plugins/search/private_plugins").mkdir()
    (folder / "checkout/plugins/search/private_plugins/helper.py").write_text("secret = 1\n")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", folder / "checkout"],
        check=True,
        capture_output=True,
        timeout=55,
    )
    return folder / "dist"


def test_the_wheel_has_the_page_and_the_bundled_plugins(built: Path) -> None:
    [wheel] = built.glob("plugbay-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        [entry] = [name for name in names if name.endswith("entry_points.txt")]
        assert "plugbay = service.__main__:main" in archive.read(entry).decode()
    assert "service/_web/index.html" in names
    assert any(name.startswith("service/_web/assets/") and name.endswith(".js") for name in names)
    assert {name for name in names if name.startswith("service/_bundled/")} == {
        f"service/_bundled/{name}" for name in FILES
    }
    assert "service/_bundled/plugins/download/http_plugin/connection.py" in names
    assert [name for name in names if name.startswith("service/_bundled/plugins/shared/")]
    assert any(name.startswith("service/host/migrations/") for name in names)
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"service"}


def test_the_source_package_has_what_a_build_needs_and_nothing_private(built: Path) -> None:
    [source] = built.glob("plugbay-*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {
        "web/package.json",
        "web/package-lock.json",
        "hatch_build.py",
        "Makefile",
        "LICENSE",
        "README.zh.md",
    }
    assert wanted <= names
    assert {name for name in names if name.startswith("plugins/") and name.endswith(".py")} == {
        name for name in FILES if name.endswith(".py")
    }
    assert not [
        name for name in names if "private" in name or "node_modules" in name or "__pycache__" in name
    ]


async def test_a_server_runs_from_the_wheel_alone(built: Path, tmp_path: Path) -> None:
    [wheel] = built.glob("plugbay-*.whl")
    installed = tmp_path / "site"
    await asyncio.to_thread(
        subprocess.run,
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--no-index",
            "--no-compile",
            "--target",
            installed,
            wheel,
        ],
        check=True,
        capture_output=True,
        timeout=50,
    )
    environ = environment(PYTHONPATH=str(installed), PYTHONSAFEPATH="1")
    async with running_server(tmp_path / "home", environ=environ) as server:
        async with aiohttp.ClientSession() as session:
            async with session.get(server.url) as page:
                assert page.status == 200
                assert "script-src 'self'" in page.headers["Content-Security-Policy"]
                [script] = re.findall(r'<script[^>]* src="([^"]+)"', await page.text())
            async with session.get(server.url + script) as asset:
                assert asset.status == 200
                assert asset.content_type == "text/javascript"
        for name in FILES:
            assert (server.home / name).read_bytes() == (ROOT / name).read_bytes()
        await bundled_plugins_run(server)


async def bundled_plugins_run(server: ServerProcess) -> None:
    """All are active, and the one of most modules downloads a file."""

    async def file(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 100_000, headers={"ETag": '"one"'})

    app = web.Application()
    app.router.add_get("/film.bin", file)
    async with TestServer(app) as site, aiohttp.ClientSession(server.url) as session:
        async with asyncio.timeout(20):
            while True:
                async with session.get("/api/plugins") as response:
                    listed = await response.json()
                plugins = [one for kind in ("search", "download", "parser") for one in listed[kind]]
                if plugins and not [one for one in plugins if one["state"] == "loading"]:
                    break
                await asyncio.sleep(0.02)
        assert {one["file"] for one in plugins} == {
            name for name in BUNDLED if name.removesuffix(".py").endswith("_plugin")
        }
        assert {(one["state"], one["origin"]["kind"]) for one in plugins} == {("active", "bundled")}
        wanted = {"url": str(site.make_url("/film.bin")), "title": "film.bin", "plugin_name": "http"}
        async with session.post("/api/download", json=wanted) as response:
            task = (await response.json())["task"]
        async with asyncio.timeout(20):
            while task["status"] in ("pending", "downloading"):
                await asyncio.sleep(0.02)
                async with session.get(f"/api/tasks/{task['id']}") as response:
                    task = await response.json()
        assert (task["status"], task["error"]) == ("completed", None)
        assert Path(task["save_path"]).read_bytes() == b"x" * 100_000
