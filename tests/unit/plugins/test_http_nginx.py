"""The download plugin `http` against a real nginx."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.http_task import CONTENT, MIB, OTHER, Reports, files, stop

Make = Callable[..., Any]
NGINX_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A real nginx: its address, and the folder that it serves; below /slow/ it sends 2 MiB a second."""
    base, root = tmp_path / "nginx", tmp_path / "nginx" / "root"
    root.mkdir(parents=True)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    user = "user root;\n" if os.geteuid() == 0 else ""  # the folder is only for whoever runs the tests
    (base / "conf").write_text(
        f"{user}daemon off; pid {base}/pid; error_log {base}/errors; worker_processes 1;\n"
        "events {} http { access_log off;\n"
        + "".join(f"{kind}_temp_path {base}/{kind};\n" for kind in NGINX_TEMPORARY)
        + f"server {{ listen 127.0.0.1:{port}; root {root};\n"
        f"location /slow/ {{ alias {root}/; limit_rate 2m; }} }} }}\n"
    )
    process = subprocess.Popen(
        ["nginx", "-p", str(base), "-c", str(base / "conf")], stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(500):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            process.poll()
        yield f"http://127.0.0.1:{port}", root
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
async def test_against_nginx(make: Make, nginx: tuple[str, Path]) -> None:
    url, root = nginx
    (root / "电影.bin").write_bytes(CONTENT)
    os.utime(root / "电影.bin", (10**9, 10**9))  # nginx makes its tag of the second and the size
    plugin, reports = make("download", "http_plugin"), Reports()
    assert await plugin.download(reports.task(f"{url}/电影.bin")) is True
    assert files(plugin) == {"电影.bin": CONTENT}
    assert reports.checkpoints[-1]["etag"]
    running = asyncio.create_task(plugin.download(reports.task(f"{url}/slow/电影.bin")))
    await reports.until(lambda: MIB <= reports.all[-1].get("downloaded", 0) < len(CONTENT))
    await stop(reports, running, "pause")
    # Another version under the same name: the first is not gone on with.
    (root / "电影.bin").write_bytes(OTHER)
    task = reports.task(f"{url}/电影.bin", resume=reports.checkpoints[-1])
    assert await plugin.download(task) is True
    assert files(plugin) == {"电影.bin": CONTENT, "电影 (2).bin": OTHER}
