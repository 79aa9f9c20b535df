"""Downloads as tasks, over real worker processes: progress, pause, cancel, and what outlives whom."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.integration.live import Live, live_server, save, write
from tests.integration.test_tasks import ended, of, task, told

pytestmark = pytest.mark.timeout(120)

COUNTING = '''\
import asyncio, json
from service.sdk import DownloadPlugin

class Counting(DownloadPlugin):
    """Counts to a hundred as far as its gate lets it."""
    name = "counting"
    version = "{version}"
    description = "counts"
    supported_protocols = ["count"]
    resumable = {resumable}

    async def download(self, task):
        at = (task.resume or {{}}).get("at", 0)
        part = self.downloads_dir / f"{{task.id}}.part"
        self.downloads_dir.mkdir(parents=True, exist_ok=True)
        part.touch()
        log = self.data_dir / "log"
        try:
            while at < 100:
                limit = int((self.data_dir / "gate").read_text())
                if at >= limit:
                    await asyncio.sleep(0.02)
                    continue
                at += 1
                with log.open("a") as file:
                    file.write(f"{version} {{at}}\\n")
                await task.checkpoint({{"at": at}})
                await task.report(downloaded=at, total=100, speed=10.0, eta=100.0 - at)
        except asyncio.CancelledError:
            if not task.paused:
                part.unlink()
            raise
        task.save_path = str(part.rename(self.downloads_dir / f"counted-{{task.id}}"))
        return True

    async def discard(self, task):
        (self.downloads_dir / f"{{task.id}}.part").unlink(missing_ok=True)
'''


def counting(version: str = "1", *, resumable: bool = True) -> str:
    return COUNTING.format(version=version, resumable=resumable)


class Home:
    """A home with the counting plugin, and its gate."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        self.file = path / "plugins/download/counting_plugin.py"
        self.data = path / "data/plugins/download/counting"
        self.downloads = path / "data/downloads"
        write(self.file, counting(**options))
        self.let(10)

    def let(self, limit: int) -> None:
        """Let it count so far."""
        self.data.mkdir(parents=True, exist_ok=True)
        part = self.data / "gate.new"
        part.write_text(str(limit))
        part.rename(self.data / "gate")

    def log(self) -> list[str]:
        """Every step that was counted, with the version that did it."""
        return (self.data / "log").read_text().splitlines()

    def parts(self) -> list[str]:
        return [path.name for path in self.downloads.iterdir()] if self.downloads.is_dir() else []


async def start(live: Live, url: str = "count:x", **more: Any) -> str:
    answer = await live.post("/api/download", {"url": url, "title": "数数", **more})
    assert answer.status == 200, answer
    assert answer.body["status"] == "success"
    id: str = answer.body["task"]["id"]
    return id


async def at(live: Live, id: str, downloaded: int) -> dict[str, Any]:
    """The task when it has come so far."""
    async with asyncio.timeout(20):
        while ((now := await task(live, id))["downloaded"] or 0) < downloaded:
            await asyncio.sleep(0.02)
        return now


async def counted(live: Live) -> dict[str, Any]:
    """How the plugin was called."""
    stats: dict[str, Any] = (await live.get("/api/stats")).body["plugins"]["download/counting"]
    return stats


async def test_a_download_from_its_start_to_its_end(tmp_path: Path) -> None:
    home = Home(tmp_path)
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        id = await start(live, metadata={"a": 1})
        now = await at(live, id, 10)
        assert (now["status"], now["plugin_name"], now["generation"]) == ("downloading", "counting", 1)
        assert (now["progress"], now["total"], now["speed"], now["eta"]) == (10, 100, 10.0, 90.0)
        listed = (await live.get("/api/downloads")).body
        [platform] = [one for one in listed["platforms"] if one["name"] == "counting"]
        assert [(one["id"], one["status"]) for one in platform["downloads"]] == [(id, "downloading")]
        assert listed["total"] == 1
        one = (await live.get("/api/downloads", params={"platform": "counting"})).body
        assert one["platform"] == "counting"
        assert len(one["downloads"]) == 1
        assert (await counted(live))["running"] == 1
        home.let(100)
        done = await ended(live, id)
        stats = await counted(live)
        assert (stats["calls"], stats["errors"]) == (1, 0)
        assert stats["mean_ms"] > 1
        assert (done["status"], done["progress"], done["metadata"]) == ("completed", 100, {"a": 1})
        assert done["save_path"] == str(home.downloads / f"counted-{id}")
        progress = of(live, id, "progress")
        assert progress
        assert all({"speed", "eta", "task"} <= data.keys() for data in progress)
        assert home.log() == [f"1 {n}" for n in range(1, 101)]


