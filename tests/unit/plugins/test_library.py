from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from plugins.search.library_plugin import keeper as library_keeper
from plugins.search.library_plugin import watch as library_watch
from plugins.search.library_plugin.content import decode, text_of
from plugins.search.library_plugin.query import Reader
from plugins.search.library_plugin.store import Place, Store
from plugins.search.library_plugin.tree import Tree
from plugins.shared.keyword_query import Query, fold, tokens

Make = Callable[..., Any]
EPISODE = "[字幕组] 斗罗大陆 第01集 1080p.mp4"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "library"
    for number, name in enumerate(
        ["Big Buck Bunny.mkv", "talks/Bunny talk.mp4", "talks/其他.mp4", ".hidden/bunny.txt"]
    ):
        write(folder / name, "x" * 1536, at=1_000_000 + number)
    return folder


def write(path: Path, content: str | bytes = "", *, at: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    if at is not None:
        os.utime(path, (at, at))
    return path


@pytest.fixture
async def start(make: Make) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Starts the plugin, as often as it is asked for: all share their data, as two generations do."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(*folders: Path, **config: Any) -> Any:
            if folders:
                config["folders"] = [{"path": str(folder)} for folder in folders]
            return await stack.enter_async_context(running(make("search", "library_plugin", **config)))

    yield start


@asynccontextmanager
async def running(plugin: Any) -> AsyncIterator[Any]:
    await plugin.start()
    try:
        yield plugin
    finally:
        await plugin.stop()


async def titles(plugin: Any, keyword: str, **kwargs: Any) -> list[str]:
    return [result.title for result in await plugin.search(keyword, **kwargs)]


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


# -- what is found ---------------------------------------------------------------------------------------------------


async def test_every_word_counts_and_the_newest_comes_first(start: Any, folder: Path) -> None:
    plugin = await start(folder)
    assert await titles(plugin, "BUNNY") == ["Bunny talk.mp4", "Big Buck Bunny.mkv"]
    assert await titles(plugin, "bunny talks") == ["Bunny talk.mp4"]
    assert await titles(plugin, "其他") == ["其他.mp4"]
    assert await titles(plugin, "unny uck") == ["Big Buck Bunny.mkv"]
    assert await titles(plugin, "nothing") == []
    assert await titles(plugin, "") == ["其他.mp4", "Bunny talk.mp4", "Big Buck Bunny.mkv"]


@pytest.mark.parametrize(
    "keyword",
    "斗罗大陆 斗罗 大陆 罗大 陆 斗罗大陆第01集 第1集 １０８０Ｐ 1080 字幕组 斗罗+mp4 大陆+第1集 MP4 [字幕组]".split(),
)
async def test_chinese_is_found_by_any_part_of_it(start: Any, tmp_path: Path, keyword: str) -> None:
    write(tmp_path / "shows" / EPISODE)
    write(tmp_path / "shows" / "罗斗 电影.txt")
    plugin = await start(tmp_path / "shows")
    assert await titles(plugin, keyword.replace("+", " ")) == [EPISODE]


async def test_one_spelling_is_as_good_as_another(start: Any, tmp_path: Path) -> None:
    names = ["Ｆｕｌｌ Ｗｉｄｔｈ.txt", "Beyonce\u0301 Straße.mp3", "ｶﾀｶﾅ.txt", "show.S01E02.mkv", "😀.png"]
    for name in names:
        write(tmp_path / "f" / name)
    plugin = await start(tmp_path / "f")
    for keyword, name in zip(["full width", "beyoncé STRASSE", "カタカナ", "e02", "😀"], names, strict=True):
        assert await titles(plugin, keyword) == [name]


async def test_phrases_and_words_that_must_not_occur(start: Any, folder: Path) -> None:
    plugin = await start(folder)
    assert await titles(plugin, '"buck bunny"') == ["Big Buck Bunny.mkv"]
    assert await titles(plugin, "“bunny buck”") == []
    assert await titles(plugin, "bunny -talk") == ["Big Buck Bunny.mkv"]
    assert await titles(plugin, 'bunny -"buck bunny"') == ["Bunny talk.mp4"]
    assert await titles(plugin, "-bunny") == ["其他.mp4"]
    assert await titles(plugin, "big - bunny") == ["Big Buck Bunny.mkv"]


@pytest.mark.parametrize(
    "keyword",
    ['"', "'", "a AND", "OR", "NEAR(", "name:", "*", "^a", "(", "-", '--"', "a*b", "{name}:x", "\0", ";", "\\",
     "\ud800", "a" * 5000, '" " "', "+", "col : x", "x" + " y" * 500, "%", "_", "NOT NOT", "--", "。"],
)  # fmt: skip
async def test_whatever_is_typed_is_a_query(start: Any, folder: Path, keyword: str) -> None:
    plugin = await start(folder)
    assert isinstance(await titles(plugin, keyword), list)


async def test_names_come_before_folders_and_those_before_texts(start: Any, tmp_path: Path) -> None:
    write(tmp_path / "f" / "text.txt", "penguin " * 500, at=3_000_000)
    write(tmp_path / "f" / "penguin" / "other.mkv", at=2_000_000)
    write(tmp_path / "f" / "a long name with a penguin in it.mkv", at=1_000_000)
    plugin = await start(tmp_path / "f")
    found = await plugin.search("penguin")
    assert [one.title for one in found] == ["a long name with a penguin in it.mkv", "other.mkv", "text.txt"]
    assert "penguin penguin" in found[2].metadata["snippet"]
    assert "snippet" not in found[0].metadata


async def test_many_that_are_equal_are_given_newest_first(
    start: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("plugins.search.library_plugin.query._RANKED_MAX", 10)
    for number in range(40):
        write(tmp_path / "f" / f"item {number}.bin", at=1_000_000 + number)
    plugin = await start(tmp_path / "f", limit="3")
    assert await titles(plugin, "item") == ["item 39.bin", "item 38.bin", "item 37.bin"]
    assert await titles(plugin, "item", limit=1) == ["item 39.bin"]


async def test_results_say_size_and_place(start: Any, folder: Path) -> None:
    [result] = await (await start(folder)).search("buck")
    assert result.description.startswith("1.5 KiB · 1970-01-12")
    assert result.url == (folder / "Big Buck Bunny.mkv").as_uri()
    assert result.platform == "library"
    assert result.metadata == {
        "path": str(folder / "Big Buck Bunny.mkv"),
        "size": 1536,
        "modified": 1_000_000,
    }


async def test_a_name_that_is_no_utf8_is_found_and_reached(start: Any, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "f") + b"/" + "旧文件.txt".encode("gb18030")
    (tmp_path / "f").mkdir()
    with open(path, "wb"):
        pass
    plugin = await start(tmp_path / "f")
    [result] = await plugin.search("旧文件")
    assert result.title == "旧文件.txt"
    assert (await plugin.get_video_info(result.url)).title == "旧文件.txt"


# -- texts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "keyword"),
    [
        ("a.txt", "我们在唐门".encode(), "唐门"),
        ("a.txt", "我们在唐门".encode("gb18030"), "唐门"),
        ("a.txt", "我们在唐门 tea".encode("utf-16"), "唐门"),
        ("a.md", "plain tea words".encode("utf-16-be"), "tea words"),
        ("a.nfo", "\ufeff唐门".encode(), "唐门"),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\n<i>欢迎来到</i>唐门\n".encode(), "唐门"),
        (
            "a.ass",
            "[Events]\nDialogue: 0,0:00:01.00,0:00:02.00,Main,,0,0,0,,{\\an8}欢迎, 唐门".encode(),
            '"欢迎唐门"',
        ),
        ("a.json", b'{"title": "\\u5510\\u95e8"}', "唐门"),
        ("a.html", "<title>唐&#x95e8;</title><script>var x</script>".encode(), "唐门"),
    ],
)
async def test_texts_are_read_in_their_encoding(
    start: Any, tmp_path: Path, name: str, content: bytes, keyword: str
) -> None:
    write(tmp_path / "f" / name, content)
    assert await titles(await start(tmp_path / "f"), keyword) == [name]


async def test_a_book_is_found_by_its_title_and_a_broken_one_costs_nothing(
    start: Any, tmp_path: Path
) -> None:
    (tmp_path / "f").mkdir()
    with zipfile.ZipFile(tmp_path / "f" / "book.epub", "w") as book:
        book.writestr("META-INF/container.xml", '<rootfile full-path="c.opf"/>')
        book.writestr("c.opf", "<dc:title>三体 &amp; more</dc:title><dc:creator id='x'>刘慈欣</dc:creator>")
    write(tmp_path / "f" / "broken.epub", b"PK\3\4 no book")
    plugin = await start(tmp_path / "f")
    assert await titles(plugin, "三体 刘慈欣") == ["book.epub"]
    assert await titles(plugin, "broken") == ["broken.epub"]


async def test_only_the_beginning_of_a_text_is_read_and_none_where_so_configured(
    start: Any, tmp_path: Path
) -> None:
    write(tmp_path / "f" / "long.txt", "early " + "x " * 2000 + "late")
    plugin = await start(tmp_path / "f", text_kib="1")
    assert (await titles(plugin, "early"), await titles(plugin, "late")) == (["long.txt"], [])


def test_what_is_no_text_is_not_read(tmp_path: Path) -> None:
    assert decode(b"\x00\x01\x02\x00\x00\x00\xff" * 100) == ""
    assert text_of(os.fsencode(write(tmp_path / "a.mkv", "words")), 1000) == ""
    os.mkfifo(tmp_path / "pipe.txt")
    assert text_of(os.fsencode(tmp_path / "pipe.txt"), 1000) == ""


# -- what belongs to it ----------------------------------------------------------------------------------------------


async def test_hidden_files_and_the_limit(start: Any, folder: Path) -> None:
    plugin = await start(folder, hidden=True, limit=2)
    assert await titles(plugin, "bunny") == ["bunny.txt", "Bunny talk.mp4"]
    shy = await start(folder, hidden="false")
    assert await titles(shy, "bunny") == ["Bunny talk.mp4", "Big Buck Bunny.mkv"]


async def test_what_is_still_downloaded_is_not_listed(start: Any, tmp_path: Path) -> None:
    f = tmp_path / "f"
    for name in ("film a.mkv.part", ".film b.mkv", "film c.mkv.crdownload", "film d.mkv", "film d.mkv.aria2"):
        write(f / name)
    write(f / "film e.part" / "1.ts")
    plugin = await start(f)
    assert await titles(plugin, "") == []
    (f / "film a.mkv.part").rename(f / "film a.mkv")
    (f / "film d.mkv.aria2").unlink()
    assert sorted(await titles(plugin, "film")) == ["film a.mkv", "film d.mkv"]


async def test_links_are_followed_only_to_files_of_the_same_folders(
    start: Any, folder: Path, tmp_path: Path
) -> None:
    write(tmp_path / "outside" / "bunny secret.txt")
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "secret bunny.txt").symlink_to(tmp_path / "outside" / "bunny secret.txt")
    (folder / "loop").symlink_to(folder)
    (folder / "self").symlink_to(folder / "self")
    (folder / "alias.mkv").symlink_to(folder / "Big Buck Bunny.mkv")
    os.mkfifo(folder / "bunny pipe")
    plugin = await start(folder)
    assert await titles(plugin, "secret") == []
    assert await titles(plugin, "pipe") == []
    assert await titles(plugin, "alias") == ["alias.mkv"]
    assert len(await titles(plugin, "bunny")) == 2


