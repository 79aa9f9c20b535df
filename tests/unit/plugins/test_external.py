"""What the plugins share that hand downloads over: folders, states, hand-overs that are cut, programs that hang."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from inspect import isawaitable
from pathlib import Path
from typing import Any

import pytest

from plugins.shared import external_program as external
from plugins.shared import lenient_values

Make = Callable[..., Any]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("[::1]", True),
        ("nas", False),
        ("192.168.0.2", False),
        ("localhost.example.org", False),
        ("", False),
    ],
)
def test_this_machine_is_told_by_loopback(host: str, expected: bool) -> None:
    assert external.is_this_machine(host) is expected


def test_the_downloads_folder_is_for_programs_on_this_machine(tmp_path: Path) -> None:
    downloads = tmp_path / "data" / "downloads"
    assert external.folder_for("", "nas", downloads) is None
    assert external.folder_for("/chosen", "nas", downloads) == "/chosen"
    assert not downloads.exists()
    assert external.folder_for("", "127.0.0.1", downloads) == str(downloads)
    assert downloads.is_dir()


def test_settings_that_old_clients_stored_as_text() -> None:
    config = {"a": "", "b": " 5.0 ", "c": "x", "d": "True", "e": "0", "f": None, "g": False}
    assert [lenient_values.number_of(config, key) for key in "abcz"] == [None, 5, None, None]
    assert [lenient_values.as_bool(config.get(key), True) for key in "adefgz"] == [
        True,
        True,
        False,
        True,
        False,
        True,
    ]
    assert lenient_values.text_of(config, "a", "f", "b") == "5.0"


@pytest.mark.parametrize(
    ("told", "progress", "eta"),
    [
        (external.state("downloading", downloaded=50, total=200, speed=10), 25, 15),
        (external.state("downloading", downloaded=50, total=0, speed=10), 0, None),
        (external.state("downloading", downloaded=10**12 - 1, total=10**12, speed=0), 99.99, None),
        (external.state("paused", downloaded=50, total=200, speed=10), 25, None),
        (external.state("completed", downloaded=0, total=200), 100, 0),
    ],
)
def test_progress_is_from_0_to_100_and_100_is_for_what_is_done(
    told: dict[str, Any], progress: float, eta: float | None
) -> None:
    assert (told["progress"], told["eta"]) == (progress, eta)


async def test_a_hand_over_that_fails_by_itself_is_not_taken_back() -> None:
    undone: list[str] = []
    begun, go = asyncio.Event(), asyncio.Event()

    async def undo() -> None:
        undone.append("undone")

    async def add(fails: bool) -> str:
        begun.set()
        await go.wait()
        if fails:
            raise ValueError("refused")
        return "id"

    for fails in (True, False):
        begun.clear()
        go.clear()
        running = asyncio.create_task(external.whole_or_not(add(fails), undo))
        await begun.wait()
        running.cancel()
        asyncio.get_running_loop().call_soon(go.set)
        with pytest.raises(asyncio.CancelledError):
            await running
        assert undone == ([] if fails else ["undone"])
    assert await external.whole_or_not(add(False), undo) == "id"
    with pytest.raises(ValueError, match="refused"):
        await external.whole_or_not(add(True), undo)
    assert undone == ["undone"]


@pytest.mark.parametrize(
    ("stem", "key"),
    [("aria2_plugin", "rpc_url"), ("qbittorrent_plugin", "host"), ("transmission_plugin", "host")],
)
async def test_a_program_that_hangs_holds_up_nobody_for_long(
    make: Make, monkeypatch: pytest.MonkeyPatch, stem: str, key: str
) -> None:
    monkeypatch.setattr(external, "TIMEOUT_S", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        plugin = make("download", stem, **{key: url})
        async with asyncio.timeout(10):
            for ask in (plugin.get_downloads, lambda: plugin.get_progress("0" * 40)):
                with pytest.raises(RuntimeError, match=url):
                    answer = await asyncio.to_thread(ask)
                    if isawaitable(answer):
                        await answer