async def test_pause_resume_and_cancel(tmp_path: Path) -> None:
    home = Home(tmp_path)
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        id = await start(live)
        await at(live, id, 10)
        paused = await live.post(f"/api/tasks/{id}/pause")
        assert (paused.status, paused.body["status"], paused.body["speed"]) == (200, "paused", None)
        assert home.parts() == [f"{id}.part"]
        home.let(30)
        save(home.file, counting("2"))
        await live.event("reloaded", "download/counting")
        resumed = await live.post(f"/api/tasks/{id}/resume")
        assert resumed.status == 200
        now = await at(live, id, 30)
        assert now["generation"] == 2
        assert home.log() == [f"1 {n}" for n in range(1, 11)] + [f"2 {n}" for n in range(11, 31)]
        cancelled = await live.post(f"/api/tasks/{id}/cancel")
        assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled")
        assert home.parts() == []
        retried = await live.post(f"/api/tasks/{id}/retry")
        assert retried.status == 200
        assert (await live.post(f"/api/tasks/{id}/pause")).body["status"] == "paused"
        assert (await live.post(f"/api/tasks/{id}/cancel")).body["status"] == "cancelled"
        assert home.parts() == []
        assert (await counted(live))["errors"] == 0, "to stop as was wished is no error"
        for verb in ("pause", "resume", "cancel"):
            refused = await live.post(f"/api/tasks/{id}/{verb}")
            assert (refused.status, refused.body["code"]) == (409, "task_conflict")


async def test_the_plugin_is_edited_deleted_and_the_download_ends_as_it_would_have(tmp_path: Path) -> None:
    home = Home(tmp_path)
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        id = await start(live)
        await at(live, id, 10)
        save(home.file, counting("2"))
        await live.event("reloaded", "download/counting")
        home.let(20)
        await at(live, id, 20)
        home.file.unlink()
        await live.event("unloaded", "download/counting")
        home.let(100)
        done = await ended(live, id)
        assert (done["status"], done["generation"]) == ("completed", 1)
        assert {line.split()[0] for line in home.log()} == {"1"}


async def test_it_goes_on_when_its_worker_and_when_the_server_are_killed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    text = home.file.read_text().replace(
        "        at = (task",
        "        (self.data_dir / 'pid').write_text(str(__import__('os').getpid()))\n        at = (task",
    )
    home.file.write_text(text)
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        id = await start(live)
        await at(live, id, 10)
        os.kill(int((home.data / "pid").read_text()), signal.SIGKILL)
        home.let(30)
        await at(live, id, 30)
        await live.server.kill()
    home.let(100)
    async with live_server(tmp_path) as live:
        async with asyncio.timeout(20):
            while (now := await task(live, id))["status"] != "completed":
                await asyncio.sleep(0.05)
        assert now["progress"] == 100
        steps = [int(line.split()[1]) for line in home.log()]
        assert sorted(set(steps)) == list(range(1, 101))
        assert len(steps) <= 103  # a step that was made and not kept is made again, no more


