"""The torrent parser against torrents of transmission-create and libtorrent, and what the programs say of them."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from plugins.shared.torrent_metainfo import Magnet, Torrent
from tests.unit.plugins import daemons
from tests.unit.plugins.swarm import Origin

Make = Callable[..., Any]
V1 = "08ada5a7a6183aae1e09d831df6748d566095a10"
SYSTEM_PYTHON = Path("/usr/bin/python3")


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture
def plugin(make: Make) -> Any:
    return make("parser", "torrent_plugin")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "电影 collection"
    (folder / "inner").mkdir(parents=True)
    (folder / "one.bin").write_bytes(b"1" * 100_000)
    (folder / "inner" / "空.txt").write_bytes(b"2" * 3)
    return folder


async def test_a_torrent_of_a_folder(plugin: Any, origin: Origin, folder: Path, tmp_path: Path) -> None:
    torrent = tmp_path / "folder.torrent"
    other = f"{origin.url}/other/announce"
    origin.files["/folder.torrent"] = daemons.make_torrent(
        folder,
        torrent,
        origin.tracker,
        "-t",
        other,
        "-p",
        "-c",
        "评论 a comment",
        web_seed=f"{origin.url}/seed/",
    )
    before = int(time.time())
    entries = await plugin.parse_url(f"{origin.url}/folder.torrent")
    assert [one["kind"] for one in entries] == ["torrent", "magnet"]
    file, magnet = entries
    assert file["url"] == f"{origin.url}/folder.torrent"
    assert magnet["url"] == file["magnet"] == magnet["magnet"]
    assert file["info_hash"] == file["info_hash_v1"] == daemons.shown_hash(torrent)
    assert file["info_hash_v2"] is None
    assert file["name"] == "电影 collection"
    assert (file["size"], file["piece_size"], file["file_count"]) == (100_003, 32 * 1024, 2)
    assert sorted(file["files"], key=lambda one: one["size"]) == [
        {"path": "电影 collection/inner/空.txt", "size": 3},
        {"path": "电影 collection/one.bin", "size": 100_000},
    ]
    assert file["trackers"] == [origin.tracker, other]
    assert file["web_seeds"] == [f"{origin.url}/seed/"]
    assert file["private"] is True
    assert file["comment"] == "评论 a comment"
    assert file["created_by"].startswith("Transmission/")
    created = time.strptime(file["created_at"], "%Y-%m-%dT%H:%M:%S+00:00")
    assert abs(before - (time.mktime(created) - time.timezone)) < 3600 * 24
    fields = parse_qs(urlsplit(magnet["url"]).query)
    assert fields["xt"] == [f"urn:btih:{file['info_hash']}"]
    assert (fields["dn"], fields["tr"]) == (["电影 collection"], [origin.tracker, other])
    # And the way back: the link says the same of it.
    [back] = await plugin.parse_url(magnet["url"])
    assert (back["name"], back["info_hash"], back["size"]) == (file["name"], file["info_hash"], file["size"])
    assert back["trackers"] == file["trackers"]
    json.dumps([entries, back])


async def test_aria2_and_transmission_tell_the_same_hash(
    plugin: Any, origin: Origin, folder: Path, tmp_path: Path
) -> None:
    torrent = tmp_path / "one.torrent"
    origin.files["/ONE.TORRENT"] = daemons.make_torrent(folder / "one.bin", torrent, origin.tracker)
    file, _ = await plugin.parse_url(f"{origin.url}/ONE.TORRENT?key=1")
    assert file["files"] == [{"path": "one.bin", "size": 100_000}]
    assert file["info_hash"] == daemons.shown_hash(torrent)
    aria2 = daemons.need("aria2c", "aria2")
    shown = subprocess.run(
        [aria2, "-S", str(torrent)], check=True, capture_output=True, text=True, timeout=20
    )
    found = re.search(r"Info Hash: ([0-9a-f]{40})", shown.stdout)
    assert found is not None
    assert file["info_hash"] == found[1]


@pytest.mark.parametrize("version", ["v1", "v2", "hybrid"])
def test_libtorrent_tells_the_same_of_both_versions(folder: Path, tmp_path: Path, version: str) -> None:
    script = """