async def test_a_chosen_folder_may_be_a_link_and_one_may_lie_in_another(
    start: Any, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "chosen").symlink_to(folder)
    plugin = await start(tmp_path / "chosen", folder / "talks")
    [result] = await plugin.search("talk.mp4")
    assert result.url == (tmp_path / "chosen" / "talks" / "Bunny talk.mp4").as_uri()
    write(folder / "talks" / "new.mp4")
    assert await titles(plugin, "new") == ["new.mp4"]


async def test_the_index_is_no_part_of_the_library(start: Any, tmp_path: Path) -> None:
    plugin = await start(tmp_path)
    assert await titles(plugin, "sqlite3") == []
    assert Place(plugin.data_dir / "index").file.is_file()


async def test_another_configuration_lists_only_its_own_folders(
    start: Any, folder: Path, tmp_path: Path
) -> None:
    assert await titles(await start(folder), "talk.mp4") == ["Bunny talk.mp4"]
    write(tmp_path / "other" / "bunny 2.mkv")
    for config in ({"folder": str(tmp_path / "other")}, {"folders": str(tmp_path / "other")}):
        assert await titles(await start(**config), "bunny") == ["bunny 2.mkv"]


async def test_what_no_longer_belongs_to_it_leaves_the_index(
    start: Any, folder: Path, tmp_path: Path
) -> None:
    old = await start(folder)
    assert len(await titles(old, "bunny")) == 2
    await old.stop()
    new = await start()
    assert await titles(new, "bunny") == []

    async def is_empty() -> bool:
        with contextlib.closing(sqlite3.connect(Place(new.data_dir / "index").file)) as connection:
            return connection.execute("SELECT * FROM files").fetchall() == []

    await eventually(is_empty)