async def test_one_that_cannot_go_on_fails_and_can_be_tried_again(tmp_path: Path) -> None:
    home = Home(tmp_path, resumable=False)
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        id = await start(live)
        await at(live, id, 10)
        refused = await live.post(f"/api/tasks/{id}/pause")
        assert (refused.status, refused.body["code"]) == (409, "task_conflict")
        await live.server.kill()
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        failed = await task(live, id)
        assert (failed["status"], failed["problem"]["code"]) == ("failed", "server_stopped")
        home.let(100)
        assert (await live.post(f"/api/tasks/{id}/retry")).status == 200
        await told(live, id, "completed")
        assert (await task(live, id))["error"] is None


async def test_an_orderly_stop_keeps_what_can_go_on(tmp_path: Path) -> None:
    home = Home(tmp_path)
    async with live_server(tmp_path) as live:
        id = await start(live)
        await at(live, id, 10)
        paused = await start(live)
        await at(live, paused, 10)
        assert (await live.post(f"/api/tasks/{paused}/pause")).status == 200
        assert await live.server.stop() == 0
    assert sorted(home.parts()) == sorted([f"{id}.part", f"{paused}.part"])
    home.let(100)
    async with live_server(tmp_path) as live:
        async with asyncio.timeout(20):
            while (await task(live, id))["status"] != "completed":
                await asyncio.sleep(0.05)
        assert (await task(live, paused))["status"] == "paused"


BLOCKED = """\
import time
from service.sdk import DownloadPlugin

class Blocked(DownloadPlugin):
    name = "{name}"
    version = "1"
    description = "hangs, in a thread or on the loop"
    supported_protocols = ["{name}"]

    {how} download(self, task):
        (self.data_dir / "begun").touch()
        while True:
            time.sleep(0.1)
"""


async def test_one_that_does_not_stop_loses_its_worker(tmp_path: Path) -> None:
    plugins = {"thread": "def", "loop": "async def"}
    for name, how in plugins.items():
        write(tmp_path / f"plugins/download/{name}_plugin.py", BLOCKED.format(name=name, how=how))

    async def loses_its_worker(live: Live, name: str) -> None:
        id = await start(live, f"{name}:x")
        begun = tmp_path / f"data/plugins/download/{name}/begun"
        async with asyncio.timeout(20):
            while not begun.exists():
                await asyncio.sleep(0.02)
        cancelled = await live.post(f"/api/tasks/{id}/cancel")
        assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled")
        async with asyncio.timeout(20):
            while (plugin := await live.plugin(f"download/{name}"))["generation"] < 2 or plugin["draining"]:
                await asyncio.sleep(0.05)
        assert plugin["state"] == "active"

    async with live_server(tmp_path) as live, asyncio.TaskGroup() as group:
        for name in plugins:
            group.create_task(loses_its_worker(live, name))


SUBMITTING = '''\
import json
from service.sdk import DownloadPlugin

class Submitting(DownloadPlugin):
    """Hands its work to another program: a file says how far that is."""
    name = "submitting"
    version = "{version}"
    description = "submits"
    supported_protocols = ["submit"]

    async def download(self, task):
        task.status = "downloading"
        if task.url.endswith("follow"):
            task.external_id = "gid1"
        return True

    def get_progress(self, id):
        assert id == "gid1"
        return json.loads((self.data_dir / "progress").read_text())

    def cancel(self, id):
        (self.data_dir / "cancelled").write_text(id)
        return True

    def pause(self, id):
        (self.data_dir / "progress").write_text(json.dumps({{"status": "paused", "progress": 20}}))

    def resume(self, id):
        (self.data_dir / "progress").write_text(json.dumps({{"status": "downloading", "progress": 30}}))

    def get_downloads(self):
        return [{{"id": "gid1", "title": "theirs", "status": "downloading"}}, {{"id": "gid2", "title": "other"}}]

    def get_web_ui_url(self):
        return "http://127.0.0.1:1/"
'''


