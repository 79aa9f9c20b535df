"""Torrent files and magnet links as data, hostile ones among them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plugins.shared.torrent_metainfo import Magnet, MetainfoError, Torrent, bdecode, safe_name
from tests.unit.plugins.torrents import bencode, hybrid_torrent

V1 = "08ada5a7a6183aae1e09d831df6748d566095a10"
V2 = "caf1e1c30e81cb361b9ee167c4aa64228a7fa4fa9f6105232b28ad099f3a302e"


def test_a_hybrid_made_by_hand(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"x" * 100_000)
    made = hybrid_torrent(tmp_path / "a.bin", "http://127.0.0.1:1/announce")
    torrent = Torrent.read(made.content)
    assert (torrent.info_hash, torrent.info_hash_v2) == (made.v1, made.v2)
    assert torrent.files == [{"path": "a.bin", "size": 100_000}]
    assert torrent.magnet.startswith(f"magnet:?xt=urn:btih:{made.v1}&xt=urn:btmh:1220{made.v2}&dn=a.bin")


def test_a_magnet_link_with_all_parts() -> None:
    link = Magnet.read(
        f"magnet:?xt.1=urn:btih:{V1.upper()}&amp;xt.2=urn:btmh:1220{V2}&dn=A+B%2F..%2FC&xl=12&tr=http%3A%2F%2Fa%2F"
        "&tr.1=udp://b&tr=udp://b&ws=http://w/&xs=http://x/&as=http://y/&kt=words"
    )
    assert (link.info_hash, link.info_hash_v2, link.size) == (V1, V2, 12)
    assert link.name == "A B_.._C"
    assert link.trackers == ["http://a/", "udp://b"]
    assert (link.web_seeds, link.exact_sources) == (["http://w/"], ["http://x/", "http://y/"])
    assert Magnet.read(link.url) == link


@pytest.mark.parametrize(
    "url",
    [
        "magnet:?dn=nothing",
        "magnet:?xt=urn:sha1:YNCKHTQCWBTRNJIV4WNAE52SJUQCZO5C",
        f"magnet:?xt=urn:btih:{V1[:-1]}",
        f"magnet:?xt=urn:btih:{V1}0",
        f"magnet:?xt=urn:btmh:1114{V2}",
        "magnet:?" + "a=1&" * 2000,
        "http://a.example/",
    ],
)
def test_no_magnet_link_of_a_torrent(url: str) -> None:
    with pytest.raises(MetainfoError):
        Magnet.read(url)


def info(**more: Any) -> dict[Any, Any]:
    return {"name": "a", "piece length": 16384, "pieces": b"x" * 20, "length": 1, **more}


def torrent(data: Any = None, **more: Any) -> bytes:
    return bencode({"info": info() if data is None else data, **more})


def test_the_hash_is_of_the_bytes_as_they_stand() -> None:
    # Keys in another order than the rules have it, as some programs wrote them.
    raw = b"d4:name1:a6:lengthi1e6:pieces20:" + b"x" * 20 + b"12:piece lengthi16384ee"
    read = Torrent.read(b"d8:announce3:u:r4:info" + raw + b"e")
    assert read.info_hash == hashlib.sha1(raw).hexdigest()
    assert read.info_hash != hashlib.sha1(bencode(bdecode(raw))).hexdigest()
    assert read.trackers == ["u:r"]
    # A dictionary of that name elsewhere is not it.
    nested = bencode({"a": {"info": {"name": "other"}}, "info": info()})
    assert Torrent.read(nested).info_hash == Torrent.read(torrent()).info_hash


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "something else than a torrent"),
        (b"<!doctype html>", "a page"),
        (b"le", "something else than a torrent"),
        (b"de", "no info"),
        (b"d4:info4:teste", "no info"),
        (torrent()[:-1], "ends in the middle"),
        (torrent()[:40], "ends in the middle"),
        (torrent() + b"junk", "follows the end"),
        (b"d4:infod1:ai1e1:ai2eee", "stands twice"),
        (b"d4:infodee" + b"4:infodee", "follows the end"),
        (b"d1:a" + b"l" * 100_000, "levels deep"),
        (b"d1:a" + b"d1:a" * 100_000, "levels deep"),
        (b"d1:ai" + b"9" * 5000 + b"ee", "a number that is none"),
        (b"d1:ai-0ee", "a number that is none"),
        (b"d1:ai03ee", "a number that is none"),
        (b"d1:a99999999999999999999:xe", "not bencoded"),
        (b"d1:a4294967295:xe", "ends in the middle"),
        (b"d1:a-1:xe", "not bencoded"),
        (b"di1e1:ae", "not bencoded"),
        (torrent(info(length=-1)), "is no size"),
        (torrent(info(length=2**63)), "is no size"),
        (torrent(info(length=b"1")), "is no size"),
        (torrent(info(pieces=b"x")), "cut off"),
        (torrent({"name": "a", "piece length": 1}), "lists no files"),
        (torrent({"name": "a", "piece length": 1, "pieces": b"", "files": []}), "has no files"),
        (torrent({"name": "a", "piece length": 1, "pieces": b"", "files": [1]}), "list of files is none"),
        (torrent({"name": "a", "piece length": 1, "pieces": b"", "files": [{"length": 1}]}), "has no path"),
        (
            torrent({"name": "a", "piece length": 1, "pieces": b"", "files": [{"length": 1, "path": [1]}]}),
            "has no path",
        ),
        (
            torrent({"name": "a", "piece length": 1, "meta version": 2, "file tree": {"a": 1}}),
            "file tree is none",
        ),
    ],
)
def test_no_torrent_says_why(content: bytes, problem: str) -> None:
    with pytest.raises(MetainfoError, match=problem):
        Torrent.read(content)


def test_a_flood_of_values_ends() -> None:
    with pytest.raises(MetainfoError, match="more than 1,000,000 values"):
        Torrent.read(b"d1:al" + b"le" * 1_100_000 + b"ee")


def test_names_are_safe_and_in_their_charset() -> None:
    files = [
        {"length": 1, "path": ["..", "..", "etc", "passwd"]},
        {"length": 1, "path": ["a/b\\c", "", ".", "x\0\n\u202egpj.exe"]},
        {"length": 1, "path": ["电影".encode("gbk"), "\u7535.mkv"]},
        {"length": 1, "path": ["ignored"], "path.utf-8": ["used"]},
        {"length": 7, "path": [".pad", "7"], "attr": "p"},
    ]
    read = Torrent.read(
        torrent({"name": "../..", "piece length": 16384, "pieces": b"", "files": files}, encoding="GBK")
    )
    assert read.name == ".._.."
    assert [one["path"] for one in read.files] == [
        ".._../_/_/etc/passwd",
        ".._../a_b_c/_/_/x___gpj.exe",
        ".._../电影/电.mkv",
        ".._../used",
    ]
    assert read.size == 4
    for name in ("..", ".", "", " ", " .. "):
        assert safe_name(name) == "_"
    # A charset that is none, one that is no charset, and none at all.
    for charset in ("big5", "rot13", "zip", "\udcff".encode("utf-8", "surrogateescape"), 5):
        raw = torrent(info(name="電影".encode("big5")), encoding=charset)
        assert (Torrent.read(raw).name == "電影") is (charset == "big5")


def test_odd_values_beside_the_info_harm_nothing() -> None:
    read = Torrent.read(
        torrent(
            **{
                "announce": 5,
                "announce-list": [["http://a", 3], "http://b", [[["http://a"]]], {}],
                "url-list": "http://w",
                "creation date": 2**62,
                "comment": ["x"],
                "created by": b"\xff\xfe",
            }
        )
    )
    assert read.trackers == ["http://a", "http://b"]
    assert read.web_seeds == ["http://w"]
    assert (read.created_at, read.comment, read.private) == (None, None, False)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
@example(b"d4:infod")
def test_no_bytes_end_it_otherwise_than_it_says(data: bytes) -> None:
    for content in (data, b"d" + data, b"d4:infod" + data + b"ee"):
        try:
            Torrent.read(content)
        except MetainfoError:
            continue


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_changed_torrent_ends_it_otherwise_than_it_says(data: st.DataObject) -> None:
    content = bytearray(
        torrent(
            info(
                files=[{"length": 1, "path": ["a"]}],
                **{"meta version": 2, "file tree": {"a": {"": {"length": 1}}}},
            ),
            **{"creation date": 1, "announce-list": [["http://a"]]},
        )
    )
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(
            st.sampled_from(b"dlie0123456789:-a\xff")
        )
    try:
        read = Torrent.read(bytes(content))
    except MetainfoError:
        return
    assert not any(part in ("..", ".") for one in read.files for part in one["path"].split("/"))
    json.dumps(read.magnet)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=100))
def test_no_text_ends_a_magnet_otherwise_than_it_says(text: str) -> None:
    for url in (text, f"magnet:?{text}", f"magnet:?xt=urn:btih:{V1}&dn={text}&tr={text}&xl={text}"):
        try:
            Magnet.read(url).url.encode()
        except MetainfoError:
            continue