async def test_a_folder_that_may_not_be_read_costs_only_itself(
    start: Any, folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "talks").chmod(0)
    if os.geteuid() == 0:  # who may read everything
        scandir = os.scandir

        def refusing(path: Any) -> Any:
            if os.fsencode(path) == os.fsencode(folder / "talks"):
                raise PermissionError(13, "Permission denied")
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refusing)
    try:
        plugin = await start(folder)
        for _ in range(3):
            assert await titles(plugin, "bunny") == ["Big Buck Bunny.mkv"]
        assert caplog.text.count("talks cannot be read: Permission denied") == 1
    finally:
        (folder / "talks").chmod(0o700)


async def test_a_missing_folder_is_named_and_found_when_it_appears(start: Any, tmp_path: Path) -> None:
    plugin = await start(tmp_path / "later")
    with pytest.raises(FileNotFoundError, match="later is no folder"):
        await plugin.search("x")
    write(tmp_path / "downloads" / "x.txt")
    assert await titles(plugin, "x") == ["x.txt"]
    write(tmp_path / "later" / "deep" / "y.txt")
    assert await titles(plugin, "y.txt") == ["y.txt"]


async def test_one_file_by_its_address_and_none_outside(start: Any, folder: Path, tmp_path: Path) -> None:
    plugin = await start(folder)
    [found] = await plugin.search("其他")
    assert (await plugin.get_video_info(found.url)).title == "其他.mp4"
    private = write(tmp_path / "private")
    (folder / "way out").symlink_to(private)
    outside = [private.as_uri(), f"{folder.as_uri()}/../private", (folder / "way out").as_uri()]
    for url in (*outside, folder.as_uri(), "https://example.org/x", "file:///%00", "file://other/x", "x", ""):
        with pytest.raises(ValueError, match="not a file below"):
            await plugin.get_video_info(url)