async def test_what_another_program_goes_on_with_is_followed(tmp_path: Path) -> None:
    file = write(tmp_path / "plugins/download/submitting_plugin.py", SUBMITTING.format(version="1"))
    data = tmp_path / "data/plugins/download/submitting"
    write(data / "progress", json.dumps({"progress": 10, "speed": 5}))

    async def tell(**progress: Any) -> None:
        part = write(data / "new", json.dumps(progress))
        part.rename(data / "progress")

    async def until(live: Live, id: str, **facts: Any) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while True:
                now = await task(live, id)
                if all(now[name] == value for name, value in facts.items()):
                    return now
                await asyncio.sleep(0.05)

    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        handed = await ended(live, await start(live, "submit:handed"))
        assert handed["status"] == "handed_over"
        id = await start(live, "submit:follow")
        await until(live, id, progress=10, speed=5, status="downloading")
        listed = (await live.get("/api/downloads", params={"platform": "submitting"})).body
        assert listed["web_ui_url"] == "http://127.0.0.1:1/"
        assert {one["id"] for one in listed["downloads"]} == {"gid1", "gid2", handed["id"]}
        save(file, SUBMITTING.format(version="2"))
        await live.event("reloaded", "download/submitting")
        await tell(progress=50, status="downloading")
        await until(live, id, progress=50)
        async with asyncio.timeout(20):
            while (await live.plugin("download/submitting"))["draining"]:
                await asyncio.sleep(0.05)
        assert (await live.post(f"/api/tasks/{id}/pause")).body["status"] == "paused"
        assert (await live.post(f"/api/tasks/{id}/resume")).body["status"] == "downloading"
        await live.server.kill()
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        await until(live, id, progress=30, status="downloading")
        file.unlink()
        await live.event("unloaded", "download/submitting")
        await tell(progress=100, status="completed", save_path="/there")
        await until(live, id, status="completed", save_path="/there")


async def test_a_followed_download_is_cancelled_where_it_runs(tmp_path: Path) -> None:
    write(tmp_path / "plugins/download/submitting_plugin.py", SUBMITTING.format(version="1"))
    data = tmp_path / "data/plugins/download/submitting"
    write(data / "progress", "10")
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        id = await start(live, "submit:follow")
        await told(live, id, "progress")
        answer = await live.post("/api/downloads/cancel", {"platform": "submitting", "download_id": "gid1"})
        assert (answer.status, answer.body) == (200, {"status": "success"})
        assert (data / "cancelled").read_text() == "gid1"
        assert (await ended(live, id))["status"] == "cancelled"
        answer = await live.post("/api/downloads/cancel", {"platform": "submitting", "download_id": "gid2"})
        assert answer.status == 200
        assert (data / "cancelled").read_text() == "gid2"


async def test_so_many_run_at_once(tmp_path: Path) -> None:
    home = Home(tmp_path)
    async with live_server(tmp_path, PLUGBAY_DOWNLOADS__AT_ONCE="2") as live:
        ids = [await start(live) for _ in range(4)]
        for id in ids[:2]:
            await at(live, id, 10)
        assert [(await task(live, id))["status"] for id in ids[2:]] == ["pending", "pending"]
        assert (await live.post(f"/api/tasks/{ids[2]}/cancel")).body["status"] == "cancelled"
        assert (await live.post(f"/api/tasks/{ids[0]}/pause")).body["status"] == "paused"
        await at(live, ids[3], 10)
        home.let(100)
        async with asyncio.timeout(30):
            while (await task(live, ids[3]))["status"] != "completed":
                await asyncio.sleep(0.05)


