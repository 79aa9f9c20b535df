"""Packages that try to be written elsewhere: nothing of them leaves their set. The server itself unpacks nothing."""

from __future__ import annotations

import asyncio
import io
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.live import live_server, write
from tests.integration.test_dependencies import install, plugin
from tests.registry import Registry, wheel

MARK = "escaped"


def hostile(name: str, *entries: tuple[str, str, int]) -> tuple[str, bytes]:
    """A wheel with these entries besides its own: path, content, and what kind of file."""
    file, content = wheel(name, "1.0")
    packed = io.BytesIO(content)
    with zipfile.ZipFile(packed, "a") as archive:
        for path, text, kind in entries:
            info = zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0))
            info.external_attr = (kind | 0o755) << 16
            archive.writestr(info, text)
    return file, packed.getvalue()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    aim = tmp_path / "aim"
    aim.mkdir()
    with Registry() as registry:
        wheels = {
            "climbing": [(f"{'../' * up}{MARK}-{up}.py", "x = 1", stat.S_IFREG) for up in (1, 2, 3, 4, 6)],
            "backwards": [(f"..\\..\\{MARK}-b.py", "x = 1", stat.S_IFREG)],
            "absolute": [(f"{aim}/{MARK}.py", "x = 1", stat.S_IFREG)],
            "linking": [
                ("linking_out", str(aim), stat.S_IFLNK),
                (f"linking_out/{MARK}-l.py", "x = 1", stat.S_IFREG),
            ],
            "spreading": [
                (f"spreading-1.0.data/data/../../../../{MARK}-d", "x", stat.S_IFREG),
                (f"spreading-1.0.data/scripts/../../../{MARK}-s", "x", stat.S_IFREG),
            ],
        }
        for name, entries in wheels.items():
            registry.put(name, *hostile(name, *entries))
        yield registry


async def test_nothing_is_written_outside_its_set(registry: Registry, tmp_path: Path) -> None:
    home, cache = tmp_path / "server" / "home", tmp_path / "cache"
    write(home / "plugins/search/steady_plugin.py", plugin("steady"))
    told = {**registry.environment(cache), "UV_NO_INDEX": "0"}
    names = ("climbing", "backwards", "absolute", "linking", "spreading")
    statuses = {}
    async with live_server(home, **told) as live:
        for name in names:
            statuses[name] = (await install(live, name, plugin(name, name))).status
        assert (await live.search("steady")).status == 200
    # Refused, or installed without what would lie outside; an error of the server itself it is not.
    assert set(statuses.values()) <= {200, 422}, statuses

    def strays() -> list[str]:
        inside = (home / "data" / "envs", cache)
        return [
            str(path)
            for path in tmp_path.rglob(f"*{MARK}*")
            if not any(path.is_relative_to(folder) for folder in inside)
        ]

    assert await asyncio.to_thread(strays) == []
    assert not list((tmp_path / "aim").iterdir())
    for up in Path("/").glob(f"*{MARK}*"):
        raise AssertionError(f"{up} was written")
