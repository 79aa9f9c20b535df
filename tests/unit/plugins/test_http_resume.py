"""The download plugin `http`: what changes meanwhile, and what goes on after a pause, a failure or a kill."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.http_origin import Manner, Origin, Request
from tests.unit.plugins.http_task import (
    CONTENT,
    MIB,
    OTHER,
    SMALL,
    Reports,
    files,
    names,
    stop,
    until,
)

Make = Callable[..., Any]
ROOT = Path(__file__).parents[3]
# What a worker does with the plugin, and no more; checkpoints go to a file.
CHILD = """
import asyncio, json, logging, os, pathlib, resource, sys

from plugins.download.http_plugin import HttpPlugin
from service.sdk import DownloadTask

url, folder, state, connections, largest = sys.argv[1:]
state = pathlib.Path(state)
if int(largest):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest), int(largest)))


async def send(kind, data):
    if kind == "checkpoint":
        state.with_suffix(".new").write_text(json.dumps(data))
        state.with_suffix(".new").replace(state)


plugin = HttpPlugin()
plugin.log = logging.getLogger("http")
plugin.downloads_dir = pathlib.Path(folder)
plugin.config = {"connections": connections}
resume = json.loads(state.read_text()) if state.exists() else None
task = DownloadTask(id="t1", url=url, resume=resume, _send=send)
asyncio.run(plugin.download(task))
"""


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    origin = Origin()
    async with origin.running():
        yield origin


@pytest.mark.parametrize("heeds_if_range", [True, False])
@pytest.mark.parametrize("connections", [1, 4])
async def test_a_file_that_changes_meanwhile_is_never_mixed(
    make: Make, origin: Origin, heeds_if_range: bool, connections: int
) -> None:
    url = origin.add("/f", CONTENT, heeds_if_range=heeds_if_range, drop_after=2 * MIB)

    def change(request: Request) -> None:
        if len(origin.requests) == 4:
            origin.manners["/f"].content, origin.manners["/f"].etag = OTHER, '"v2"'

    origin.manners["/f"].on_request = change
    plugin = make("download", "http_plugin", connections=connections)
    assert await plugin.download(Reports().task(url)) is True
    assert files(plugin) == {"f": OTHER}


async def test_a_file_that_changes_all_the_time_is_an_error(make: Make, origin: Origin) -> None:
    url = origin.add("/f", CONTENT, drop_after=2 * MIB)

    def change(request: Request) -> None:
        origin.manners["/f"].etag = f'"{len(origin.requests)}"'

    origin.manners["/f"].on_request = change
    plugin = make("download", "http_plugin", connections=1)
    with pytest.raises(ValueError, match=r"has changed.*begun anew 4 times"):
        await plugin.download(Reports().task(url))
    assert names(plugin) == []


async def paused_half_way(make: Make, origin: Origin, url: str, **config: Any) -> tuple[Any, dict[str, Any]]:
    """A download that was paused after a part of its bytes, and its last checkpoint."""
    manner = origin.manners[url.partition(str(origin.port))[2]]
    manner.gate, manner.gate_after = asyncio.Event(), MIB
    plugin, reports = make("download", "http_plugin", **config), Reports()
    running = asyncio.create_task(plugin.download(reports.task(url)))
    await reports.until(lambda: any(report.get("downloaded", 0) >= MIB for report in reports.all))
    await stop(reports, running, "pause")
    await until(lambda: origin.serving == 0)
    manner.gate.set()
    assert [name.endswith(".part") for name in names(plugin)] == [True]
    assert plugin.get_progress("t1")["status"] == "paused"
    origin.requests.clear()
    origin.sent = 0
    return plugin, reports.checkpoints[-1]


@pytest.mark.parametrize("connections", [1, 4])
@pytest.mark.parametrize(
    "version", [{}, {"etag": "", "last_modified": "Tue, 01 Jul 2025 00:00:00 GMT"}, {"etag": ""}]
)
async def test_a_paused_download_goes_on_where_it_was(
    make: Make, origin: Origin, version: dict[str, str], connections: int
) -> None:
    url = origin.add("/f", CONTENT, **version)
    plugin, state = await paused_half_way(make, origin, url, connections=connections)
    claimed = sum(end - start for start, end in state["ranges"])
    assert claimed >= MIB
    reports = Reports()
    assert await plugin.download(reports.task(url, resume=state)) is True
    assert files(plugin) == {"f": CONTENT}
    if connections == 1:
        assert origin.sent <= len(CONTENT) - claimed + 64 * 1024
    compared = 64 * 1024 if version == {"etag": ""} else 0
    for first, _ in (request.range or (0, 0) for request in origin.requests):
        assert not any(start <= first < end - compared for start, end in state["ranges"])
    if version != {"etag": ""}:
        assert origin.requests[0].headers["if-range"] == (version.get("last_modified") or '"v1"')
    assert reports.all[0]["downloaded"] >= claimed


@pytest.mark.parametrize("heeds_if_range", [True, False])
@pytest.mark.parametrize("etag", ['"v1"', ""])
async def test_a_file_that_changed_while_paused_begins_anew(
    make: Make, origin: Origin, etag: str, heeds_if_range: bool
) -> None:
    url = origin.add("/f", CONTENT, etag=etag, heeds_if_range=heeds_if_range)
    plugin, state = await paused_half_way(make, origin, url)
    origin.manners["/f"].content = OTHER
    origin.manners["/f"].etag = etag and '"v2"'
    reports = Reports()
    assert await plugin.download(reports.task(url, resume=state)) is True
    assert files(plugin) == {"f": OTHER}
    assert [] in [one["ranges"] for one in reports.checkpoints]


async def test_a_range_that_is_no_longer_there_begins_anew(make: Make, origin: Origin) -> None:
    url = origin.add("/f", CONTENT)
    plugin, state = await paused_half_way(make, origin, url, connections=1)
    origin.manners["/f"] = Manner(SMALL, heeds_if_range=False)
    assert await plugin.download(Reports().task(url, resume=state)) is True
    assert files(plugin) == {"f": SMALL}


async def test_a_part_file_that_is_gone_begins_anew_and_never_takes_anothers(
    make: Make, origin: Origin
) -> None:
    url = origin.add("/f", CONTENT)
    plugin, state = await paused_half_way(make, origin, url)
    Path(state["part"]).rename(plugin.folder / "moved")
    Path(state["part"]).write_bytes(b"somebody else's")
    assert await plugin.download(Reports().task(url, resume=state)) is True
    assert files(plugin)["f (2)"] == CONTENT
    assert files(plugin)["f.part"] == b"somebody else's"
    assert "f" not in names(plugin)


@pytest.mark.parametrize("state", [{}, {"part": 1}, {"part": "/nowhere", "target": "/nowhere", "inode": 1}])
async def test_a_checkpoint_that_makes_no_sense_begins_anew(make: Make, origin: Origin, state: Any) -> None:
    plugin = make("download", "http_plugin")
    assert await plugin.download(Reports().task(origin.add("/f", SMALL), resume=state)) is True
    assert files(plugin) == {"f": SMALL}


async def test_one_that_was_renamed_just_before_the_end_is_known_again(make: Make, origin: Origin) -> None:
    plugin, reports = make("download", "http_plugin"), Reports()
    url = origin.add("/f", SMALL)
    await plugin.download(reports.task(url))
    origin.requests.clear()
    again = reports.task(url, resume=reports.checkpoints[-1])
    assert await plugin.download(again) is True
    assert (names(plugin), origin.requests) == (["f"], [])
    assert again.save_path == str(plugin.folder / "f")


async def test_discard_removes_what_a_paused_one_left(make: Make, origin: Origin) -> None:
    url = origin.add("/f", CONTENT)
    plugin, state = await paused_half_way(make, origin, url)
    await plugin.discard(Reports().task(url))
    assert names(plugin) == ["f.part"]
    await plugin.discard(Reports().task(url, resume=state))
    assert names(plugin) == []
    await plugin.discard(Reports().task(url, resume=state))


async def test_a_failed_download_goes_on_when_it_is_tried_again(make: Make, origin: Origin) -> None:
    url = origin.add("/f", CONTENT, drop_after=2 * MIB)
    origin.manners["/f"].on_request = lambda request: (
        origin.manners["/f"].refuse.append(500) if len(origin.requests) > 2 else None
    )
    plugin, reports = make("download", "http_plugin", retries=1, connections=1), Reports()
    with pytest.raises(ValueError, match="500"):
        await plugin.download(reports.task(url))
    assert names(plugin) == ["f.part"]
    assert reports.checkpoints[-1]["ranges"] == [[0, 4 * MIB]]
    origin.sent = 0
    origin.manners["/f"] = Manner(CONTENT)
    assert await plugin.download(reports.task(url, resume=reports.checkpoints[-1])) is True
    assert files(plugin) == {"f": CONTENT}
    assert origin.sent == 8 * MIB


@pytest.mark.parametrize("connections", [1, 4])
async def test_what_a_checkpoint_claims_is_in_the_file(
    make: Make, origin: Origin, monkeypatch: pytest.MonkeyPatch, connections: int
) -> None:
    monkeypatch.setattr("plugins.download.http_plugin.job.CHECKPOINT_S", 0.0)
    monkeypatch.setattr("plugins.download.http_plugin.job.REPORT_S", 0.001)
    url = origin.add("/f", CONTENT, drop_after=100_000)
    plugin, reports = make("download", "http_plugin", connections=connections), Reports()
    told = reports.send

    async def compare(kind: str, data: dict[str, Any]) -> None:
        if kind == "checkpoint":
            written = Path(data["part"]).read_bytes()
            for start, end in data["ranges"]:
                assert written[start:end] == CONTENT[start:end]
        await told(kind, data)

    reports.send = compare  # type: ignore[method-assign]
    assert await plugin.download(reports.task(url)) is True
    assert len([one for one in reports.checkpoints if one["ranges"]]) >= 2


def child(origin: Origin, tmp_path: Path, connections: int, largest: int = 0) -> subprocess.Popen[str]:
    arguments = [origin.url("/f"), str(tmp_path / "downloads"), str(tmp_path / "state"), str(connections)]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments, str(largest)], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("connections", [1, 4])
async def test_killed_in_the_middle_another_process_goes_on(
    origin: Origin, tmp_path: Path, connections: int
) -> None:
    gate = asyncio.Event()
    origin.add("/f", CONTENT, gate=gate, gate_after=MIB)
    state = tmp_path / "state"

    def claims() -> int:
        return (
            sum(end - start for start, end in json.loads(state.read_text())["ranges"])
            if state.exists()
            else 0
        )

    first = child(origin, tmp_path, connections)
    try:
        await until(lambda: claims() >= MIB)
    finally:
        first.send_signal(signal.SIGKILL)
        await asyncio.to_thread(first.communicate)
    await until(lambda: origin.serving == 0)
    claimed = claims()
    assert [path.name for path in (tmp_path / "downloads").iterdir()] == ["f.part"]
    gate.set()
    origin.requests.clear()
    second = child(origin, tmp_path, connections)
    _, errors = await asyncio.to_thread(second.communicate)
    assert (second.returncode, errors) == (0, "")
    assert [path.name for path in (tmp_path / "downloads").iterdir()] == ["f"]
    assert (tmp_path / "downloads" / "f").read_bytes() == CONTENT
    assert claimed >= MIB
    assert all((request.range or (0, 0))[0] > 0 for request in origin.requests)


async def test_a_file_that_may_not_grow_is_a_clear_error(origin: Origin, tmp_path: Path) -> None:
    origin.add("/f", CONTENT)
    process = child(origin, tmp_path, 1, largest=2 * MIB)
    _, errors = await asyncio.to_thread(process.communicate)
    assert "the file is larger than files may be in" in errors
    assert [path.name for path in (tmp_path / "downloads").iterdir()] == ["f.part"]
    assert json.loads((tmp_path / "state").read_text())["ranges"][0][1] > MIB


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB; skips where this user may not mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("only root can mount a small file system")
    if subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=16m", "none", str(folder)], capture_output=True
    ).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


async def test_a_disk_that_fills_up_is_a_clear_error_and_nothing_is_lost(
    make: Make, origin: Origin, small_disk: Path
) -> None:
    gate = asyncio.Event()
    url = origin.add("/f", CONTENT, gate=gate, gate_after=MIB)
    plugin, reports = make("download", "http_plugin", folder=str(small_disk), connections=1), Reports()
    running = asyncio.create_task(plugin.download(reports.task(url)))
    await reports.until(lambda: any(report.get("downloaded") == MIB for report in reports.all))
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(64 * 1024)):
            pass
    gate.set()
    with pytest.raises(OSError, match=r"the disk of .* is full .* free some space and retry"):
        await running
    assert names(plugin) == ["f.part", "filler"]
    filler.unlink()
    assert await plugin.download(reports.task(url, resume=reports.checkpoints[-1])) is True
    assert files(plugin) == {"f": CONTENT}


async def test_a_disk_that_is_too_small_is_known_before(make: Make, origin: Origin, small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes(8 * MIB))
    plugin = make("download", "http_plugin", folder=str(small_disk))
    with pytest.raises(OSError, match=r"has 8.0 MiB free, 12.0 MiB are needed"):
        await plugin.download(Reports().task(origin.add("/f", CONTENT)))
    # Nobody knows how long this one is.
    with pytest.raises(OSError, match="is full"):
        await plugin.download(Reports().task(origin.add("/g", CONTENT, ranges=False, chunked=True)))
    assert names(plugin) == ["filler"]


async def test_a_folder_that_cannot_be_written_to(make: Make, origin: Origin, small_disk: Path) -> None:
    url = origin.add("/f", SMALL)
    (small_disk / "file").touch()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for folder in (small_disk / "file", small_disk / "file" / "below", small_disk, small_disk / "new"):
        with pytest.raises(OSError, match=r"cannot write into .* choose another download folder"):
            await make("download", "http_plugin", folder=str(folder)).download(Reports().task(url))
    assert [path.name for path in small_disk.iterdir()] == ["file"]