# -- what changes ----------------------------------------------------------------------------------------------------


async def test_from_nothing_to_a_downloaded_file(start: Any, tmp_path: Path) -> None:
    plugin = await start()
    assert await titles(plugin, "斗罗") == []
    part = write(tmp_path / "downloads" / f"{EPISODE}.part", "x")
    assert await titles(plugin, "斗罗") == []
    part.rename(tmp_path / "downloads" / EPISODE)
    assert await titles(plugin, "斗罗") == [EPISODE]


async def test_every_change_is_there_at_the_next_search(start: Any, folder: Path, tmp_path: Path) -> None:
    plugin = await start(folder)
    for number in range(30):
        write(folder / "talks" / f"fresh {number}.mp4")
        assert await titles(plugin, f"fresh {number}") == [f"fresh {number}.mp4"]
    (folder / "talks" / "fresh 1.mp4").rename(folder / "renamed.mp4")
    assert await titles(plugin, '"fresh 1"') == []
    assert await titles(plugin, "renamed") == ["renamed.mp4"]
    (folder / "talks").rename(folder / "speeches")
    assert await titles(plugin, "talks") == []
    assert len(await titles(plugin, "speeches fresh")) == 29
    (folder / "speeches").rename(tmp_path / "away")
    assert await titles(plugin, "fresh") == []
    (tmp_path / "away").rename(folder / "back")
    assert len(await titles(plugin, "back fresh")) == 29
    for path in (folder / "back").iterdir():
        path.unlink()
    (folder / "back").rmdir()
    assert await titles(plugin, "back") == []


async def test_a_changed_text_is_read_again(start: Any, folder: Path) -> None:
    note = write(folder / "note.txt", "first words")
    plugin = await start(folder)
    assert await titles(plugin, "first") == ["note.txt"]
    note.write_text("second words, longer")
    await eventually(lambda: found(plugin, "second", ["note.txt"]))
    assert await titles(plugin, "first") == []