import json, sys
import libtorrent as lt
storage = lt.file_storage()
lt.add_files(storage, sys.argv[1])
flags = {"v1": lt.create_torrent.v1_only, "v2": lt.create_torrent.v2_only, "hybrid": 0}[sys.argv[3]]
made = lt.create_torrent(storage, piece_size=32768, flags=flags)
lt.set_piece_hashes(made, sys.argv[4])
open(sys.argv[2], "wb").write(lt.bencode(made.generate()))
info = lt.torrent_info(sys.argv[2])
hashes, files = info.info_hashes(), info.files()
pad = lt.file_flags_t.flag_pad_file
own = [at for at in range(files.num_files()) if not files.file_flags(at) & pad]
listed = [(files.file_path(at), files.file_size(at)) for at in own]
print(json.dumps({
    "v1": str(hashes.v1) if hashes.has_v1() else "",
    "v2": str(hashes.v2) if hashes.has_v2() else "",
    "name": info.name(), "files": listed,
}))
"""
    if not SYSTEM_PYTHON.exists() or subprocess.run([SYSTEM_PYTHON, "-c", "import libtorrent"]).returncode:
        pytest.skip("libtorrent is not installed (Debian: python3-libtorrent)")
    target = tmp_path / "made.torrent"
    command = [str(SYSTEM_PYTHON), "-c", script, str(folder), str(target), version, str(tmp_path)]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout)
    torrent = Torrent.read(target.read_bytes())
    assert (torrent.info_hash, torrent.info_hash_v2) == (told["v1"], told["v2"])
    assert bool(told["v1"]) is (version != "v2") and bool(told["v2"]) is (version != "v1")
    assert torrent.name == told["name"]
    assert sorted((one["path"], one["size"]) for one in torrent.files) == sorted(map(tuple, told["files"]))
    assert torrent.size == 100_003
    assert Magnet.read(torrent.magnet).hashes == torrent.hashes


async def test_addresses_that_lead_to_a_magnet(plugin: Any, origin: Origin) -> None:
    magnet = f"magnet:?xt=urn:btih:{V1}&dn=Sintel&tr=udp%3A%2F%2Ftracker.example.org%3A1337"
    origin.redirects["/a.torrent"] = "/b"
    origin.redirects["/b"] = magnet
    [entry] = await plugin.parse_url(f"{origin.url}/a.torrent")
    assert entry["url"] == magnet
    assert (entry["name"], entry["info_hash"]) == ("Sintel", V1)
    assert entry["trackers"] == ["udp://tracker.example.org:1337"]


async def test_what_cannot_be_fetched_says_why(plugin: Any, origin: Origin, make: Make) -> None:
    origin.redirects["/file.torrent"] = "file:///etc/passwd"
    with pytest.raises(ValueError, match="not an http or https address"):
        await plugin.parse_url(f"{origin.url}/file.torrent")
    with pytest.raises(ValueError, match="not an http or https address"):
        await plugin.parse_url("file:///tmp/x.torrent")
    origin.redirects["/round.torrent"] = "/round.torrent"
    with pytest.raises(ConnectionError, match="more than 10 times"):
        await plugin.parse_url(f"{origin.url}/round.torrent")
    origin.statuses["/secret.torrent"] = 403
    with pytest.raises(ConnectionError, match="asks for a sign-in"):
        await plugin.parse_url(f"{origin.url}/secret.torrent")
    with pytest.raises(ConnectionError, match="cannot be fetched"):
        await plugin.parse_url(f"http://127.0.0.1:{daemons.free_port()}/x.torrent")
    origin.files["/large.torrent"] = b"d" + b" " * (10 * 1024 * 1024)
    with pytest.raises(ValueError, match="no torrent file"):
        await plugin.parse_url(f"{origin.url}/large.torrent")
    origin.files["/slow.torrent"] = b"d" * 1000
    origin.held["/slow.torrent"] = 10
    with pytest.raises(ConnectionError, match=r"did not answer within 0\.3 s"):
        await make("parser", "torrent_plugin", timeout_s="0.3").parse_url(f"{origin.url}/slow.torrent")


async def test_a_magnet_link_and_its_torrent_file(
    make: Make, plugin: Any, origin: Origin, folder: Path, tmp_path: Path
) -> None:
    torrent = tmp_path / "folder.torrent"
    content = daemons.make_torrent(folder, torrent, origin.tracker)
    info_hash = daemons.shown_hash(torrent)
    origin.files["/x.torrent"] = content
    origin.files[f"/cache/{info_hash.upper()}.torrent"] = content
    other = content.replace(b"one.bin", b"two.bin")
    origin.files["/other.torrent"] = other
    base32 = base64.b32encode(bytes.fromhex(info_hash)).decode()
    magnet = (
        f"magnet:?xt=urn:btih:{base32}&xs={origin.url}/x.torrent&as={origin.url}/missing.torrent"
        f"&xs={origin.url}/other.torrent&xs=urn:btpk:00"
    )
    caches = f"{origin.url}/cache/{{HASH}}.torrent\nfile:///etc/{{hash}}, {origin.url}/nothing"
    first, *rest = await make("parser", "torrent_plugin", caches=caches).parse_url(magnet)
    assert (first["kind"], first["url"], first["info_hash"]) == ("magnet", magnet, info_hash)
    assert first["magnet"].startswith(f"magnet:?xt=urn:btih:{info_hash}&")
    assert first["file_count"] == 2 and first["verified"] is True
    assert [(one["kind"], one["url"], one["verified"]) for one in rest] == [
        ("torrent", f"{origin.url}/x.torrent", True),
        ("torrent", f"{origin.url}/missing.torrent", False),
        ("torrent", f"{origin.url}/cache/{info_hash.upper()}.torrent", True),
    ]
    assert rest[0]["files"] == Torrent.read(content).files
    assert "404" in rest[1]["error"]
    # Without fetching, the addresses are only named.
    _, *named = await make("parser", "torrent_plugin", resolve=False).parse_url(magnet)
    assert [one["url"].rpartition("/")[2] for one in named] == [
        "x.torrent",
        "other.torrent",
        "missing.torrent",
    ]
    assert not any(one["verified"] for one in named)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"magnet:?xt=urn:btih:{V1}", True),
        (f"MAGNET:?xt=urn:btih:{V1}", True),
        ("https://a.example/b.torrent", True),
        ("HTTP://a.example/b.TORRENT?x=1#y", True),
        ("https://a.example/b.torrent.html", False),
        ("https://a.example/?f=b.torrent", False),
        ("ftp://a.example/b.torrent", False),
        ("http:///b.torrent", False),
        ("http://[/b.torrent", False),
        ("file:///b.torrent", False),
        ("magnet:", False),
        ("", False),
    ],
)
def test_what_it_can_parse(plugin: Any, url: str, expected: bool) -> None:
    assert plugin.can_parse(url) is expected
