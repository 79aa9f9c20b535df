"""The Transmission plugin against a real transmission-daemon, with an aria2 that seeds."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import transmission_rpc

from plugins.shared import external_program as external
from service.sdk import DownloadTask
from tests.unit.plugins import daemons
from tests.unit.plugins.swarm import Origin

Make = Callable[..., Any]


CONTENT = os.urandom(2 * 1024 * 1024)
USER, PASSWORD = "someone", "p@ss:w/rd"


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[daemons.Daemon]:
    daemon = daemons.transmission(tmp_path / "transmission", USER, PASSWORD)
    try:
        yield daemon.start()
    finally:
        daemon.kill()


@pytest.fixture
def plugin(make: Make, daemon: daemons.Daemon) -> Any:
    return make(
        "download",
        "transmission_plugin",
        host="127.0.0.1",
        port=str(daemon.port),
        username=USER,
        password=PASSWORD,
    )


@pytest.fixture
def held(origin: Origin, tmp_path: Path) -> str:
    """The address of a torrent that comes from a web seed, the second half of it only when the gate opens."""
    (tmp_path / "held.bin").write_bytes(CONTENT)
    origin.files["/seed/held.bin"] = CONTENT
    origin.held["/seed/held.bin"] = len(CONTENT) // 2
    origin.files["/held.torrent"] = daemons.make_torrent(
        tmp_path / "held.bin",
        tmp_path / "held.torrent",
        origin.tracker,
        web_seed=f"{origin.url}/seed/held.bin",
    )
    return f"{origin.url}/held.torrent"


async def hand_over(plugin: Any, url: str) -> str:
    task = DownloadTask(id="t1", url=url)
    assert await plugin.download(task) is True
    assert task.status == "downloading"
    assert task.external_id
    return task.external_id


async def reaches(plugin: Any, id: str, wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    async with asyncio.timeout(45):
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


async def nudge(daemon: daemons.Daemon) -> None:
    """Has it think again of whom to ask for data: it does so every ten seconds, and whenever a torrent starts."""
    client = transmission_rpc.Client(port=daemon.port, username=USER, password=PASSWORD)
    other = client.add_torrent(f"magnet:?xt=urn:btih:{os.urandom(20).hex()}").id
    try:
        for _ in range(60):
            await asyncio.sleep(0.5)
            client.stop_torrent(other)
            client.start_torrent(other)
    finally:
        client.remove_torrent(other)


@pytest.mark.soak
async def test_a_magnet_comes_from_another_daemon(
    plugin: Any, daemon: daemons.Daemon, origin: Origin, tmp_path: Path
) -> None:
    data = CONTENT[: 64 * 1024]
    seeder = daemons.aria2(tmp_path / "seeder").start()
    nudging: asyncio.Task[None] | None = None
    try:
        folder = seeder.folder / "own" / "电影 collection"
        (folder / "inner").mkdir(parents=True)
        (folder / "one.bin").write_bytes(data)
        (folder / "inner" / "two.bin").write_bytes(data[::-1])
        torrent = tmp_path / "folder.torrent"
        content = daemons.make_torrent(folder, torrent, origin.tracker)
        info_hash = daemons.shown_hash(torrent)
        magnet = f"magnet:?xt=urn:btih:{info_hash.upper()}&dn={quote(folder.name)}&tr={origin.tracker}"
        id = await hand_over(plugin, magnet)
        assert id == info_hash
        # Transmission calls nobody on loopback, so it is called: the tracker tells the seeder where it listens.
        wanted = (bytes.fromhex(info_hash), daemon.peer_port)
        daemons.until("the leecher's announce", lambda: wanted in origin.announced)
        daemons.seed_with_aria2(seeder, content)
        nudging = asyncio.create_task(nudge(daemon))
        told = await reaches(plugin, id, is_completed)
    finally:
        if nudging is not None:
            nudging.cancel()
            await asyncio.gather(nudging, return_exceptions=True)
        seeder.kill()
    saved = plugin.downloads_dir / "电影 collection"
    assert (told["progress"], told["total"], told["save_path"]) == (100, 2 * len(data), str(saved))
    assert (saved / "one.bin").read_bytes() == data
    assert (saved / "inner" / "two.bin").read_bytes() == data[::-1]
    # The same torrent again, from its file this time, is the same download; cancel leaves what is finished.
    origin.files["/folder.torrent"] = content
    assert await hand_over(plugin, f"{origin.url}/folder.torrent") == id
    [listed] = plugin.get_downloads()
    assert (listed["id"], listed["title"], listed["status"]) == (id, "电影 collection", "completed")
    assert listed["url"].startswith("magnet:?")
    assert plugin.cancel(id) is True
    assert plugin.get_downloads() == []
    assert (saved / "one.bin").read_bytes() == data


async def test_pause_resume_settings_and_both_restarts(
    make: Make, daemon: daemons.Daemon, origin: Origin, held: str, tmp_path: Path
) -> None:
    chosen = tmp_path / "chosen folder"

    def plugin() -> Any:
        return make(
            "download",
            "transmission_plugin",
            host=f"http://127.0.0.1:{daemon.port}/transmission/",
            username=USER,
            password=PASSWORD,
            download_dir=str(chosen),
            labels="films, 电影",
        )

    first = plugin()
    id = await hand_over(first, held)
    await reaches(first, id, has_begun)
    assert first.pause(id) is True
    await reaches(first, id, lambda told: told["status"] == "paused")
    client = transmission_rpc.Client(port=daemon.port, username=USER, password=PASSWORD)
    assert client.get_torrent(id).labels == ["films", "电影"]
    daemon.stop()
    with pytest.raises(RuntimeError, match=r"cannot be reached at http://127\.0\.0\.1:\d+/transmission/rpc"):
        first.get_progress(id)
    daemon.start()
    await reaches(first, id, lambda told: told["status"] == "paused")
    second = plugin()
    assert second.get_progress(id)["status"] == "paused"
    origin.gate.set()
    assert second.resume(id) is True
    told = await reaches(second, id, is_completed)
    assert told["save_path"] == str(chosen / "held.bin")
    assert (chosen / "held.bin").read_bytes() == CONTENT


async def test_cancel_removes_what_is_unfinished(
    plugin: Any, held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = await hand_over(plugin, held)
    await reaches(plugin, id, has_begun)
    (plugin.downloads_dir / "other.bin").write_bytes(b"of somebody else")
    assert plugin.cancel(id) is True
    async with asyncio.timeout(20):
        while [path.name for path in plugin.downloads_dir.iterdir()] != ["other.bin"]:
            await asyncio.sleep(0.05)
    assert plugin.cancel(id) is False
    assert plugin.pause(id) is plugin.resume(id) is False
    # It may only be about to read what it had: for a minute nothing is said to be removed.
    assert plugin.get_progress(id) == plugin.get_progress("no hash") == {"status": "downloading"}
    monkeypatch.setattr(external, "STARTING_S", 0)
    told = plugin.get_progress(id)
    assert told["status"] == "cancelled" and "no longer has it" in told["error"]


async def test_what_was_added_in_the_program_is_listed(
    plugin: Any, daemon: daemons.Daemon, origin: Origin
) -> None:
    client = transmission_rpc.Client(port=daemon.port, username=USER, password=PASSWORD)
    digest = os.urandom(20).hex()
    client.add_torrent(f"magnet:?xt=urn:btih:{digest}&dn=from%20elsewhere&tr={origin.tracker}")
    [listed] = plugin.get_downloads()
    assert (listed["id"], listed["title"]) == (digest, "from elsewhere")
    assert (listed["status"], listed["progress"], listed["total"]) == ("downloading", 0, None)
    assert plugin.cancel(digest) is True
    assert plugin.get_downloads() == []


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


async def test_a_folder_that_cannot_be_written_fails_it(
    make: Make, daemon: daemons.Daemon, origin: Origin, held: str, tmp_path: Path
) -> None:
    origin.gate.set()
    (tmp_path / "a file").write_bytes(b"")
    plugin = make(
        "download",
        "transmission_plugin",
        port=daemon.port,
        username=USER,
        password=PASSWORD,
        download_dir=str(tmp_path / "a file" / "below"),
    )
    id = await hand_over(plugin, held)
    async with asyncio.timeout(30):
        while (told := plugin.get_progress(id))["status"] != "failed":
            await asyncio.sleep(0.1)
    assert "Not a directory" in told["error"] and "rights to its folder" in told["error"]


async def test_what_transmission_refuses_is_said(plugin: Any, origin: Origin) -> None:
    origin.files["/odd.torrent"] = b"d4:infod6:lengthi1e4:name1:a12:piece lengthi16384e6:pieces0:ee"
    with pytest.raises(RuntimeError, match="refuses: invalid or corrupt torrent file"):
        await hand_over(plugin, f"{origin.url}/odd.torrent")
    with pytest.raises(ValueError, match="version 2 only"):
        await hand_over(plugin, f"magnet:?xt=urn:btmh:1220{'ab' * 32}")


async def test_who_refuses_or_cannot_be_reached_says_what_to_set(
    make: Make, daemon: daemons.Daemon, origin: Origin, tmp_path: Path
) -> None:
    wrong = make("download", "transmission_plugin", port=daemon.port, username=USER, password="wrong")
    await wrong.self_check()
    with pytest.raises(RuntimeError, match=r"refuses the user name or password; set username") as caught:
        wrong.get_downloads()
    assert "wrong" not in str(caught.value)
    nobody = make("download", "transmission_plugin", port=daemons.free_port())
    with pytest.raises(RuntimeError, match=r"cannot be reached at http://127\.0\.0\.1:\d+/transmission/rpc"):
        nobody.get_downloads()
    other = make("download", "transmission_plugin", host=origin.url)
    with pytest.raises(RuntimeError, match="is not Transmission"):
        other.get_downloads()
    picky = daemons.transmission(tmp_path / "picky", **{"rpc-whitelist": "192.0.2.1"}).start()
    try:
        with pytest.raises(RuntimeError, match="rpc-whitelist"):
            make("download", "transmission_plugin", port=picky.port).get_downloads()
    finally:
        picky.kill()


@pytest.mark.parametrize(
    ("config", "rpc_url", "web_url"),
    [
        ({}, "http://127.0.0.1:9091/transmission/rpc", "http://127.0.0.1:9091/transmission/web/"),
        ({"host": "nas", "port": "80"}, "http://nas:80/transmission/rpc", "http://nas:80/transmission/web/"),
        (
            {"host": "https://nas.example.org/transmission/web/"},
            "https://nas.example.org:443/transmission/rpc",
            "https://nas.example.org:443/transmission/web/",
        ),
        ({"host": "nas", "https": "true"}, "https://nas:9091/transmission/rpc", None),
        ({"host": "nas", "path": "/seeds/rpc"}, "http://nas:9091/seeds/rpc", "http://nas:9091/seeds/web/"),
    ],
)
def test_addresses_as_people_enter_them(
    make: Make, config: dict[str, Any], rpc_url: str, web_url: str | None
) -> None:
    plugin = make("download", "transmission_plugin", **config)
    assert plugin.rpc_url == rpc_url
    if web_url is not None:
        assert plugin.get_web_ui_url() == web_url