async def found(plugin: Any, keyword: str, expected: list[str]) -> bool:
    return await titles(plugin, keyword) == expected


async def test_events_alone_keep_it_up_to_date(start: Any, folder: Path) -> None:
    plugin = await start(folder)
    await plugin.search("")
    database = Place(plugin.data_dir / "index").file

    def indexed(name: str) -> int:
        with contextlib.closing(sqlite3.connect(database)) as connection:
            [(count,)] = connection.execute(
                "SELECT count(*) FROM files WHERE name = ?", (name.encode(),)
            ).fetchall()
        return int(count)

    async def is_there() -> bool:
        return indexed("quiet.mp4") == 1

    async def is_gone() -> bool:
        return indexed("quiet.mp4") == 0

    await eventually(lambda: answer(plugin.keeper._scan is None))
    path = write(folder / "new" / "deep" / "quiet.mp4")
    await eventually(is_there)
    path.unlink()
    await eventually(is_gone)


async def answer(value: bool) -> bool:
    return value


async def test_a_folder_deleted_and_made_again_is_watched_again(start: Any, tmp_path: Path) -> None:
    write(tmp_path / "f" / "one.mkv")
    plugin = await start(tmp_path / "f")
    assert await titles(plugin, "one") == ["one.mkv"]
    (tmp_path / "f" / "one.mkv").unlink()
    (tmp_path / "f").rmdir()
    write(tmp_path / "f" / "two.mkv")
    assert await titles(plugin, "") == ["two.mkv"]
    write(tmp_path / "f" / "text.txt", "first")
    assert await titles(plugin, "first") == ["text.txt"]


async def test_without_a_watcher_scans_do(
    start: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_space(*_args: Any, **_options: Any) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(library_watch.BaseObserver, "schedule", no_space)
    monkeypatch.setattr(library_keeper, "_SCAN_UNWATCHED_S", 0.1)
    note = write(folder / "note.txt", "first")
    plugin = await start(folder)
    assert await titles(plugin, "first") == ["note.txt"]
    assert caplog.text.count("cannot all be watched") == 1
    write(folder / "talks" / "late.mp4")
    assert await titles(plugin, "late") == ["late.mp4"]
    note.write_text("second, longer")
    await eventually(lambda: found(plugin, "second", ["note.txt"]))


def test_a_limit_that_is_reached_below_the_chosen_folder_is_noticed(tmp_path: Path) -> None:
    """The kernel limits watches for each user namespace, so this needs nobody's machine to be changed."""
    for number in range(12):
        (tmp_path / f"folder {number}").mkdir()
    script = (
        "import logging, os, sys\n"
        "from plugins.search.library_plugin.tree import Root\n"
        "from plugins.search.library_plugin.watch import Watch\n"
        "logging.basicConfig(stream=sys.stdout)\n"
        "path = os.fsencode(sys.argv[1])\n"
        "watch = Watch(lambda path, is_folder: None, logging.getLogger())\n"
        "watch.follow([Root(path, path)])\n"
        "print('whole', watch.is_whole(13))\n"
        "watch.close()\n"
    )
    limited = 'echo 5 > /proc/sys/user/max_inotify_watches && exec "$0" -c "$1" "$2"'
    command = [
        "unshare",
        "--user",
        "--map-root-user",
        "sh",
        "-c",
        limited,
        sys.executable,
        script,
        str(tmp_path),
    ]
    root = Path(__file__).parents[3]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=root, check=False)
    except FileNotFoundError:
        pytest.skip("there is no unshare (util-linux)")
    if done.returncode and "whole" not in done.stdout:
        pytest.skip(f"no user namespace to be had: {done.stderr.strip()[-200:]}")
    assert "whole False" in done.stdout
    assert "only 5 of 13 folders" in done.stdout


# -- the index itself ------------------------------------------------------------------------------------------------


async def test_the_index_is_kept_from_one_generation_to_the_next(make: Make, folder: Path) -> None:
    config = {"folders": [{"path": str(folder)}]}
    async with running(make("search", "library_plugin", **config)) as plugin:
        assert await titles(plugin, "buck") == ["Big Buck Bunny.mkv"]
    (folder / "Big Buck Bunny.mkv").unlink()
    write(folder / "while away.mkv")
    async with running(make("search", "library_plugin", **config)) as plugin:
        assert await titles(plugin, "buck") == []
        assert await titles(plugin, "while away") == ["while away.mkv"]


