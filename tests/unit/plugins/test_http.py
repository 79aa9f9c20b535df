"""The bundled download plugin `http`, against a server that misbehaves, and against nginx."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.unit.plugins.http_origin import Manner, Origin, Request
from tests.unit.plugins.http_task import (
    CONTENT,
    MIB,
    SMALL,
    Reports,
    files,
    names,
    stop,
    threads,
    until,
)

Make = Callable[..., Any]


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    origin = Origin()
    async with origin.running():
        yield origin


@pytest.mark.parametrize("connections", [1, 4])
async def test_a_file_arrives_whole_under_its_name(make: Make, origin: Origin, connections: int) -> None:
    url = origin.add("/file.bin", CONTENT)
    plugin, reports = make("download", "http_plugin", connections=str(connections)), Reports()
    task = reports.task(url, title="A file")
    assert await plugin.download(task) is True
    assert files(plugin) == {"file.bin": CONTENT}
    assert plugin.folder == plugin.downloads_dir
    assert len(origin.requests) >= connections
    assert (len(origin.requests) == 1) is (connections == 1)
    assert {request.headers["accept-encoding"] for request in origin.requests} == {"identity"}
    assert reports.all[-1] | {"progress": 100, "downloaded": len(CONTENT)} == reports.all[-1]
    assert plugin.get_downloads() == [plugin.get_progress("t1")]
    assert plugin.get_progress("t1") == {
        "id": "t1", "title": "A file", "url": url, "status": "completed", "progress": 100,
        "downloaded": len(CONTENT), "total": len(CONTENT), "speed": 0.0, "eta": None,
        "save_path": str(plugin.folder / "file.bin"),
    }  # fmt: skip
    assert task.save_path == str(plugin.folder / "file.bin")
    assert threads() == []


async def test_a_name_that_is_taken_gets_a_number(make: Make, origin: Origin) -> None:
    plugin = make("download", "http_plugin")
    url = origin.add("/file.bin", SMALL)
    await asyncio.gather(*(plugin.download(Reports().task(url)) for _ in range(3)))
    assert files(plugin) == {"file.bin": SMALL, "file (2).bin": SMALL, "file (3).bin": SMALL}


@pytest.mark.parametrize("name", ["../../x", "..\\\\..\\\\x", "/x", "x"])
async def test_a_name_from_outside_stays_in_the_folder(make: Make, origin: Origin, name: str) -> None:
    plugin = make("download", "http_plugin")
    url = origin.add("/f", SMALL, headers={"Content-Disposition": f'attachment; filename="{name}"'})
    await plugin.download(Reports().task(url))
    assert files(plugin) == {"x": SMALL}


@pytest.mark.parametrize("connections", [1, 4])
@pytest.mark.parametrize("etag", ['"v1"', 'W/"v1"', ""])
async def test_a_server_that_drops_every_connection(
    make: Make, origin: Origin, connections: int, etag: str
) -> None:
    url = origin.add("/f", CONTENT, etag=etag, drop_after=MIB)
    plugin = make("download", "http_plugin", connections=connections, retries=1)
    assert await plugin.download(Reports().task(url)) is True
    assert files(plugin) == {"f": CONTENT}
    assert len(origin.requests) >= 12
    assert origin.sent < len(CONTENT) + 4 * MIB


async def test_connections_that_break_before_any_answer_and_busy_servers_are_tried_again(
    make: Make, origin: Origin
) -> None:
    url = origin.add("/f", SMALL, refuse=[500, 503, 429], headers={"Retry-After": "0"})
    plugin, reports = make("download", "http_plugin"), Reports()
    assert await plugin.download(reports.task(url)) is True
    assert files(plugin) == {"f": SMALL}
    assert len(origin.requests) == 4


async def test_retry_after_is_heeded_and_a_long_one_ends_it(make: Make, origin: Origin) -> None:
    plugin, reports = make("download", "http_plugin"), Reports()
    began = time.monotonic()
    await plugin.download(reports.task(origin.add("/f", SMALL, refuse=[429], headers={"Retry-After": "1"})))
    assert time.monotonic() - began >= 1
    assert any("429" in report.get("message", "") for report in reports.all)
    with pytest.raises(ValueError, match="asks to come back in 4000 s"):
        await plugin.download(reports.task(origin.add("/g", refuse=[503], headers={"Retry-After": "4000"})))


async def test_it_gives_up_after_so_many_tries_without_progress(make: Make, origin: Origin) -> None:
    plugin = make("download", "http_plugin", retries=1)
    with pytest.raises(ValueError, match=r"answered 502.*given up after 2 tries"):
        await plugin.download(Reports().task(origin.add("/f", status=502)))
    assert len(origin.requests) == 2
    with pytest.raises(ValueError, match="404 Not Found"):
        await plugin.download(Reports().task(origin.url("/nothing")))
    assert len(origin.requests) == 3
    assert names(plugin) == []


@pytest.mark.parametrize("ranges", [True, False])
async def test_a_length_that_is_too_short_is_an_error(make: Make, origin: Origin, ranges: bool) -> None:
    plugin = make("download", "http_plugin", retries=1)
    url = origin.add("/f", SMALL, ranges=False, accept_ranges=ranges, declared=1000)
    with pytest.raises(ValueError, match="announced 1000 bytes and sent more"):
        await plugin.download(Reports().task(url))
    assert names(plugin) == []
    assert plugin.get_progress("t1")["status"] == "failed"


@pytest.mark.parametrize("ranges", [True, False])
async def test_a_length_that_is_too_long_is_an_error(make: Make, origin: Origin, ranges: bool) -> None:
    plugin = make("download", "http_plugin", retries=1)
    url = origin.add("/f", SMALL, ranges=False, accept_ranges=ranges, declared=len(SMALL) + 1)
    with pytest.raises(ValueError, match=f"ended after {len(SMALL)} of {len(SMALL) + 1}|not serve ranges"):
        await plugin.download(Reports().task(url))
    assert names(plugin) == []


async def test_a_server_that_ignores_ranges(make: Make, origin: Origin) -> None:
    plugin = make("download", "http_plugin")
    url = origin.add("/f", CONTENT, ranges=False, accept_ranges=False)
    assert await plugin.download(Reports().task(url)) is True
    assert files(plugin) == {"f": CONTENT}
    assert len(origin.requests) == 1


async def test_a_server_that_only_says_it_serves_ranges(make: Make, origin: Origin) -> None:
    plugin = make("download", "http_plugin")
    url = origin.add("/f", CONTENT, ranges=False)
    assert await plugin.download(Reports().task(url)) is True
    assert files(plugin) == {"f": CONTENT}
    assert "range" not in origin.requests[-1].headers


async def test_a_server_without_ranges_that_drops_once(make: Make, origin: Origin) -> None:
    plugin = make("download", "http_plugin")
    url = origin.add("/f", CONTENT, ranges=False, accept_ranges=False, drop_after=MIB)

    def relent(request: Request) -> None:
        if len(origin.requests) == 3:
            origin.manners["/f"].drop_after = None

    origin.manners["/f"].on_request = relent
    assert await plugin.download(Reports().task(url)) is True
    assert files(plugin) == {"f": CONTENT}
    assert origin.sent == len(CONTENT) + 2 * MIB


@pytest.mark.parametrize("later", [True, False])
async def test_a_wrong_content_range_is_not_believed(make: Make, origin: Origin, later: bool) -> None:
    plugin = make("download", "http_plugin")
    url = origin.add("/f", CONTENT, shift=0 if later else 7)

    def shift(request: Request) -> None:
        origin.manners["/f"].shift = 7

    origin.manners["/f"].on_request = (
        shift
        if later and origin.requests
        else lambda request: (
            setattr(origin.manners["/f"], "shift", 7 if len(origin.requests) > 1 else 0) if later else None
        )
    )
    assert await plugin.download(Reports().task(url)) is True
    assert files(plugin) == {"f": CONTENT}
    assert "range" not in origin.requests[-1].headers


@pytest.mark.parametrize("moment", ["no answer", "body", "waiting", "many"])
@pytest.mark.parametrize("how", ["task", "plugin"])
async def test_a_cancelled_download_leaves_nothing(make: Make, origin: Origin, moment: str, how: str) -> None:
    gate = asyncio.Event()
    url = origin.add("/f", CONTENT, gate=gate, gate_after=MIB)

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    if moment == "no answer":
        url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}/f"
    if moment == "waiting":
        origin.manners["/f"] = Manner(status=503, headers={"Retry-After": "60"})
    open_before = len(os.listdir("/proc/self/fd"))
    plugin, reports = make("download", "http_plugin", connections=4 if moment == "many" else 1), Reports()
    running = asyncio.create_task(plugin.download(reports.task(url)))
    if moment == "no answer":
        await reports.until(lambda: len(reports.all) > 1)
    elif moment == "waiting":
        await reports.until(lambda: any("503" in report.get("message", "") for report in reports.all))
    else:
        await until(lambda: origin.serving == (4 if moment == "many" else 1) and names(plugin))
    if how == "task":
        await stop(reports, running, "cancel")
    else:
        assert plugin.cancel("t1") is True
        assert await asyncio.wait_for(running, 2) is False
    assert names(plugin) == []
    assert threads() == []
    assert plugin.get_progress("t1")["status"] == "cancelled"
    assert plugin.cancel("t1") is False
    await until(lambda: origin.serving == 0)
    gate.set()
    silent.close()
    await silent.wait_closed()
    await until(lambda: len(os.listdir("/proc/self/fd")) <= open_before)


async def test_many_connections_that_all_break_get_in_nobodys_way(make: Make, origin: Origin) -> None:
    url = origin.add("/f", CONTENT, drop_after=100_000)
    plugin = make("download", "http_plugin", connections=16)
    for number in range(5):
        assert await plugin.download(Reports().task(url)) is True
        assert files(plugin).popitem()[1] == CONTENT, number


async def test_cancelled_at_any_moment_it_leaves_nothing(make: Make, origin: Origin) -> None:
    url = origin.add("/f", CONTENT, drop_after=MIB)
    plugin = make("download", "http_plugin")
    for number in range(25):
        reports = Reports()
        running = asyncio.create_task(plugin.download(reports.task(url)))
        done, _ = await asyncio.wait([running], timeout=number * 0.01)
        if done:
            assert files(plugin) == {"f": CONTENT}
            break
        await stop(reports, running, "cancel")
        assert names(plugin) == []


async def test_a_connection_that_stalls_does_not_hold_up_the_end(
    make: Make, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plugins.download.http_plugin.ranges.STALLED_S", 1.0)
    url = origin.add("/f", CONTENT, gate_after=MIB)
    origin.manners["/f"].stalls = lambda request: (request.range or (0, 0))[0] == 3 * MIB
    plugin = make("download", "http_plugin", timeout_s=300)
    async with asyncio.timeout(30):
        assert await plugin.download(Reports().task(url)) is True
    assert files(plugin) == {"f": CONTENT}
    assert threads() == []


async def test_a_server_that_allows_two_connections_only(make: Make, origin: Origin) -> None:
    url = origin.add("/f", CONTENT, busy_above=2)
    plugin = make("download", "http_plugin", retries=2)
    assert await plugin.download(Reports().task(url)) is True
    assert files(plugin) == {"f": CONTENT}


async def test_silence_ends_after_the_configured_time(make: Make, origin: Origin) -> None:
    url = origin.add("/f", CONTENT, gate=asyncio.Event(), gate_after=1000)
    plugin = make("download", "http_plugin", timeout_s="0.2", retries=0, connections=1)
    with pytest.raises(ValueError, match="nothing came in time"):
        await plugin.download(Reports().task(url))


@pytest.mark.parametrize("drop_after", [None, 3000])
async def test_a_body_of_unknown_length(make: Make, origin: Origin, drop_after: int | None) -> None:
    url = origin.add("/f", SMALL, ranges=False, accept_ranges=False, chunked=True, drop_after=drop_after)
    plugin, reports = make("download", "http_plugin", retries=1), Reports()
    if drop_after:
        with pytest.raises(ValueError, match=r"broke|ended"):
            await plugin.download(reports.task(url))
        assert names(plugin) == []
    else:
        assert await plugin.download(reports.task(url)) is True
        assert files(plugin) == {"f": SMALL}


async def test_an_empty_file(make: Make, origin: Origin) -> None:
    plugin = make("download", "http_plugin")
    assert await plugin.download(Reports().task(origin.add("/f", b""))) is True
    assert files(plugin) == {"f": b""}


@pytest.mark.parametrize("chunked", [True, False])
async def test_the_limit_holds_with_and_without_a_length(make: Make, origin: Origin, chunked: bool) -> None:
    plugin = make("download", "http_plugin", limit_mib="0.25")
    with pytest.raises(ValueError, match="limit"):
        await plugin.download(Reports().task(origin.add("/f", SMALL, ranges=False, chunked=chunked)))
    assert names(plugin) == []


@pytest.mark.parametrize("algorithm", ["sha256", "sha-256", "md5", "sha1", "sha512"])
async def test_a_checksum_is_checked(make: Make, origin: Origin, algorithm: str) -> None:
    plugin = make("download", "http_plugin")
    url = origin.add("/f", SMALL)
    right = hashlib.new(algorithm.replace("-", ""), SMALL).hexdigest()
    task = Reports().task(url, metadata={"checksum": f"{algorithm}:{right.upper()}"})
    assert await plugin.download(task) is True
    wrong = hashlib.new(algorithm.replace("-", ""), b"").hexdigest()
    with pytest.raises(ValueError, match=f"{right}, not {wrong}"):
        await plugin.download(Reports().task(url, metadata={"checksum": f"{algorithm}:{wrong}"}))
    with pytest.raises(ValueError, match="is no checksum"):
        await plugin.download(Reports().task(url, metadata={"checksum": "sha256:abc"}))
    assert files(plugin) == {"f": SMALL}


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Repr-Digest", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"),
        ("Digest", "SHA-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
        ("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg=="),
    ],
)
async def test_a_checksum_in_the_headers_is_checked(
    make: Make, origin: Origin, header: str, value: str
) -> None:
    plugin = make("download", "http_plugin")
    with pytest.raises(ValueError, match="as it ought to be"):
        await plugin.download(Reports().task(origin.add("/f", SMALL, headers={header: value})))
    assert await plugin.download(Reports().task(origin.add("/g", b"", headers={header: value}))) is True
    assert files(plugin) == {"g": b""}


async def test_how_far_it_is_is_told_four_times_a_second(make: Make, origin: Origin) -> None:
    gate = asyncio.Event()
    url = origin.add("/f", CONTENT, gate=gate, gate_after=MIB)
    plugin, reports = make("download", "http_plugin", connections=1), Reports()
    running = asyncio.create_task(plugin.download(reports.task(url)))
    await reports.until(lambda: any(report.get("downloaded") == MIB for report in reports.all))
    first = len(reports.all)
    await reports.until(lambda: len(reports.all) >= first + 5)
    assert 0.9 <= reports.at[first + 4] - reports.at[first] <= 3
    assert reports.all[-1]["speed"] > 0
    assert reports.all[-1]["eta"] > 0
    assert reports.all[-1]["total"] == len(CONTENT)
    gate.set()
    assert await running is True
