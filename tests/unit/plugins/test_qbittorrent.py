"""The qBittorrent plugin against a real qbittorrent-nox, with an aria2 that seeds."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
import qbittorrentapi

from plugins.shared import external_program as external
from service.sdk import DownloadTask
from tests.unit.plugins import daemons
from tests.unit.plugins.conftest import load
from tests.unit.plugins.swarm import Origin
from tests.unit.plugins.torrents import hybrid_torrent

Make = Callable[..., Any]
CONTENT = os.urandom(2 * 1024 * 1024)
USER, PASSWORD = "someone", "a password"


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[daemons.Daemon]:
    daemon = daemons.qbittorrent(tmp_path_factory.mktemp("qbittorrent"), USER, PASSWORD)
    try:
        yield daemon.start()
    finally:
        daemon.kill()


@pytest.fixture
def client(shared: daemons.Daemon) -> Iterator[qbittorrentapi.Client]:
    """The daemon, not by way of the plugin; afterwards it has no torrents."""
    with qbittorrentapi.Client(shared.url, username=USER, password=PASSWORD) as client:
        yield client
        client.torrents_delete(delete_files=True, torrent_hashes="all")
        daemons.until("an empty list", lambda: not client.torrents_info())


@pytest.fixture
def plugin(make: Make, shared: daemons.Daemon, client: qbittorrentapi.Client) -> Any:
    return make("download", "qbittorrent_plugin", host=shared.url, username=USER, password=PASSWORD)


@pytest.fixture
def held(origin: Origin, tmp_path: Path) -> str:
    """The address of a torrent that comes from a web seed, the second half of it only when the gate opens."""
    (tmp_path / "held.bin").write_bytes(CONTENT)
    origin.files["/seed/held.bin"] = CONTENT
    origin.held["/seed/held.bin"] = len(CONTENT) // 2
    origin.files["/held.torrent"] = daemons.make_torrent(
        tmp_path / "held.bin", tmp_path / "held.torrent", origin.tracker, web_seed=f"{origin.url}/seed/"
    )
    return f"{origin.url}/held.torrent"


async def hand_over(plugin: Any, url: str) -> str:
    task = DownloadTask(id="t1", url=url)
    assert await plugin.download(task) is True
    assert task.status == "downloading"
    assert task.external_id
    return task.external_id


async def reaches(plugin: Any, id: str, wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    async with asyncio.timeout(40):
        while True:
            told: dict[str, Any] = await asyncio.to_thread(plugin.get_progress, id)
            if wanted(told):
                return told
            assert told["status"] != "failed", told
            await asyncio.sleep(0.1)


def is_completed(told: dict[str, Any]) -> bool:
    return bool(told["status"] == "completed")


def has_begun(told: dict[str, Any]) -> bool:
    return 0 < told["progress"] < 100


@pytest.mark.parametrize("how", ["torrent", pytest.param("magnet", marks=pytest.mark.soak)])
async def test_a_torrent_comes_from_another_daemon(
    plugin: Any, make: Make, shared: daemons.Daemon, origin: Origin, tmp_path: Path, how: str
) -> None:
    seeder = daemons.aria2(tmp_path / "seeder").start()
    try:
        folder = seeder.folder / "own" / "电影 collection"
        (folder / "inner").mkdir(parents=True)
        (folder / "one.bin").write_bytes(CONTENT)
        (folder / "inner" / "two.bin").write_bytes(CONTENT[::-1])
        torrent = tmp_path / "folder.torrent"
        content = daemons.make_torrent(folder, torrent, origin.tracker)
        info_hash = daemons.shown_hash(torrent)
        daemons.seed_with_aria2(seeder, content)
        wanted = (bytes.fromhex(info_hash), seeder.peer_port)
        daemons.until("the seeder's announce", lambda: wanted in origin.announced)
        origin.files["/folder.torrent"] = content
        magnet = f"magnet:?xt=urn:btih:{info_hash.upper()}&dn={quote(folder.name)}&tr={origin.tracker}"
        id = await hand_over(plugin, magnet if how == "magnet" else f"{origin.url}/folder.torrent")
        assert id == info_hash
        told = await reaches(plugin, id, is_completed)
    finally:
        seeder.kill()
    saved = plugin.downloads_dir / "电影 collection"
    assert (told["progress"], told["total"], told["save_path"]) == (100, 2 * len(CONTENT), str(saved))
    assert (saved / "one.bin").read_bytes() == CONTENT
    assert (saved / "inner" / "two.bin").read_bytes() == CONTENT[::-1]
    # Another process of the plugin knows it as well; the same torrent again is the same download.
    again = make("download", "qbittorrent_plugin", host=shared.url, username=USER, password=PASSWORD)
    assert again.get_progress(id)["status"] == "completed"
    assert await hand_over(again, magnet) == id
    [listed] = again.get_downloads()
    assert (listed["id"], listed["title"], listed["status"]) == (id, "电影 collection", "completed")
    assert listed["url"].startswith("magnet:?")
    # Cancel leaves what is finished.
    assert again.cancel(id) is True
    assert again.get_downloads() == []
    assert (saved / "one.bin").read_bytes() == CONTENT


async def test_pause_resume_and_settings(
    make: Make,
    shared: daemons.Daemon,
    client: qbittorrentapi.Client,
    origin: Origin,
    held: str,
    tmp_path: Path,
) -> None:
    host, port = shared.url.rsplit(":", 1)
    chosen = tmp_path / "chosen folder"
    plugin = make(
        "download",
        "qbittorrent_plugin",
        host=host.removeprefix("http://"),
        port=port,
        username=USER,
        password=PASSWORD,
        save_path=str(chosen),
        category="films",
    )
    id = await hand_over(plugin, held)
    await reaches(plugin, id, has_begun)
    assert client.torrents_info(torrent_hashes=id)[0].category == "films"
    assert plugin.pause(id) is True
    await reaches(plugin, id, lambda told: told["status"] == "paused")
    origin.gate.set()
    assert plugin.resume(id) is True
    told = await reaches(plugin, id, is_completed)
    assert told["save_path"] == str(chosen / "held.bin")
    assert (chosen / "held.bin").read_bytes() == CONTENT


async def test_cancel_removes_what_is_unfinished(
    plugin: Any, held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external, "STARTING_S", 3600)
    id = await hand_over(plugin, held)
    await reaches(plugin, id, has_begun)
    (plugin.downloads_dir / "other.bin").write_bytes(b"of somebody else")
    assert plugin.cancel(id) is True
    assert [path.name for path in plugin.downloads_dir.iterdir()] == ["other.bin"]
    assert plugin.cancel(id) is False
    assert plugin.pause(id) is plugin.resume(id) is False
    # It may only be about to read what it had: for a minute nothing is said to be removed.
    assert plugin.get_progress(id) == {"status": "downloading"}
    monkeypatch.setattr(external, "STARTING_S", 0)
    told = plugin.get_progress(id)
    assert told["status"] == "cancelled" and "no longer has it" in told["error"]


async def test_what_was_added_in_the_program_is_listed(
    plugin: Any, client: qbittorrentapi.Client, origin: Origin
) -> None:
    digest = hashlib.sha1(os.urandom(8)).hexdigest()
    client.torrents_add(urls=f"magnet:?xt=urn:btih:{digest}&dn=from+elsewhere&tr={origin.tracker}")
    daemons.until("the torrent", client.torrents_info)
    [listed] = plugin.get_downloads()
    assert (listed["id"], listed["title"]) == (digest, "from elsewhere")
    assert (listed["status"], listed["progress"], listed["total"]) == ("downloading", 0, None)


async def test_a_hybrid_torrent_is_found_by_both_hashes(
    plugin: Any, client: qbittorrentapi.Client, origin: Origin, tmp_path: Path
) -> None:
    (tmp_path / "hybrid.bin").write_bytes(CONTENT)
    made = hybrid_torrent(tmp_path / "hybrid.bin", origin.tracker)
    origin.files["/hybrid.torrent"] = made.content
    id = await hand_over(plugin, f"{origin.url}/hybrid.torrent")
    [there] = client.torrents_info()
    assert id == there.hash
    assert (there.infohash_v1, there.infohash_v2) == (made.v1, made.v2)
    for one in (id, made.v1, made.v2):
        assert plugin.get_progress(one)["status"] == "downloading"
    # The link that names only one of them is the same torrent.
    for topic in (f"urn:btih:{made.v1}", f"urn:btmh:1220{made.v2}"):
        assert await hand_over(plugin, f"magnet:?xt={topic}") == id
    assert plugin.cancel(made.v1) is True
    assert client.torrents_info() == []


async def test_a_cut_hand_over_is_taken_back(plugin: Any, held: str) -> None:
    task = DownloadTask(id="t1", url=held)
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
    assert plugin.get_downloads() == []
    # A server that was killed instead has only the checkpoint.
    await hand_over(plugin, held)
    await plugin.discard(DownloadTask(id="t1", url=held, resume=kept))
    assert plugin.get_downloads() == []


async def test_no_torrent_says_so(plugin: Any, origin: Origin) -> None:
    origin.files["/page.torrent"] = b"<html>sign in</html>"
    with pytest.raises(ValueError, match="a page, not a torrent"):
        await hand_over(plugin, f"{origin.url}/page.torrent")
    with pytest.raises(ConnectionError, match="answered 404"):
        await hand_over(plugin, f"{origin.url}/missing.torrent")
    with pytest.raises(ValueError, match="no BitTorrent hash"):
        await hand_over(plugin, "magnet:?xt=urn:sha1:YNCKHTQCWBTRNJIV4WNAE52SJUQCZO5C")
    # What this reads as a torrent, and qBittorrent does not.
    origin.files["/odd.torrent"] = b"d4:infod6:lengthi1e4:name1:a12:piece lengthi16384e6:pieces0:ee"
    with pytest.raises(RuntimeError, match=r"does not take|no valid torrent"):
        await hand_over(plugin, f"{origin.url}/odd.torrent")


async def test_a_folder_that_cannot_be_written_fails_it(
    make: Make,
    shared: daemons.Daemon,
    client: qbittorrentapi.Client,
    origin: Origin,
    held: str,
    tmp_path: Path,
) -> None:
    origin.gate.set()
    (tmp_path / "a file").write_bytes(b"")
    plugin = make(
        "download",
        "qbittorrent_plugin",
        host=shared.url,
        username=USER,
        password=PASSWORD,
        save_path=str(tmp_path / "a file" / "below"),
    )
    id = await hand_over(plugin, held)
    async with asyncio.timeout(30):
        while (told := plugin.get_progress(id))["status"] != "failed":
            await asyncio.sleep(0.1)
    assert "qBittorrent reports an error" in told["error"]


async def test_who_cannot_be_reached_or_is_another_says_what_to_set(make: Make, origin: Origin) -> None:
    nobody = make("download", "qbittorrent_plugin", host="localhost", port=daemons.free_port())
    await nobody.self_check()
    with pytest.raises(RuntimeError, match=r"cannot be reached at http://localhost:\d+; start it"):
        nobody.get_downloads()
    other = make("download", "qbittorrent_plugin", host=origin.url)
    with pytest.raises(RuntimeError, match="is not qBittorrent's Web UI"):
        other.get_downloads()
    with pytest.raises(ValueError, match="is no address"):
        make("download", "qbittorrent_plugin", host="http://[x").get_downloads()


async def test_wrong_passwords_are_not_tried_until_the_ban(make: Make, tmp_path: Path) -> None:
    daemon = daemons.qbittorrent(tmp_path / "guarded", USER, PASSWORD).start()
    try:
        plugin = make("download", "qbittorrent_plugin", host=daemon.url, username=USER, password="wrong")
        for _ in range(10):
            with pytest.raises(RuntimeError, match=r"refuses the user name or password; set username"):
                plugin.get_downloads()
        right = make("download", "qbittorrent_plugin", host=daemon.url, username=USER, password=PASSWORD)
        assert right.get_downloads() == []
        for _ in range(10):
            with pytest.raises(RuntimeError) as caught:
                make("download", "qbittorrent_plugin", host=daemon.url, password="wrong").get_downloads()
            if "has banned this machine" in str(caught.value):
                break
        else:
            pytest.fail(f"no ban was told of, but {caught.value}")
    finally:
        daemon.kill()


@pytest.mark.parametrize(
    ("state", "progress", "status"),
    [
        ("metaDL", 0, "downloading"),
        ("forcedMetaDL", 0, "downloading"),
        ("queuedDL", 0.2, "downloading"),
        ("stalledDL", 0.2, "downloading"),
        ("checkingResumeData", 0.2, "downloading"),
        ("moving", 1, "downloading"),
        ("pausedDL", 0.2, "paused"),
        ("stoppedDL", 0.2, "paused"),
        ("stoppedUP", 1, "completed"),
        ("pausedUP", 1, "completed"),
        ("stalledUP", 1, "completed"),
        ("checkingUP", 0.5, "downloading"),
        ("checkingUP", 1, "completed"),
        ("missingFiles", 1, "failed"),
        ("error", 0.2, "failed"),
        ("something new", 0.2, "downloading"),
    ],
)
def test_the_states_of_old_and_new_versions(state: str, progress: float, status: str) -> None:
    module = load("download", "qbittorrent_plugin")
    assert module.status_of(SimpleNamespace(state=state, progress=progress)) == status


@pytest.mark.parametrize(
    ("config", "url"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"host": "", "port": ""}, "http://127.0.0.1:8080"),
        ({"host": "nas"}, "http://nas:8080"),
        ({"host": "nas", "port": "8081"}, "http://nas:8081"),
        ({"host": "nas:9000", "port": 8081}, "http://nas:9000"),
        ({"host": "http://nas:9000/"}, "http://nas:9000"),
        ({"host": "https://nas.example.org/qb/"}, "https://nas.example.org:443/qb"),
        ({"host": "https://nas.example.org", "port": 8443}, "https://nas.example.org:8443"),
        ({"host": "::1"}, "http://[::1]:8080"),
        ({"url": "http://other:1", "host": "nas"}, "http://other:1"),
    ],
)
def test_addresses_as_people_enter_them(make: Make, config: dict[str, Any], url: str) -> None:
    assert make("download", "qbittorrent_plugin", **config).get_web_ui_url() == url
