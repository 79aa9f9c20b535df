"""`plugbay search`, `download` and `tasks` against a real server, real plugins and real terminals."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import re
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from tests.integration.live import Live, live_server, write
from tests.integration.server_process import ROOT, Finished, environment
from tests.integration.test_downloads import BLOCKED, SUBMITTING, Home, at
from tests.integration.test_tasks import GATED, INSTANT, RAISING, open_gate, put, task

pytestmark = pytest.mark.timeout(60)

Process = asyncio.subprocess.Process


async def read_until(stream: asyncio.StreamReader | None, words: str) -> str:
    """What a command prints up to a line with these words."""
    assert stream is not None
    said = ""
    async with asyncio.timeout(20):
        while words not in said:
            line = (await stream.readline()).decode()
            assert line, f"it ended, having printed:\n{said}"
            said += line
    return said


async def finished(process: Process) -> Finished:
    """How a command ends by itself."""
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert b"Traceback" not in err, err.decode()
    return Finished(process.returncode or 0, out.decode(), err.decode())


async def newest(live: Live) -> dict[str, Any]:
    """The task that was begun last, when there is one."""
    async with asyncio.timeout(20):
        while not (found := (await live.get("/api/tasks", params={"limit": "1"})).body["tasks"]):
            await asyncio.sleep(0.02)
    one: dict[str, Any] = found[0]
    return one


async def settled(live: Live, id: str, status: str) -> dict[str, Any]:
    """The task when it has that status."""
    async with asyncio.timeout(20):
        while (now := await task(live, id))["status"] != status:
            await asyncio.sleep(0.02)
    return now


# -- search --------------------------------------------------------------------------------------------------------


async def test_results_are_printed_while_others_still_search(tmp_path: Path) -> None:
    for name, text in (("one", INSTANT), ("slow", GATED), ("bad", RAISING)):
        put(tmp_path, name, text)
    async with live_server(tmp_path) as live:
        command = await live.server.start_plugbay("search", "斗罗", "大陆")
        assert command.stdout is not None
        async with asyncio.timeout(20):
            rows = [(await command.stdout.readline()).decode() for _ in range(4)]
        assert (await newest(live))["status"] == "running"
        open_gate(tmp_path, "slow")
        done = await finished(command)
        rows += done.stdout.splitlines(keepends=True)
        assert done.status == 0
        assert sorted(rows) == [
            *(f"one 斗罗 大陆 {n}\tone\t\tu{n}\n" for n in range(3)),
            "slow first\tslow\t\tu\n",
            "slow last\tslow\t\tu\n",
        ]
        where = r"\(plugins/search/bad_plugin\.py:\d+\)"
        assert re.search(rf"^bad failed: .*no luck with 斗罗 大陆 {where}$", done.stderr, re.MULTILINE)
        assert "\x1b" not in done.stdout + done.stderr


async def test_a_search_as_json_is_the_task(tmp_path: Path) -> None:
    put(tmp_path, "one", INSTANT)
    put(tmp_path, "bad", RAISING)
    async with live_server(tmp_path) as live:
        done = await live.server.plugbay("search", "x", "--limit", "2", "--plugin", "one", "--json")
        told = json.loads(done.stdout)
        assert (done.status, done.stderr, told["status"]) == (0, "", "completed")
        assert [one["title"] for one in told["results"]] == ["one x 0", "one x 1"]
        answer = (await live.get(f"/api/tasks/{told['id']}")).body
        assert told == answer, "it is what the server says of the task"
        failed = await live.server.plugbay("search", "x", "--plugin", "bad", "--json")
        told = json.loads(failed.stdout)
        assert (failed.status, told["status"], told["results"]) == (1, "failed", [])
        assert told == (await live.get(f"/api/tasks/{told['id']}")).body


async def test_what_is_refused_says_what_to_do(tmp_path: Path) -> None:
    put(tmp_path, "one", INSTANT)
    async with live_server(tmp_path) as live:
        none = await live.server.plugbay("search", "x", "--plugin", "none")
        assert (none.status, none.stdout) == (1, "")
        assert "plugbay list" in none.stderr
        assert (await live.post("/api/plugins/search/one/toggle?enabled=false")).status == 200
        disabled = await live.server.plugbay("search", "x", "--plugin", "one")
        assert "plugbay enable search/one" in disabled.stderr
        nobody = await live.server.plugbay("search", "x")
        assert (nobody.status, nobody.stdout) == (0, "")
        assert "no search plugin is enabled" in nobody.stderr
        for address, words in (("ftp://x/y", "--plugin NAME"), ("nothing", "URL")):
            refused = await live.server.plugbay("download", address)
            assert (refused.status, refused.stdout) == (1, "")
            assert words in refused.stderr
        url = live.server.url
        await live.server.stop()
        for command in (("search", "x"), ("download", "http://x/y"), ("tasks",), ("tasks", "show", "a")):
            gone = await live.server.plugbay(*command)
            assert gone.status == 1
            assert f"No server is running at {url}" in gone.stderr


async def test_ctrl_c_cancels_a_search_on_the_server(tmp_path: Path) -> None:
    put(tmp_path, "slow", GATED)
    async with live_server(tmp_path) as live:
        command = await live.server.start_plugbay("search", "x")
        await read_until(command.stdout, "slow first")
        command.send_signal(signal.SIGINT)
        done = await finished(command)
        assert done.status == 130
        assert "Cancelling" in done.stderr
        assert "The search was cancelled · 1 result" in done.stderr
        assert (await newest(live))["status"] == "cancelled"


# -- downloads -----------------------------------------------------------------------------------------------------


async def test_a_download_prints_its_path(tmp_path: Path) -> None:
    home = Home(tmp_path)
    async with live_server(tmp_path) as live:
        command = await live.server.start_plugbay("download", "count:x", "--title", "数数")
        await read_until(command.stderr, "Downloading 数数 (plugin counting, task ")
        await at(live, id := (await newest(live))["id"], 10)
        home.let(100)
        done = await finished(command)
        assert (done.status, done.stdout) == (0, f"{home.downloads / f'counted-{id}'}\n")
        assert "completed 数数 · 100 B" in done.stderr
        assert "\x1b" not in done.stderr


async def test_ctrl_c_cancels_a_download_and_what_it_left_goes(tmp_path: Path) -> None:
    home = Home(tmp_path)
    async with live_server(tmp_path) as live:
        command = await live.server.start_plugbay("download", "count:x")
        await at(live, id := (await newest(live))["id"], 10)
        assert home.parts() == [f"{id}.part"]
        command.send_signal(signal.SIGINT)
        done = await finished(command)
        assert (done.status, done.stdout) == (130, "")
        assert "--detach" in done.stderr
        assert (await task(live, id))["status"] == "cancelled"
        assert home.parts() == []


async def test_a_second_ctrl_c_leaves_at_once(tmp_path: Path) -> None:
    write(tmp_path / "plugins/download/blocked_plugin.py", BLOCKED.format(name="blocked", how="def"))
    async with live_server(tmp_path) as live:
        command = await live.server.start_plugbay("download", "blocked:x")
        await read_until(command.stderr, "Downloading")
        await settled(live, id := (await newest(live))["id"], "downloading")
        command.send_signal(signal.SIGINT)
        await read_until(command.stderr, "Ctrl-C again leaves at once")
        command.send_signal(signal.SIGINT)
        done = await finished(command)
        assert done.status == 130
        assert (await task(live, id))["status"] == "downloading", "the server needs longer to stop this one"
        [command_line] = re.findall(r"plugbay (tasks cancel \w+)$", done.stderr, re.MULTILINE)
        await live.server.plugbay(*command_line.split())
        await settled(live, id, "cancelled")


async def test_a_download_is_followed_over_the_death_of_the_server(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    home = Home(tmp_path)
    port = ("--port", str(unused_tcp_port))
    async with live_server(tmp_path, *port) as live:
        command = await live.server.start_plugbay("download", "count:x")
        await at(live, id := (await newest(live))["id"], 10)
        await live.server.kill()
        await read_until(command.stderr, "coming back")
    home.let(100)
    async with live_server(tmp_path, *port):
        done = await finished(command)
    assert (done.status, done.stdout) == (0, f"{home.downloads / f'counted-{id}'}\n")


async def test_detached_handed_over_and_failed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    write(tmp_path / "plugins/download/submitting_plugin.py", SUBMITTING.format(version="1"))
    async with live_server(tmp_path) as live:
        begun = await live.server.plugbay("download", "count:x", "--detach", "--json")
        id = json.loads(begun.stdout)["id"]
        await at(live, id, 10)
        handed = await live.server.plugbay("download", "submit:handed")
        assert (handed.status, handed.stdout) == (0, "")
        assert "Handed over" in handed.stderr
        (home.data / "gate").write_text("nonsense")
        failed = await live.server.plugbay("download", "count:x")
        assert (failed.status, failed.stdout) == (1, "")
        assert "The download failed: Plugin download/counting raised ValueError" in failed.stderr
        told = json.loads((await live.server.plugbay("download", "count:x", "--json")).stdout)
        assert told == (await live.get(f"/api/tasks/{told['id']}")).body


async def test_tasks_are_listed_shown_and_changed(tmp_path: Path) -> None:
    Home(tmp_path)
    put(tmp_path, "one", INSTANT)
    async with live_server(tmp_path) as live:
        plugbay = live.server.plugbay
        assert (await plugbay("search", "x")).status == 0
        id = json.loads((await plugbay("download", "count:x", "--detach", "--json")).stdout)["id"]
        await at(live, id, 10)
        listed = await plugbay("tasks")
        assert re.search(
            rf"^{id[:8]}  download  downloading +counting +count:x +10% +10 B/s", listed.stdout, re.M
        )
        assert re.search(r"search +completed +x +3 hits", listed.stdout)
        for verb, status in (("pause", "paused"), ("cancel", "cancelled")):
            done = await plugbay("tasks", verb, id[:6])
            assert (done.status, done.stdout) == (0, f"{id[:8]}  {status}  count:x\n")
        refused = await plugbay("tasks", "resume", id[:8])
        assert (refused.status, refused.stdout) == (1, "")
        assert "cannot be resumed" in refused.stderr
        assert (await plugbay("tasks", "retry", id)).status == 0
        assert (await plugbay("tasks", "show", id[:8])).stdout.startswith(f"id        {id}\n")
        one = json.loads((await plugbay("tasks", "--kind", "search", "--json")).stdout)["tasks"][0]
        shown = (await plugbay("tasks", "show", one["id"][:8])).stdout
        assert "one x 2" in shown


# -- terminals -----------------------------------------------------------------------------------------------------


class Terminal:
    """A terminal of 80 columns and 24 lines with a command in it; `said` is all that was written to it."""

    def __init__(self, process: Process, reader: asyncio.StreamReader, descriptor: int) -> None:
        self.process = process
        self.said = ""
        self._reader = reader
        self._descriptor = descriptor

    async def until(self, words: str) -> None:
        """Until something was written to it."""
        async with asyncio.timeout(20):
            while words not in self.said:
                assert await self._more(), f"it ended, having written:\n{self.said}"

    async def end(self) -> int:
        """The status that the command ends with."""
        async with asyncio.timeout(20):
            while await self._more():
                pass
            return await self.process.wait()

    def type(self, keys: str) -> None:
        """Types something."""
        os.write(self._descriptor, keys.encode())

    def last_lines(self) -> list[str]:
        """What stays when all that was drawn for the moment is gone, without colours."""
        kept = self.said.rpartition("\x1b[?25h")[2]
        return re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|\]8;[^\x1b]*\x1b\\)", "", kept).replace("\r", "").splitlines()

    async def _more(self) -> bool:
        try:
            part = await self._reader.read(65536)
        except OSError:  # what Linux says when nobody has the other end open any more
            return False
        self.said += part.decode(errors="replace")
        return bool(part)


@asynccontextmanager
async def terminal(live: Live, *arguments: str) -> AsyncIterator[Terminal]:
    """A command in a terminal of its own, so that Ctrl-C in it is what the system makes of it."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    take = "import fcntl,os,sys,termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    environ = environment(PLUGBAY_URL=live.server.url, PLUGBAY_LANG="zh", TERM="xterm-256color")
    environ = {name: value for name, value in environ.items() if name not in ("COLUMNS", "LINES")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", take, sys.executable, "-m", "service", *arguments),
        env=environ,
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    reader = asyncio.StreamReader()
    pipe = os.fdopen(os.dup(ours), "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    try:
        yield Terminal(process, reader, ours)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        transport.close()
        os.close(ours)


async def test_a_search_in_a_terminal(tmp_path: Path) -> None:
    for name, text in (("one", INSTANT), ("slow", GATED), ("bad", RAISING)):
        put(tmp_path, name, text)
    async with live_server(tmp_path) as live, terminal(live, "search", "斗罗大陆") as screen:
        await screen.until("正在搜索：slow")
        await screen.until("slow first")
        open_gate(tmp_path, "slow")
        assert await screen.end() == 0
        lines = screen.last_lines()
        assert re.match(r"标题 +插件 +详情$", lines[0])
        row = next(at for at, line in enumerate(lines) if re.match(r"one 斗罗大陆 0 +one$", line))
        assert lines[row + 1] == "  u0"
        assert any(line.startswith("bad 失败：") for line in lines)
        assert lines[-1].startswith("5 个结果 · ")
        assert all(cell_len(line) <= 80 for line in lines)


async def test_ctrl_c_in_a_terminal(tmp_path: Path) -> None:
    put(tmp_path, "slow", GATED)
    async with live_server(tmp_path) as live, terminal(live, "search", "x") as screen:
        await screen.until("slow first")
        screen.type("\x03")
        assert await screen.end() == 130
        assert "搜索已取消 · 1 个结果" in screen.last_lines()[-1]
        assert (await newest(live))["status"] == "cancelled"


async def test_a_download_in_a_terminal(tmp_path: Path) -> None:
    home = Home(tmp_path)
    async with (
        live_server(tmp_path) as live,
        terminal(live, "download", "count:x", "--title", "数数") as screen,
    ):
        await screen.until("10.0%  10 B/100 B  10 B/s  剩余 1:30")
        await screen.until("下载中")
        home.let(100)
        assert await screen.end() == 0
        said, path = screen.last_lines()
        assert said.startswith("已完成 数数 · 100 B")
        assert path == str(home.downloads / f"counted-{(await newest(live))['id']}")


async def test_the_watched_list_in_a_terminal(tmp_path: Path) -> None:
    home = Home(tmp_path)
    async with live_server(tmp_path) as live, terminal(live, "tasks", "--watch") as screen:
        await screen.until("没有任务")
        id = (await live.post("/api/download", {"url": "count:x", "title": "数数"})).body["task"]["id"]
        await screen.until("10%")
        home.let(100)
        await screen.until("100%")
        screen.type("\x03")
        assert await screen.end() == 130
        assert id[:8] in screen.said
        assert "Traceback" not in screen.said