async def test_which_plugin_downloads_an_address(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(
            tmp_path / f"plugins/download/{name}_plugin.py",
            "from service.sdk import DownloadPlugin\n"
            f"class One(DownloadPlugin):\n    name = {name!r}\n    version = '1'\n    description = ''\n"
            "    supported_protocols = ['http', 'magnet', 'm3u8']\n"
            "    async def download(self, task):\n        return True\n",
        )
    async with live_server(tmp_path) as live:

        async def chosen(url: str, **more: Any) -> Any:
            answer = await live.post("/api/download", {"url": url, "title": "t", **more})
            return answer.body["task"]["plugin_name"] if answer.status == 200 else answer.body["code"]

        assert await chosen("http://x/y") == "a"
        assert await chosen("HTTP://x/y.m3u8?a=b") == "a"
        assert await chosen("magnet:?xt=urn:btih:0") == "a"
        assert await chosen("http://x/y.torrent") == "no_download_plugin"
        assert await chosen("ftp://x/y") == "no_download_plugin"
        assert await chosen("nothing") == "request_invalid"
        assert await chosen("http://[") == "request_invalid"
        assert await chosen("ftp://x/y", plugin_name="b") == "b"
        assert await chosen("http://x/y", plugin_name="c") == "plugin_not_found"
        await live.post("/api/plugins/download/a/toggle?enabled=false")
        assert await chosen("http://x/y") == "b"
        assert await chosen("http://x/y", plugin_name="a") == "plugin_disabled"
        await live.post("/api/plugins/download/a/toggle?enabled=true")
    async with live_server(tmp_path, PLUGBAY_DOWNLOADS__PREFER="b,a") as live:
        assert await chosen("http://x/y") == "b"


@pytest.mark.parametrize("rounds", [15, pytest.param(100, marks=pytest.mark.soak)])
async def test_reloads_meanwhile_change_no_download(tmp_path: Path, rounds: int) -> None:
    """One download runs through all of them; each further one keeps the code that it began with."""
    home = Home(tmp_path)
    async with live_server(tmp_path, PLUGBAY_DOWNLOADS__AT_ONCE_PER_PLUGIN="20") as live:
        await live.subscribe("tasks/**", "plugins/**")
        first = await start(live)
        await at(live, first, 5)
        others = []
        for number in range(2, rounds + 2):
            before = len(live.events)
            save(home.file, counting(str(number)))
            await live.event("reloaded", "download/counting", after=before)
            if number % 5 == 0 and len(others) < 5:
                others.append((number, await start(live, metadata={"version": number})))
                await at(live, others[-1][1], 5)
        await live.post("/api/plugins/download/counting/toggle?enabled=false")
        home.let(100)
        assert (await ended(live, first))["status"] == "completed"
        for number, id in others:
            done = await ended(live, id)
            assert (done["status"], done["metadata"]["version"]) == ("completed", number)
        used = {line.split()[0] for line in home.log()}
        assert used == {"1", *(str(number) for number, _ in others)}


async def plugin_idle(live: Live, id: str) -> None:
    async with asyncio.timeout(15):
        while (now := await live.plugin(id))["running_calls"] or now["draining"]:
            await asyncio.sleep(0.05)


def kinds(live: Live, id: str) -> list[str]:
    return [one.kind for one in live.events if one.id == f"tasks/{id}" and one.kind != "progress"]


async def test_the_same_wished_by_many_at_once_is_done_once(tmp_path: Path) -> None:
    home = Home(tmp_path)
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        id = await start(live)
        for round in range(1, 6):
            await at(live, id, 10 * round)

            async def wish(verb: str) -> Any:
                return (await live.post(f"/api/tasks/{id}/{verb}")).status

            assert await asyncio.gather(*(wish("pause") for _ in range(5))) == [200] * 5
            home.let(10 * round + 10)
            assert sorted(await asyncio.gather(*(wish("resume") for _ in range(5)))) == [200] + [409] * 4
        await at(live, id, 60)
        assert sorted(await asyncio.gather(*(wish("pause"), wish("cancel"), wish("cancel"))))[0] == 200
        assert (await task(live, id))["status"] == "cancelled"
        assert sorted(await asyncio.gather(*(wish("retry") for _ in range(5)))) == [200] + [409] * 4
        await at(live, id, 60)
        home.let(100)
        assert (await ended_after(live, id, "completed"))["status"] == "completed"
        # No step was made by two at once, and every change was told once and in order.
        assert home.log() == [f"1 {n}" for n in range(1, 61)] + [f"1 {n}" for n in range(1, 101)]
        assert home.parts() == [f"counted-{id}"]
        came = kinds(live, id)
        assert came[:2] == ["created", "started"]
        assert came.count("paused") in (5, 6)
        assert (came.count("cancelled"), came.count("completed"), came.count("created")) == (1, 1, 1)
        assert came[-3:] == ["queued", "started", "completed"]


async def ended_after(live: Live, id: str, kind: str) -> dict[str, Any]:
    await told(live, id, kind)
    return await task(live, id)


async def test_resumed_and_cancelled_in_any_order_it_ends_or_goes_on_but_never_hangs(tmp_path: Path) -> None:
    home = Home(tmp_path)
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        for verbs in (("resume", "cancel"), ("cancel", "resume"), ("resume", "pause", "cancel")):
            id = await start(live)
            await at(live, id, 10)
            assert (await live.post(f"/api/tasks/{id}/pause")).body["status"] == "paused"
            await asyncio.gather(*(live.post(f"/api/tasks/{id}/{verb}") for verb in verbs))
            assert (await task(live, id))["status"] == "cancelled"
            assert home.parts() == []
            assert kinds(live, id)[-1] == "cancelled"
            assert kinds(live, id).count("cancelled") == 1
        await plugin_idle(live, "download/counting")


async def test_one_that_was_to_pause_and_is_cancelled_meanwhile_leaves_nothing(tmp_path: Path) -> None:
    write(
        tmp_path / "plugins/download/slow_plugin.py",
        """\
import asyncio
from service.sdk import DownloadPlugin

class Slow(DownloadPlugin):
    name = "slow"
    version = "1"
    description = "takes its time to stop"
    supported_protocols = ["slow"]
    resumable = True

    async def download(self, task):
        self.downloads_dir.mkdir(parents=True, exist_ok=True)
        part = self.downloads_dir / "slow.part"
        part.touch()
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            paused = task.paused
            (self.data_dir / "stopping").touch()
            await asyncio.sleep(1)
            if not paused:
                part.unlink()
            raise

    async def discard(self, task):
        (self.downloads_dir / "slow.part").unlink(missing_ok=True)
""",
    )
    part = tmp_path / "data/downloads/slow.part"
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        id = await start(live, "slow:x")
        async with asyncio.timeout(20):
            while not part.exists():
                await asyncio.sleep(0.02)
        pausing = asyncio.create_task(live.post(f"/api/tasks/{id}/pause"))
        async with asyncio.timeout(20):
            while not (tmp_path / "data/plugins/download/slow/stopping").exists():
                await asyncio.sleep(0.02)
        cancelled = await live.post(f"/api/tasks/{id}/cancel")
        assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled")
        assert (await pausing).status == 200
        assert not part.exists()


async def test_a_paused_download_of_another_program_is_cancelled_also_without_its_plugin(
    tmp_path: Path,
) -> None:
    file = write(tmp_path / "plugins/download/submitting_plugin.py", SUBMITTING.format(version="1"))
    data = tmp_path / "data/plugins/download/submitting"
    write(data / "progress", "10")
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        id = await start(live, "submit:follow")
        await told(live, id, "progress")
        assert (await live.post(f"/api/tasks/{id}/pause")).body["status"] == "paused"
        file.unlink()
        await live.event("unloaded", "download/submitting")
        cancelled = await live.post(f"/api/tasks/{id}/cancel")
        assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled")
        assert (data / "cancelled").read_text() == "gid1"


async def test_one_that_is_cancelled_while_it_is_handed_over_is_cancelled_there(tmp_path: Path) -> None:
    text = SUBMITTING.format(version="1").replace(
        "    async def download(self, task):\n",
        "    def download(self, task):\n"
        "        import time\n"
        "        (self.data_dir / 'begun').touch()\n"
        "        while not task.cancelled:\n"
        "            time.sleep(0.02)\n",
    )
    write(tmp_path / "plugins/download/submitting_plugin.py", text)
    data = tmp_path / "data/plugins/download/submitting"
    write(data / "progress", "10")
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        id = await start(live, "submit:follow")
        async with asyncio.timeout(20):
            while not (data / "begun").exists():
                await asyncio.sleep(0.02)
        cancelled = await live.post(f"/api/tasks/{id}/cancel")
        assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled")
        assert (data / "cancelled").read_text() == "gid1"


ODD = """\
import asyncio
from service.sdk import ConfigField, DownloadPlugin

class Odd(DownloadPlugin):
    name = "odd"
    version = "1"
    description = "tells odd things"
    supported_protocols = ["odd"]

    def get_config_schema(self):
        return [ConfigField(name="key", type="text", required={required})]

    async def download(self, task):
        for number in range(1500):
            await task.checkpoint({{"n": number}})
        for text in ("x", "nan", "inf", "-inf", "1e400", "9" * 400, "12"):
            task.report(downloaded=text, total="24", speed=text, progress=None)
        task.report(downloaded=1, total=0)
        task.metadata = {{"n": float("nan")}}
        task.title = "x" * 1_000_000
        return True
"""


async def test_odd_reports_and_many_checkpoints_cost_no_download(tmp_path: Path) -> None:
    write(tmp_path / "plugins/download/odd_plugin.py", ODD.format(required=False))
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        id = await start(live, "odd:x", metadata={"mine": 1})
        done = await ended(live, id)
        assert (done["status"], done["error"]) == ("completed", None)
        assert (done["metadata"], len(done["title"])) == ({"mine": 1}, 1000)
        assert (await live.plugin("download/odd"))["generation"] == 1


async def test_required_configuration_that_is_missing_fails_the_download(tmp_path: Path) -> None:
    write(tmp_path / "plugins/download/odd_plugin.py", ODD.format(required=True))
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        failed = await ended(live, await start(live, "odd:x"))
        assert (failed["status"], failed["problem"]["code"]) == ("failed", "config_missing")


DEAF = """\
import time
from service.sdk import DownloadPlugin

class Deaf(DownloadPlugin):
    name = "deaf"
    version = "1"
    description = "does not hear; another download keeps its worker alive"
    supported_protocols = ["deaf", "other"]
    resumable = True

    def download(self, task):
        if task.url.startswith("other"):
            while not (self.data_dir / "gate").exists():
                time.sleep(0.02)
            return True
        if task.resume:
            task.report(downloaded=2)
            while not task.cancelled:
                time.sleep(0.02)
            return False
        while True:
            task.checkpoint({"mine": 1})
            task.report(downloaded=1)
            time.sleep(0.05)
"""


async def test_a_stuck_download_that_goes_on_tells_nothing_any_more(tmp_path: Path) -> None:
    """Paused, it goes on in its old worker; what it tells from there is not of the one that was resumed."""
    write(tmp_path / "plugins/download/deaf_plugin.py", DEAF)
    async with live_server(tmp_path) as live:
        await live.subscribe("tasks/**")
        other = await start(live, "other:x")
        id = await start(live, "deaf:x")
        await at(live, id, 1)
        assert (await live.post(f"/api/tasks/{id}/pause")).body["status"] == "paused"
        assert (await live.post(f"/api/tasks/{id}/resume")).status == 200
        assert (await at(live, id, 2))["generation"] == 2
        before = len(live.events)
        with contextlib.suppress(AssertionError):
            await live.until(
                lambda _: [
                    one
                    for one in of(live, id, "progress")
                    if one["task"]["downloaded"] == 1 and one["task"]["generation"] == 2
                ],
                timeout=1.5,
            )
        assert not [one for one in live.events[before:] if one.id == f"tasks/{id}"]
        assert (await task(live, id))["downloaded"] == 2
        assert (await live.post(f"/api/tasks/{id}/cancel")).body["status"] == "cancelled"
        write(tmp_path / "data/plugins/download/deaf/gate", "")
        assert (await ended(live, other))["status"] == "completed"
