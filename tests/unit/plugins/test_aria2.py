"""The aria2 plugin against a real aria2 daemon, with a second one that seeds."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plugins.download.aria2_plugin.files import remove_unfinished
from service.sdk import DownloadTask
from tests.unit.plugins import daemons
from tests.unit.plugins.swarm import Origin

Make = Callable[..., Any]
CONTENT = os.urandom(3 * 1024 * 1024)
SECRET = "a secret"


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        origin.files["/file.bin"] = CONTENT
        origin.files["/held.bin"] = CONTENT
        origin.held["/held.bin"] = 512 * 1024
        yield origin


@pytest.fixture
def aria2(tmp_path: Path) -> Iterator[daemons.Daemon]:
    session = tmp_path / "aria2" / "session.txt"
    session.parent.mkdir()
    session.touch()
    daemon = daemons.aria2(
        tmp_path / "aria2", SECRET, f"--save-session={session}", f"--input-file={session}", "--max-tries=2"
    )
    try:
        yield daemon.start()
    finally:
        daemon.kill()


@pytest.fixture
async def plugin(make: Make, aria2: daemons.Daemon) -> AsyncIterator[Any]:
    yield make("download", "aria2_plugin", rpc_url=aria2.url, secret=SECRET)


async def reaches(plugin: Any, id: str, wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    async with asyncio.timeout(30):
        while True:
            told = await plugin.get_progress(id)
            if wanted(told):
                return told
            assert told["status"] != "failed", told
            await asyncio.sleep(0.05)


def is_completed(told: dict[str, Any]) -> bool:
    return bool(told["status"] == "completed")


def has_begun(told: dict[str, Any]) -> bool:
    return 0 < told["progress"] < 100


async def hand_over(plugin: Any, url: str, id: str = "t1") -> str:
    task = DownloadTask(id=id, url=url)
    assert await plugin.download(task) is True
    assert task.status == "downloading"
    assert task.external_id
    return task.external_id


async def test_a_file_arrives_in_the_downloads_folder(plugin: Any, origin: Origin) -> None:
    id = await hand_over(plugin, f"{origin.url}/file.bin")
    told = await reaches(plugin, id, is_completed)
    assert told["progress"] == 100
    assert told["downloaded"] == told["total"] == len(CONTENT)
    assert told["save_path"] == str(plugin.downloads_dir / "file.bin")
    assert (plugin.downloads_dir / "file.bin").read_bytes() == CONTENT
    [listed] = await plugin.get_downloads()
    assert (listed["id"], listed["title"], listed["status"]) == (id, "file.bin", "completed")
    assert listed["url"] == f"{origin.url}/file.bin"


async def test_a_chosen_folder_counts(
    make: Make, aria2: daemons.Daemon, origin: Origin, tmp_path: Path
) -> None:
    chosen = tmp_path / "chosen"
    plugin = make("download", "aria2_plugin", rpc_url=aria2.url, rpc_secret=SECRET, dir=str(chosen))
    id = await hand_over(plugin, f"{origin.url}/file.bin")
    await reaches(plugin, id, is_completed)
    assert (chosen / "file.bin").read_bytes() == CONTENT


async def test_pause_and_resume(plugin: Any, origin: Origin) -> None:
    id = await hand_over(plugin, f"{origin.url}/held.bin")
    await reaches(plugin, id, has_begun)
    assert await plugin.pause(id) is True
    await reaches(plugin, id, lambda told: told["status"] == "paused")
    assert await plugin.pause(id) is False
    origin.gate.set()
    assert await plugin.resume(id) is True
    await reaches(plugin, id, is_completed)
    assert (plugin.downloads_dir / "held.bin").read_bytes() == CONTENT


async def test_cancel_removes_what_is_unfinished(plugin: Any, origin: Origin) -> None:
    id = await hand_over(plugin, f"{origin.url}/held.bin")
    await reaches(plugin, id, has_begun)
    (plugin.downloads_dir / "other.bin").write_bytes(b"of somebody else")
    assert await plugin.cancel(id) is True
    assert [path.name for path in plugin.downloads_dir.iterdir()] == ["other.bin"]
    assert await plugin.get_downloads() == []
    assert await plugin.cancel(id) is False
    assert "no longer has" in (await plugin.get_progress(id))["error"]


async def test_cancel_keeps_what_is_finished(plugin: Any, origin: Origin) -> None:
    id = await hand_over(plugin, f"{origin.url}/file.bin")
    await reaches(plugin, id, is_completed)
    assert await plugin.cancel(id) is True
    assert (plugin.downloads_dir / "file.bin").read_bytes() == CONTENT
    assert await plugin.get_downloads() == []


async def test_a_second_call_for_a_task_adds_nothing(plugin: Any, origin: Origin) -> None:
    ids = [await hand_over(plugin, f"{origin.url}/held.bin") for _ in range(2)]
    assert len(set(ids)) == 1
    other = await hand_over(plugin, f"{origin.url}/held.bin", "t2")
    assert sorted(one["id"] for one in await plugin.get_downloads()) == sorted([ids[0], other])


async def test_a_download_that_is_not_there_says_why(plugin: Any, origin: Origin) -> None:
    id = await hand_over(plugin, f"{origin.url}/missing.bin")
    async with asyncio.timeout(30):
        while (told := await plugin.get_progress(id))["status"] != "failed":
            await asyncio.sleep(0.05)
    assert "error 3" in told["error"] and "check the address" in told["error"]
    origin.files["/missing.bin"] = CONTENT
    again = await hand_over(plugin, f"{origin.url}/missing.bin")
    await reaches(plugin, again, is_completed)


@pytest.fixture
def seeder(tmp_path: Path) -> Iterator[daemons.Daemon]:
    daemon = daemons.aria2(tmp_path / "seeder")
    try:
        yield daemon.start()
    finally:
        daemon.kill()


@pytest.fixture
def folder_torrent(tmp_path: Path, seeder: daemons.Daemon, origin: Origin) -> tuple[str, Path]:
    """A torrent of a folder that the seeder has: its hash, and its file."""
    folder = seeder.folder / "own" / "电影 collection"
    (folder / "inner").mkdir(parents=True)
    (folder / "one.bin").write_bytes(CONTENT)
    (folder / "inner" / "two.bin").write_bytes(CONTENT[::-1])
    torrent = tmp_path / "folder.torrent"
    daemons.make_torrent(folder, torrent, origin.tracker)
    info_hash = daemons.shown_hash(torrent)
    daemons.seed_with_aria2(seeder, torrent.read_bytes())
    wanted = (bytes.fromhex(info_hash), seeder.peer_port)
    daemons.until("the seeder's announce", lambda: wanted in origin.announced)
    origin.files["/folder.torrent"] = torrent.read_bytes()
    return info_hash, torrent


@pytest.mark.parametrize("how", ["torrent", "magnet"])
async def test_a_torrent_comes_from_another_daemon(
    plugin: Any, make: Make, aria2: daemons.Daemon, origin: Origin, folder_torrent: tuple[str, Path], how: str
) -> None:
    info_hash, _ = folder_torrent
    magnet = f"magnet:?xt=urn:btih:{info_hash}&dn=x&tr={origin.tracker}"
    id = await hand_over(plugin, magnet if how == "magnet" else f"{origin.url}/folder.torrent")
    told = await reaches(plugin, id, is_completed)
    saved = plugin.downloads_dir / "电影 collection"
    assert told["save_path"] == str(saved)
    assert told["total"] == 2 * len(CONTENT)
    assert (saved / "one.bin").read_bytes() == CONTENT
    assert (saved / "inner" / "two.bin").read_bytes() == CONTENT[::-1]
    # Seeding counts as completed, in another process, too; the list has it once, under the same id.
    again = make("download", "aria2_plugin", rpc_url=aria2.url, secret=SECRET)
    assert (await again.get_progress(id))["status"] == "completed"
    [listed] = await again.get_downloads()
    assert (listed["id"], listed["title"], listed["status"]) == (id, "电影 collection", "completed")
    # Also when what is over was cleared away in aria2: of a magnet link, the result that has the id.
    purge = {"jsonrpc": "2.0", "id": 1, "method": "aria2.purgeDownloadResult", "params": [f"token:{SECRET}"]}
    assert daemons.get_json(aria2.url, purge)["result"] == "OK"
    assert (await again.get_progress(id))["status"] == "completed"
    [listed] = await again.get_downloads()
    assert (listed["id"], listed["status"]) == (id, "completed")
    # The same torrent again is the same download.
    assert await hand_over(again, magnet, "t2") == id
    assert await again.cancel(id) is True
    assert (saved / "one.bin").read_bytes() == CONTENT
    assert await again.get_downloads() == []


async def test_a_cancelled_torrent_leaves_nothing(plugin: Any, origin: Origin, tmp_path: Path) -> None:
    folder = tmp_path / "source" / "held"
    folder.mkdir(parents=True)
    (folder / "a.bin").write_bytes(CONTENT)
    (folder / "b.bin").write_bytes(CONTENT[::-1])
    for name in ("a.bin", "b.bin"):
        origin.files[f"/seed/held/{name}"] = (folder / name).read_bytes()
        origin.held[f"/seed/held/{name}"] = 512 * 1024
    torrent = daemons.make_torrent(
        folder, tmp_path / "held.torrent", origin.tracker, web_seed=f"{origin.url}/seed/"
    )
    origin.files["/held.torrent"] = torrent
    id = await hand_over(plugin, f"{origin.url}/held.torrent")
    await reaches(plugin, id, has_begun)
    assert await plugin.cancel(id) is True
    assert list(plugin.downloads_dir.iterdir()) == []


async def test_a_magnet_nobody_has_is_downloading_until_it_is_cancelled(plugin: Any, origin: Origin) -> None:
    info_hash = hashlib.sha1(os.urandom(8)).hexdigest()
    id = await hand_over(plugin, f"magnet:?xt=urn:btih:{info_hash}&tr={origin.tracker}")
    told = await plugin.get_progress(id)
    assert (told["status"], told["progress"]) == ("downloading", 0)
    assert await plugin.cancel(id) is True
    assert await plugin.get_downloads() == []


async def test_it_goes_on_after_aria2_was_started_anew(
    plugin: Any, aria2: daemons.Daemon, origin: Origin, tmp_path: Path
) -> None:
    (tmp_path / "seeded.bin").write_bytes(CONTENT)
    origin.files["/seed/seeded.bin"] = CONTENT
    origin.held["/seed/seeded.bin"] = 512 * 1024
    origin.files["/seeded.torrent"] = daemons.make_torrent(
        tmp_path / "seeded.bin", tmp_path / "s.torrent", origin.tracker, web_seed=f"{origin.url}/seed/"
    )
    ids = [
        await hand_over(plugin, f"{origin.url}/held.bin"),
        await hand_over(plugin, f"{origin.url}/seeded.torrent", "t2"),
    ]
    for id in ids:
        await reaches(plugin, id, has_begun)
    aria2.stop()
    with pytest.raises(RuntimeError, match=r"cannot be reached at .*rpc_url"):
        await plugin.get_progress(ids[0])
    origin.gate.set()
    aria2.start()
    for id in ids:
        await reaches(plugin, id, is_completed)
    assert (plugin.downloads_dir / "held.bin").read_bytes() == CONTENT
    assert (plugin.downloads_dir / "seeded.bin").read_bytes() == CONTENT


async def test_a_cut_hand_over_is_taken_back(plugin: Any, origin: Origin) -> None:
    task = DownloadTask(id="t1", url=f"{origin.url}/held.bin")
    kept: dict[str, Any] = {}
    reached = asyncio.Event()

    async def send(kind: str, data: dict[str, Any]) -> None:
        assert kind == "checkpoint"
        kept.update(data)
        reached.set()

    task._send = send
    running = asyncio.create_task(plugin.download(task))
    await reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await plugin.get_downloads() == []
    # A server that was killed instead has only the checkpoint.
    await hand_over(plugin, task.url)
    await plugin.discard(DownloadTask(id="t1", url=task.url, resume=kept))
    assert await plugin.get_downloads() == []


async def test_a_wrong_secret_and_a_wrong_address_say_what_to_set(
    make: Make, aria2: daemons.Daemon, origin: Origin
) -> None:
    wrong = make("download", "aria2_plugin", rpc_url=aria2.url, secret="wrong")
    await wrong.self_check()
    with pytest.raises(RuntimeError, match=r"refuses the secret; set secret"):
        await hand_over(wrong, f"{origin.url}/file.bin")
    page = make("download", "aria2_plugin", rpc_url=f"{origin.url}/page")
    with pytest.raises(RuntimeError, match=r"is not aria2; set rpc_url"):
        await page.get_downloads()
    nobody = make("download", "aria2_plugin", rpc_url=f"http://127.0.0.1:{daemons.free_port()}/jsonrpc")
    await nobody.self_check()
    with pytest.raises(RuntimeError, match=r"cannot be reached at http://127\.0\.0\.1:\d+/jsonrpc"):
        await nobody.get_downloads()


async def test_no_file_that_is_there_is_overwritten_or_removed(
    plugin: Any, origin: Origin, tmp_path: Path
) -> None:
    (tmp_path / "kept.bin").write_bytes(CONTENT)
    origin.files["/kept.torrent"] = daemons.make_torrent(
        tmp_path / "kept.bin", tmp_path / "k.torrent", origin.tracker
    )
    plugin.downloads_dir.mkdir()
    mine = plugin.downloads_dir / "kept.bin"
    mine.write_bytes(b"mine")
    id = await hand_over(plugin, f"{origin.url}/kept.torrent")
    async with asyncio.timeout(30):
        while (told := await plugin.get_progress(id))["status"] != "failed":
            await asyncio.sleep(0.05)
    assert "error 13" in told["error"] and "rename or remove" in told["error"]
    assert await plugin.cancel(id) is True
    assert mine.read_bytes() == b"mine"


def test_only_begun_files_of_the_download_itself_are_removed(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out.bin"
    inside.mkdir()
    for path in (inside / "a.bin", outside):
        path.write_bytes(b"x")

    def told(*paths: Path, **more: Any) -> dict[str, Any]:
        files = [{"path": str(path)} for path in paths]
        return {"dir": str(inside), "files": files, "totalLength": "9", "bittorrent": {}, **more}

    assert remove_unfinished(told(inside / "a.bin")) == []  # no control file: somebody else's
    (inside / "a.bin.aria2").touch()
    (tmp_path / "out.bin.aria2").touch()
    assert remove_unfinished(told(outside)) == [str(outside)]
    assert remove_unfinished(told(inside / ".." / "out.bin")) == [str(inside / ".." / "out.bin")]
    assert remove_unfinished(told(inside / "a.bin", errorCode="13")) == []
    assert (inside / "a.bin").exists() and outside.exists()
    assert remove_unfinished(told(inside / "a.bin")) == []
    assert list(inside.iterdir()) == []
