"""The download plugin `http` beside aria2c and curl, all from one nginx over loopback.

The plugin runs in a process of its own, as in a worker, and is timed there from the task to the finished file; the
others are timed from the start of their process to its end, some milliseconds of some hundred. Files lie in memory, if
there is room, because it is not the disk that is measured: the plugin syncs its file, and the others do not.
"""

from __future__ import annotations

import asyncio
import contextlib
import filecmp
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks.figures import Figure, Goal, Row, Scale, Series, Size, Spread
from benchmarks.peers import absence
from benchmarks.processes import Child, child, free_port
from service.model.text import Text

_CONNECTIONS = 4
_MIB = 1024 * 1024
_MEMORY = Path("/dev/shm")
_START_TIMEOUT_S = 10.0
_NAMES = {"plugin": "Plugbay"}
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_PEERS = {"aria2c": ["-q", "--no-conf", "-k1M", "--file-allocation=none"], "curl": ["-s", "-q"]}


async def measure(size: Size) -> Figure:
    """One after the other, in turns, each into an empty folder."""
    mib, turns = size.of(16, 1024, 1024), size.of(1, 7, 21)
    figure = Figure(Text(zh=f"下载 {mib} MiB", en=f"Downloading {mib} MiB"))
    if shutil.which("nginx") is None:
        figure.notes.append(Text(zh="未安装 nginx，未测", en="nginx is not installed: not measured"))
        return figure
    absent = {peer: absence(programs=(peer,)) for peer in _PEERS}
    peers = [peer for peer, reason in absent.items() if reason is None]
    rates: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="plugbay-bench-", dir=_roomy(mib)) as folder:
        base = Path(folder)
        async with _nginx(base, mib) as url, child("benchmarks.download_child") as ours:
            runs = [("plugin", _CONNECTIONS), ("plugin", 1)]
            runs += [(peer, n) for peer in peers for n in (_CONNECTIONS, 1) if n == 1 or peer == "aria2c"]
            for turn in range(turns + 1):
                for who, connections in runs if turn % 2 else reversed(runs):
                    seconds = await _download(
                        ours, who, url, base / "out", connections, base / "root" / "file"
                    )
                    if turn:  # the first is for warming up
                        rates.setdefault((who, connections), []).append(mib / seconds)
    for connections, peer in ((_CONNECTIONS, "aria2c"), (1, "curl"), (1, "aria2c")):
        en = "one connection" if connections == 1 else f"{connections} connections"
        figure.rows.append(
            Row.of(
                Text(zh=f"http 插件，{connections} 个连接", en=f"the http plugin, {en}"),
                "MiB/s",
                rates["plugin", connections],
                peer=Text(zh=f"{peer}，{connections} 个连接", en=f"{peer}, {en}"),
                peer_values=rates.get((peer, connections), ()),
                goal=Goal(at_least=1, ratio=True),
                absent=absent[peer],
                more_is_better=True,
            )
        )
    figure.notes.append(Text(zh=f"各 {turns} 次，轮流", en=f"{turns} of each, in turns"))
    figure.spreads.append(
        Spread(
            title=Text(zh=f"下载 {mib} MiB 的时间", en=f"Downloading {mib} MiB"),
            unit="s",
            series=[
                Series(
                    label=Text(
                        zh=f"{_NAMES.get(who, who)}，{connections} 个连接",
                        en=f"{_NAMES.get(who, who)}, {connections} connection{'s' if connections > 1 else ''}",
                    ),
                    values=[mib / rate for rate in of],
                    ours=who == "plugin",
                )
                for (who, connections), of in sorted(rates.items(), key=lambda item: -item[0][1])
            ],
            scale=Scale.LINEAR,
        )
    )
    return figure


async def _download(ours: Child, who: str, url: str, folder: Path, connections: int, original: Path) -> float:
    """Seconds that one download took; what came is compared."""
    folder.mkdir()
    try:
        if who == "plugin":
            answer = await ours.ask("download", url=url, folder=str(folder), connections=connections)
            seconds = float(answer["seconds"])
        else:
            more = (
                [f"-x{connections}", f"-s{connections}", "-d", str(folder), "-o", "file"]
                if who == "aria2c"
                else ["-o", str(folder / "file")]
            )
            began = time.perf_counter()
            process = await asyncio.create_subprocess_exec(
                who, *_PEERS[who], *more, url, stdout=subprocess.DEVNULL
            )
            if await process.wait():
                raise RuntimeError(f"{who} ended with status {process.returncode}")
            seconds = time.perf_counter() - began
        if not await asyncio.to_thread(filecmp.cmp, folder / "file", original, False):
            raise RuntimeError(f"{who} brought another file than there is")
        return seconds
    finally:
        shutil.rmtree(folder)


def _roomy(mib: int) -> Path | None:
    """Memory, where the original, a copy and as much again fit; None for the usual place."""
    try:
        return _MEMORY if shutil.disk_usage(_MEMORY).free > 3 * mib * _MIB else None
    except OSError:
        return None


@contextlib.asynccontextmanager
async def _nginx(base: Path, mib: int) -> AsyncIterator[str]:
    """A server of one process with a file of random bytes: the file's address."""
    root, port = base / "root", free_port()
    root.mkdir()
    with (root / "file").open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(_MIB))
    user = "user root;\n" if os.geteuid() == 0 else ""  # the folder is only for whoever measures
    (base / "conf").write_text(
        f"{user}daemon off; pid {base}/pid; error_log {base}/errors; worker_processes 1;\n"
        "events {} http { access_log off; sendfile on; tcp_nopush on;\n"
        + "".join(f"{kind}_temp_path {base}/{kind};\n" for kind in _TEMPORARY)
        + f"server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n"
    )
    process = await asyncio.create_subprocess_exec(
        "nginx", "-p", str(base), "-c", str(base / "conf"), stderr=subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            while process.returncode is None:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{port}/file"
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