async def test_two_generations_share_the_index(start: Any, folder: Path) -> None:
    old, new = await start(folder), await start(folder)
    for number in range(20):
        write(folder / f"both {number}.txt", f"content{number}")
        both = await asyncio.gather(
            titles(old, f"both content{number}"), titles(new, f"both content{number}")
        )
        assert both == [[f"both {number}.txt"]] * 2
    await old.stop()
    write(folder / "later.txt")
    assert await titles(new, "later") == ["later.txt"]


@pytest.mark.parametrize(
    "late",
    ["while it is taken in", "after its folder was listed", "after its folder was missed", "before pruning"],
)
def test_a_look_that_is_out_of_date_takes_nothing_from_another_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: str
) -> None:
    """One generation looks, then another takes a file in and says so, and only then does the first write."""
    library, place = tmp_path / "f", Place(tmp_path / "index")
    path, log = library / "deep" / "note.txt", logging.getLogger("library_plugin")
    library.mkdir()
    trees = [Tree([library], hidden=False, passed_over=place.folder) for _ in range(2)]
    old, new = (library_keeper.Keeper(place, tree, text_max_bytes=1024, log=log) for tree in trees)
    folder, root = os.fsencode(path.parent), trees[0].roots[0]

    def take_in() -> None:
        if not path.exists():
            write(path, "content")
        new._look_into(new_store, folder, root)
        new._read_texts(new_store)
        assert hits() == [os.fsencode(path)]

    def hits() -> list[bytes]:
        with reader.hits(Query.parse("note content"), 10) as found:
            return [hit.path for hit in found]

    def take_in_after(owner: Any, name: str) -> None:
        method = getattr(owner, name)

        def late(*args: Any, **options: Any) -> Any:
            monkeypatch.undo()
            result = method(*args, **options)
            take_in()
            return result

        monkeypatch.setattr(owner, name, late)

    def take_in_before(owner: Any, name: str) -> None:
        method = getattr(owner, name)

        def late(*args: Any, **options: Any) -> Any:
            monkeypatch.undo()
            take_in()
            return method(*args, **options)

        monkeypatch.setattr(owner, name, late)

    with (
        contextlib.closing(Store(place)) as old_store,
        contextlib.closing(Store(place)) as new_store,
        contextlib.closing(Reader(place)) as reader,
    ):
        if late == "while it is taken in":
            write(path, "content")
            take_in_after(old_store, "known")
        elif late == "after its folder was listed":
            path.parent.mkdir()
            take_in_after(trees[0], "list")
        elif late == "after its folder was missed":
            take_in_before(old_store, "remove_below")
        else:
            take_in_before(old_store, "folders")
        if late == "before pruning":
            assert list(old._prune(old_store)) == [None]
        else:
            old._look_into(old_store, folder, root)
        assert hits() == [os.fsencode(path)]
        assert new_store.count_unread(1) == 0
        path.unlink()
        old._look_into(old_store, folder, root)
        assert hits() == []


