from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Make = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "library"
    for number, name in enumerate(
        ["Big Buck Bunny.mkv", "talks/Bunny talk.mp4", "talks/其他.mp4", ".hidden/bunny.txt"]
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 1536)
        os.utime(path, (1_000_000 + number, 1_000_000 + number))
    return folder


async def test_the_first_start_has_something_to_find(make: Make) -> None:
    plugin = make("search", "files_plugin")
    await plugin.start()
    [result] = plugin.search("plugbay")
    assert result.title == "Welcome to Plugbay.txt"
    assert Path(result.metadata["path"]).is_file()


async def test_a_folder_that_was_cleared_stays_so(make: Make) -> None:
    plugin = make("search", "files_plugin")
    await plugin.start()
    (plugin.folder / "Welcome to Plugbay.txt").unlink()
    await plugin.start()
    assert plugin.search("") == []


def test_every_word_counts_and_the_newest_comes_first(make: Make, folder: Path) -> None:
    plugin = make("search", "files_plugin", folder=str(folder))
    assert [one.title for one in plugin.search("BUNNY")] == ["Bunny talk.mp4", "Big Buck Bunny.mkv"]
    assert [one.title for one in plugin.search("bunny talks")] == ["Bunny talk.mp4"]
    assert [one.title for one in plugin.search("其他")] == ["其他.mp4"]
    assert plugin.search("nothing") == []


def test_results_say_size_and_place(make: Make, folder: Path) -> None:
    [result] = make("search", "files_plugin", folder=str(folder)).search("buck")
    assert result.description.startswith("1.5 KiB · 1970-01-12")
    assert result.url == (folder / "Big Buck Bunny.mkv").as_uri()
    assert result.metadata["size"] == 1536


def test_hidden_files_and_the_limit(make: Make, folder: Path) -> None:
    plugin = make("search", "files_plugin", folder=str(folder), hidden=True, limit=2)
    assert [one.title for one in plugin.search("bunny")] == ["bunny.txt", "Bunny talk.mp4"]


def test_a_link_out_of_the_folder_is_not_followed(make: Make, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "bunny secret.txt").write_text("")
    (folder / "link").symlink_to(tmp_path / "outside")
    assert make("search", "files_plugin", folder=str(folder)).search("secret") == []


async def test_one_file_by_its_address_and_none_outside(make: Make, folder: Path, tmp_path: Path) -> None:
    plugin = make("search", "files_plugin", folder=str(folder))
    [found] = plugin.search("其他")
    assert (await plugin.get_video_info(found.url)).title == "其他.mp4"
    (tmp_path / "private").write_text("")
    for url in ((tmp_path / "private").as_uri(), f"{folder.as_uri()}/../private", "https://example.org/x"):
        with pytest.raises(ValueError, match="not a file below"):
            await plugin.get_video_info(url)


def test_a_missing_folder_is_named(make: Make) -> None:
    with pytest.raises(FileNotFoundError, match="/no/such/folder"):
        make("search", "files_plugin", folder="/no/such/folder").search("x")
