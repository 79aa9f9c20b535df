"""Names that are safe in any folder, part files, and the final name: `plugins/shared/saved_files.py`."""

from __future__ import annotations

import errno
import multiprocessing
import os
import unicodedata
from email.message import Message
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.shared.saved_files import file_name_of, free_target, publish, safe_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("../../x", "x"),
        ("..", "download"),
        ("", "download"),
        (" . ", "download"),
        ("AC/DC", "AC_DC"),
        ("a\\b", "a_b"),
        (".bashrc", "bashrc"),
        ("a\x00b\nc:d.txt", "a_b_c_d.txt"),
        ("CON", "_CON"),
        ("nul.tar.gz", "_nul.tar.gz"),
        ("com1 .txt", "_com1.txt"),
        ("console.txt", "console.txt"),
        ("斗罗大陆 第1集.mkv", "斗罗大陆 第1集.mkv"),
        ("e\u0301", "\u00e9"),
        ("a\u202egpj.exe", "agpj.exe"),
        ("a\ud800b", "a_b"),
        ("字" * 300 + ".mp4", "字" * 65 + ".mp4"),
        ("x" * 300 + ".tar.gz", "x" * 193 + ".tar.gz"),
        ("name. ", "name"),
    ],
)
def test_a_name_is_made_safe(text: str, name: str) -> None:
    assert safe_name(text) == name


@given(st.text(alphabet=st.characters(), max_size=400))
def test_any_text_makes_a_safe_name(text: str) -> None:
    name = safe_name(text)
    assert safe_name(name) == name
    assert unicodedata.is_normalized("NFC", name)
    assert name and not name.startswith(".") and not name.endswith((".", " "))
    assert not set(name) & set('/\\<>:"|?*\0\n')
    assert len(f"{name} (9999).part".encode()) <= 255


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="../../e vil.bin"', "e vil.bin"),
        ('attachment; filename="..\\\\..\\\\boot.ini"', "boot.ini"),
        ('attachment; filename="C:\\dir\\f.txt"', "f.txt"),
        ("attachment; filename*=UTF-8''%E7%94%B5%E5%BD%B1.mkv", "电影.mkv"),
        ("attachment; filename=\"x.txt\"; FileName*=gbk'zh'%B5%E7%D3%B0.mkv", "电影.mkv"),
        ("attachment; filename=\"x.txt\"; filename*=nonsense''%B5%E7%D3%B0.mkv", "电影.mkv"),
        ("attachment; filename*=broken; filename=x.txt", "x.txt"),
        ('attachment; filename="' + "电影.mkv".encode().decode("latin-1") + '"', "电影.mkv"),
        ("attachment; filename=" + "电影.mkv".encode("gbk").decode("latin-1"), "电影.mkv"),
        (
            'attachment; filename="' + "电影.mkv".encode("gbk").decode(errors="surrogateescape") + '"',
            "电影.mkv",
        ),
        ('attachment; filename="電影.mkv"', "電影.mkv"),
        ("attachment; filename=%E7%94%B5%E5%BD%B1.mkv", "电影.mkv"),
        ('attachment; filename="100%25.txt"', "100%25.txt"),
        ('attachment; filename="=?UTF-8?B?55S15b2xLm1rdg==?="', "电影.mkv"),
        ("attachment; filename=Häuser für.txt", "Häuser für.txt"),
        ("attachment;filename=my file.txt; size=3", "my file.txt"),
        ('attachment; filename="a=b; filename=c.txt"', "a=b; filename=c.txt"),
        ('attachment; filename="say \\"hi\\".txt"', "say _hi_.txt"),
        ('attachment; filename="unclosed', "unclosed"),
        ('attachment; filename=".."', "d.mp4"),
        ("inline", "d.mp4"),
        ("", "d.mp4"),
    ],
)
def test_a_name_comes_from_the_headers(disposition: str, name: str) -> None:
    headers = {"Content-Disposition": disposition} if disposition else {}
    assert file_name_of(headers, "https://a.b/c/d.mp4?x=1") == name


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.b/c/", "c"),
        ("https://a.b/", "download"),
        ("https://a.b/..", "download"),
        ("https://[bad/x", "download"),
        ("https://a.b/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "passwd"),
        ("https://a.b/%B5%E7%D3%B0.mkv", "电影.mkv"),
        ("https://a.b/%E7%94%B5%E5%BD%B1.mkv", "电影.mkv"),
    ],
)
def test_else_from_the_address(url: str, name: str) -> None:
    assert file_name_of(Message(), url) == name


def test_a_taken_name_gets_a_number_whoever_has_it(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    assert free_target(folder, "a.tar.gz") == (folder / "a.tar.gz", folder / "a.tar.gz.part")
    assert free_target(folder, "a.tar.gz")[0].name == "a (2).tar.gz"
    (folder / "b").mkdir()
    assert free_target(folder, "b")[0].name == "b (2)"
    (folder / "c.part").symlink_to(tmp_path / "elsewhere")
    assert free_target(folder, "c")[0].name == "c (2)"
    (folder / "d").symlink_to(tmp_path / "elsewhere")
    assert free_target(folder, "d")[0].name == "d (2)"
    assert free_target(folder, "../../e")[0] == folder / "e"
    assert not (tmp_path / "elsewhere").exists()


def _take(folder: Path, count: int) -> list[str]:
    made = []
    for _ in range(count):
        target, part = free_target(folder, "x.bin")
        part.write_text(target.name)
        made.append(publish(part, target).name)
    return made


def test_two_processes_never_take_one_name(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        names = [name for names in pool.starmap(_take, [(tmp_path, 40)] * 2) for name in names]
    assert len(set(names)) == 80
    assert {path.name for path in tmp_path.iterdir()} == set(names)


@pytest.mark.parametrize("links", [True, False])
def test_publishing_overwrites_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def refuse(*arguments: object, **more: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    target, part = free_target(tmp_path, "x.bin")
    part.write_bytes(b"new")
    target.write_bytes(b"old")
    (tmp_path / "x (2).bin").symlink_to("nowhere")
    assert publish(part, target) == tmp_path / "x (3).bin"
    assert target.read_bytes() == b"old"
    assert (tmp_path / "x (3).bin").read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x (2).bin", "x (3).bin", "x.bin"]


def test_publishing_goes_on_where_the_process_was_killed(tmp_path: Path) -> None:
    target, part = free_target(tmp_path, "x")
    os.link(part, target)
    assert publish(part, target) == target
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_failure_leaves_the_part_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    target, part = free_target(tmp_path, "x")
    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(OSError, match="full"):
        publish(part, target)
    assert [path.name for path in tmp_path.iterdir()] == ["x.part"]