@pytest.mark.parametrize(
    "damage", ["garbage", "empty", "cut", "holes", "folder", "other tables", "other version"]
)
async def test_a_damaged_index_is_made_anew(
    make: Make, folder: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(300):
        write(folder / f"number {number}.txt", f"text {number} " * 20)
    config = {"folders": [{"path": str(folder)}], "limit": 1000}
    async with running(make("search", "library_plugin", **config)) as plugin:
        await eventually(lambda: has(plugin, "text", 300))
    file = Place(plugin.data_dir / "index").file
    size = file.stat().st_size
    if damage == "garbage":
        file.write_bytes(os.urandom(size))
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "cut":
        os.truncate(file, size // 2)
    elif damage == "holes":
        with file.open("r+b") as data:
            for start in range(8192, size, 16384):
                data.seek(start)
                data.write(os.urandom(4096))
    elif damage == "folder":
        file.unlink()
        write(file / "x")
    else:
        with contextlib.closing(sqlite3.connect(file)) as connection:
            statement = "DROP TABLE files" if damage == "other tables" else "PRAGMA user_version = 99"
            connection.execute(statement)
    async with running(make("search", "library_plugin", **config)) as plugin:
        await eventually(lambda: has(plugin, "text", 300))
        assert await titles(plugin, "buck") == ["Big Buck Bunny.mkv"]


async def has(plugin: Any, keyword: str, count: int) -> bool:
    return len(await titles(plugin, keyword)) == count


@pytest.mark.parametrize("how", ["damaged", "deleted"])
async def test_an_index_that_breaks_while_it_is_used_is_made_anew(start: Any, folder: Path, how: str) -> None:
    plugin = await start(folder)
    assert await titles(plugin, "buck") == ["Big Buck Bunny.mkv"]
    file = Place(plugin.data_dir / "index").file
    if how == "deleted":
        for path in file.parent.iterdir():
            path.unlink()
    else:
        plugin.reader.close()
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute("DELETE FROM words_data")
            connection.commit()
    assert await titles(plugin, "buck") == ["Big Buck Bunny.mkv"]
    write(folder / "after.mkv")
    assert await titles(plugin, "after") == ["after.mkv"]


async def test_a_disk_that_takes_no_index_is_reported(make: Make, folder: Path, tmp_path: Path) -> None:
    plugin = make("search", "library_plugin", folders=[{"path": str(folder)}])
    write(plugin.data_dir / "index", "in the way")
    async with running(plugin):
        with pytest.raises((OSError, RuntimeError)):
            await plugin.search("bunny")


async def test_stopping_in_the_middle_of_a_scan_is_quick_and_the_next_goes_on(
    make: Make, tmp_path: Path
) -> None:
    for number in range(400):
        write(tmp_path / "f" / f"folder {number}" / "file.txt", "words")
    config = {"folders": [{"path": str(tmp_path / "f")}], "limit": 1000}
    for _ in range(3):
        plugin = make("search", "library_plugin", **config)
        async with asyncio.timeout(5):
            await plugin.start()
            await plugin.stop()
            await plugin.stop()
        assert not plugin.keeper._thread.is_alive()
    async with running(make("search", "library_plugin", **config)) as plugin:
        await eventually(lambda: has(plugin, "words", 400))


async def test_what_start_began_ends_when_it_is_cancelled(start: Any, folder: Path) -> None:
    plugin = await start(folder)
    await plugin.search("bunny")
    plugin._keeping.cancel()
    await asyncio.gather(plugin._keeping, return_exceptions=True)
    await asyncio.to_thread(plugin.keeper._thread.join, 10)
    assert not plugin.keeper._thread.is_alive()
    assert len(await titles(plugin, "bunny")) == 2  # calls that still run have the index as it is


async def test_many_searches_at_once_while_files_come_and_go(start: Any, folder: Path) -> None:
    plugin = await start(folder)

    def churn() -> None:
        for number in range(200):
            path = write(folder / "churn" / f"{number}.txt", "churning")
            if number % 2:
                path.unlink()

    busy = asyncio.create_task(asyncio.to_thread(churn))
    for _ in range(5):
        found = await asyncio.gather(*(titles(plugin, "big buck") for _ in range(40)))
        assert found == [["Big Buck Bunny.mkv"]] * 40
    await busy
    await eventually(lambda: has(plugin, "churn", 100))


def test_the_log_says_where_it_searches_and_nothing_else(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    async def once() -> None:
        async with running(make("search", "library_plugin")) as plugin:
            assert await titles(plugin, "x") == []

    with caplog.at_level(logging.INFO):
        asyncio.run(once())
    assert [record.levelname for record in caplog.records if record.name == "library_plugin"] == ["INFO"]


# -- words -----------------------------------------------------------------------------------------------------------


def test_tokens() -> None:
    assert tokens("[组] 斗罗 第01集_1080p.ＭＰ４") == "组 斗 罗 第 1 集 1080 p mp4".split()
    assert fold("ＡＢＣ Straße É") == "abc strasse e"


def test_a_text_matches_as_the_index_does() -> None:
    text = "[字幕组] 斗罗大陆 第01集 Big Buck Bunny"
    for keyword in ("罗大", "bun", '"buck bunny"', "第1集 big", "unny", "big -talk", "ＢＩＧ"):
        assert Query.parse(keyword).matches(text)
    for keyword in ("大罗", '"bun"', "big talk", "big -buck", '"bunny buck"'):
        assert not Query.parse(keyword).matches(text)
