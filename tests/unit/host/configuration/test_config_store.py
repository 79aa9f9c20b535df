"""The file is edited by people and written by the server; neither may cost the other anything."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from service.host import atomic
from service.host.configuration.config_store import ConfigNotSaved, ConfigStore

DEMO = "search:demo"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "plugins.json"


async def put(store: ConfigStore, key: str, entry: Mapping[str, Any] | None) -> bool:
    return key in await store.restore_all({key: entry})


async def opened(path: Path, content: str | bytes | None = None) -> ConfigStore:
    if content is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    store = ConfigStore(path, settle_s=0)
    await store.load()
    return store


def on_disk(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def kept_aside(path: Path) -> list[bytes]:
    return [file.read_bytes() for file in sorted(path.parent.glob("plugins.json.corrupt-*"))]


async def test_an_absent_file_is_an_empty_one(path: Path) -> None:
    store = await opened(path)
    assert store.problem is None
    assert store.entry(DEMO) == {}
    assert store.values(DEMO) == {}
    assert store.enabled(DEMO)
    assert store.export() == {}
    assert not path.parent.exists()


async def test_an_entry_is_replaced_whole(path: Path) -> None:
    store = await opened(path, '{"search:demo": {"a": 1, "b": 2, "_enabled": false}, "x:y": {}}')
    entry = {"b": 3, "标题": "你好", "_enabled": False, "_granted": {"read": []}}
    assert await put(store, DEMO, entry)
    assert not await put(store, DEMO, entry)
    assert store.values(DEMO) == {"b": 3, "标题": "你好"}
    assert (store.enabled(DEMO), store.granted(DEMO)) == (False, {"read": []})
    assert on_disk(path) == {DEMO: entry, "x:y": {}}
    assert "你好" in path.read_text("utf-8")
    again = await opened(path)
    assert again.export() == store.export()
    assert await put(store, DEMO, None)
    assert (store.has(DEMO), store.enabled(DEMO), store.granted(DEMO)) == (False, True, None)
    assert on_disk(path) == {"x:y": {}}


async def test_what_is_given_out_is_a_copy(path: Path) -> None:
    store = await opened(path, '{"search:demo": {"list": [1]}}')
    store.values(DEMO)["list"].append(2)
    store.entry(DEMO)["list"].append(2)
    store.export()[DEMO]["list"].append(2)
    assert store.values(DEMO) == {"list": [1]}


async def test_new_files_are_private_and_modes_and_links_stay(path: Path, tmp_path: Path) -> None:
    store = await opened(path)
    await put(store, DEMO, {"password": "x"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    await put(store, DEMO, {"password": "y"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    target = tmp_path / "dotfiles.json"
    path.rename(target)
    path.symlink_to(target)
    await put(store, DEMO, {"password": "z"})
    assert path.is_symlink()
    assert on_disk(target) == {DEMO: {"password": "z"}}


async def test_reread_tells_what_changed_by_hand_and_not_own_writes(path: Path) -> None:
    store = await opened(path, '{"search:demo": {"a": 1}, "parser:p": {"b": 1}}')
    await put(store, DEMO, {"a": 2})
    assert await store.reread() == set()
    path.write_text('{"search:demo": {"a": 2}, "parser:p": {"b": true}, "download:d": {"_enabled": false}}')
    assert await store.reread() == {"parser:p", "download:d"}
    assert store.values("parser:p") == {"b": True}
    assert not store.enabled("download:d")
    assert await store.reread() == set()
    path.unlink()
    assert await store.reread() == {DEMO, "parser:p", "download:d"}
    assert store.export() == {}


BAD: dict[str, str | bytes] = {
    "truncated": '{"search:demo": {"a": 2',
    "empty": "",
    "blank": " \n",
    "not utf-8": b'{"search:demo": {"a": "\xff"}}',
    "utf-16": '{"search:demo": {"a": 2}}'.encode("utf-16"),
    "nul bytes": b"\0" * 512,
    "array": "[]",
    "string": '"x"',
    "null": "null",
    "entry is a number": '{"search:demo": 5}',
    "entry is a list": '{"search:demo": []}',
    "entry is null": '{"search:demo": null}',
    "enabled is a string": '{"search:demo": {"_enabled": "false"}}',
    "enabled is a number": '{"search:demo": {"_enabled": 0}}',
    "granted is a list": '{"search:demo": {"_granted": []}}',
    "key twice": '{"search:demo": {"a": 1}, "search:demo": {"a": 2}}',
    "NaN": '{"search:demo": {"a": NaN}}',
    "infinite": '{"search:demo": {"a": 1e999}}',
    "lone surrogate": '{"search:demo": {"a": "\\ud800"}}',
    "digits without end": '{"search:demo": {"a": ' + "1" * 6000 + "}}",
    "too deep": '{"search:demo": ' + "[" * 100_000,
    "comment": '// mine\n{"search:demo": {}}',
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_file_is_reported_kept_aside_and_not_in_force(path: Path, name: str) -> None:
    content = BAD[name]
    raw = content.encode() if isinstance(content, str) else content
    store = await opened(path, '{"search:demo": {"a": 1, "_enabled": false}}')
    path.write_bytes(raw)
    assert await store.reread() == set()
    assert store.problem is not None
    assert "config/plugins.json" in store.problem.zh
    assert "config/plugins.json" in store.problem.en
    assert store.values(DEMO) == {"a": 1}
    assert not store.enabled(DEMO)
    assert path.read_bytes() == raw, "the file itself is left to the person who is editing it"
    await store.reread()
    assert kept_aside(path) == ([raw] if raw else []), "once for each content"
    path.write_text('{"search:demo": {"a": 7}}')
    assert await store.reread() == {DEMO}
    assert store.problem is None


@pytest.mark.parametrize("name", BAD)
async def test_a_file_that_got_bad_while_the_server_was_down_costs_nothing(path: Path, name: str) -> None:
    before = await opened(path)
    await put(before, DEMO, {"a": 1, "_enabled": False})
    after = await opened(path, BAD[name])
    assert after.problem is not None
    assert after.values(DEMO) == {"a": 1}
    assert not after.enabled(DEMO)


async def test_a_bad_file_with_nothing_good_before_it(path: Path) -> None:
    store = await opened(path, "{")
    assert store.problem is not None
    assert "1" in store.problem.en
    assert store.export() == {}


async def test_the_place_is_named(path: Path) -> None:
    store = await opened(path, '{\n  "search:demo": {\n    "a": 1,\n  }\n}')
    assert store.problem is not None
    assert "line 4" in store.problem.en or "line 3" in store.problem.en
    assert "行" in store.problem.zh


async def test_a_write_after_a_bad_edit_loses_nothing(path: Path) -> None:
    store = await opened(path, '{"search:demo": {"a": 1}, "parser:p": {"b": 1}}')
    path.write_text('{"search:demo": {"a": 2')
    await put(store, "parser:p", {"b": 2})
    assert on_disk(path) == {DEMO: {"a": 1}, "parser:p": {"b": 2}}
    assert kept_aside(path) == [b'{"search:demo": {"a": 2']
    assert store.problem is None


async def test_an_edit_that_nobody_told_of_yet_survives_a_write_and_is_told(path: Path) -> None:
    store = await opened(path, '{"search:demo": {"a": 1}}')
    path.write_text('{"search:demo": {"a": 2}}')
    await put(store, "parser:p", {"b": 1})
    assert on_disk(path) == {DEMO: {"a": 2}, "parser:p": {"b": 1}}
    assert await store.reread() == {DEMO}
    assert await store.reread() == set()


async def test_a_folder_in_the_files_place(path: Path) -> None:
    path.mkdir(parents=True)
    store = await opened(path)
    assert store.problem is not None
    assert "folder" in store.problem.en
    with pytest.raises(ConfigNotSaved) as caught:
        await put(store, DEMO, {"a": 1})
    assert "config/plugins.json" in caught.value.text.zh
    assert store.export() == {}
    path.rmdir()
    await put(store, DEMO, {"a": 1})
    assert on_disk(path) == {DEMO: {"a": 1}}
    assert store.problem is None


async def test_a_pipe_in_the_files_place_does_not_hang(path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)
    store = await asyncio.wait_for(opened(path), 5)
    assert store.problem is not None
    with pytest.raises(ConfigNotSaved):
        await put(store, DEMO, {"a": 1})
    assert stat.S_ISFIFO(path.stat().st_mode)


async def test_an_unreadable_file_is_not_written_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await opened(path, '{"search:demo": {"a": 1}}')
    real = os.open

    def refuse(target: Any, *rest: Any, **more: Any) -> int:
        if Path(target) == path:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(target, *rest, **more)

    monkeypatch.setattr(os, "open", refuse)
    assert await store.reread() == set()
    assert store.problem is not None
    assert store.values(DEMO) == {"a": 1}
    with pytest.raises(ConfigNotSaved):
        await put(store, DEMO, {"a": 2})
    monkeypatch.undo()
    assert on_disk(path) == {DEMO: {"a": 1}}


async def test_a_full_disk_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await opened(path, '{"search:demo": {"a": 1}}')

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for attempt in (
        put(store, DEMO, {"a": 2}),
        put(store, DEMO, None),
    ):
        with pytest.raises(ConfigNotSaved, match="No space left"):
            await attempt
        assert store.export() == {DEMO: {"a": 1}}
    monkeypatch.undo()
    assert on_disk(path) == {DEMO: {"a": 1}}
    assert await store.reread() == set()
    await put(store, DEMO, {"a": 2})
    assert on_disk(path) == {DEMO: {"a": 2}}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, "\ud800", object()])
async def test_a_value_that_json_does_not_have_changes_nothing(path: Path, value: object) -> None:
    store = await opened(path, '{"search:demo": {"a": 1}}')
    with pytest.raises(ConfigNotSaved):
        await put(store, DEMO, {"a": value})
    assert store.values(DEMO) == {"a": 1}
    assert on_disk(path) == {DEMO: {"a": 1}}


async def test_writes_at_once_all_arrive(path: Path) -> None:
    store = await opened(path)
    await asyncio.gather(*(put(store, f"search:p{number}", {"n": number}) for number in range(40)))
    assert on_disk(path) == {f"search:p{number}": {"n": number} for number in range(40)}
    assert await store.reread() == set()


async def test_a_cancelled_caller_leaves_memory_and_file_alike(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await opened(path)
    entered, go_on = threading.Event(), threading.Event()
    real = atomic.write_now

    def gated(*given: Any, **named: Any) -> None:
        entered.set()
        go_on.wait(5)
        real(*given, **named)

    monkeypatch.setattr(atomic, "write_now", gated)
    task = asyncio.create_task(put(store, DEMO, {"a": 1}))
    assert await asyncio.to_thread(entered.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    await store.close()
    await store.close()
    assert store.values(DEMO) == {"a": 1}
    assert on_disk(path) == {DEMO: {"a": 1}}


async def test_import_replaces_given_entries_and_keeps_the_rest(path: Path) -> None:
    store = await opened(
        path, '{"search:demo": {"a": 1, "_enabled": false}, "parser:p": {"b": 1}, "x:y": {}}'
    )
    changed = await store.restore_all({DEMO: {"a": 1}, "parser:p": {"b": 1}, "download:gone": {"c": 1}})
    assert changed == {DEMO, "download:gone"}
    assert store.enabled(DEMO)
    assert store.export() == {DEMO: {"a": 1}, "parser:p": {"b": 1}, "x:y": {}, "download:gone": {"c": 1}}
    exported = store.export()
    await put(store, DEMO, {})
    await store.restore_all(exported)
    assert store.export() == exported


async def test_an_editor_that_renames_or_truncates_on_its_way_is_not_taken_at_its_word(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"search:demo": {"a": 1, "_enabled": false}}')
    store = ConfigStore(path, settle_s=10)
    await store.load()
    looking = asyncio.create_task(store.reread())
    path.unlink()
    looked = asyncio.Event()
    asyncio.get_running_loop().call_later(0.12, looked.set)
    await looked.wait()
    assert not store.enabled(DEMO)
    path.write_text('{"search:demo": {"a": 2, "_enabled": false}}')
    assert await asyncio.wait_for(looking, 5) == {DEMO}
    assert store.problem is None
    assert kept_aside(path) == []


async def test_copies_of_bad_files_do_not_fill_the_disk(path: Path) -> None:
    store = await opened(path, "{}")
    for number in range(30):
        path.write_text("{" * (number + 1))
        await store.reread()
    assert len(kept_aside(path)) <= 20


_WRITER = """
import asyncio, sys
from pathlib import Path
from service.host.configuration.config_store import ConfigStore
async def main():
    store = ConfigStore(Path(sys.argv[1]))
    await store.load()
    for number in range(1, 1_000_000):
        await store.restore_all({"search:demo": {"n": number, "filling": "x" * 50_000}})
        print(number, flush=True)
asyncio.run(main())
"""


@pytest.mark.parametrize("acknowledged", [1, 4, 9])
async def test_kill_leaves_old_or_new_and_nothing_answered_is_lost(path: Path, acknowledged: int) -> None:
    path.parent.mkdir()
    writer = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _WRITER,
        str(path),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(atomic.__file__).parents[2])},
    )
    assert writer.stdout is not None
    last = 0
    for _ in range(acknowledged):
        last = int(await writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    await writer.wait()
    rest = [int(line) for line in (await writer.stdout.read()).split(b"\n") if line]
    last = max([last, *rest])
    store = await opened(path)
    assert store.problem is None
    assert store.values(DEMO)["n"] in (last, last + 1)
    assert not list(path.parent.glob(".*.tmp"))
