"""What a plugin writes of a task into the original application's database, and reads there."""

from __future__ import annotations

import asyncio
from pathlib import Path

from service.worker.compat import models
from service.worker.compat.database import Database, get_database
from tests.unit.worker.originals import Told


async def test_what_is_written_of_a_running_download_is_told_to_it() -> None:
    with Told() as told:
        db = get_database()
        assert db.update_task("task-1", {"progress": "45.5%", "progress_message": "half", "speed": "1 MB/s"})
        assert (
            await db.update_task("task-1", {"downloaded_size": "10", "total_size": 40.0, "eta": -1}) is True
        )
        assert await asyncio.create_task(db.update_task("task-1", {"progress": 400}))
        assert all(await asyncio.gather(db.update_task("task-1", progress=50), db.update_task("task-1")))
        assert told.reports == [
            {"progress": 45.5, "message": "half"},
            {"downloaded": 10, "total": 40, "progress": 25.0},
            {"progress": 100.0},
            {"progress": 50.0},
        ]
        await db.update_task(
            "task-1",
            {
                "status": models.TaskStatus.FAILED,
                "error": "gone",
                "file_path": Path("/a"),
                "metadata": {"k": 1},
            },
        )
        assert (told.task.status, told.task.error, told.task.save_path) == ("failed", "gone", "/a")
        assert told.task.metadata == {"k": 1}
        assert told.reports[-1] == {"message": "gone"}


async def test_what_a_running_download_is_like_can_be_read() -> None:
    with Told(title="a title") as told:
        db = await get_database()
        db.update_task("task-1", {"progress": 30, "progress_message": "part", "colour": "red"})
        plain, awaited = db.get_task("task-1"), await db.get_task("task-1")
        assert plain == awaited
        assert isinstance(awaited, dict)
        assert {
            name: plain[name] for name in ("id", "title", "status", "progress", "progress_message", "colour")
        } == {
            "id": "task-1",
            "title": "a title",
            "status": "downloading",
            "progress": 30,
            "progress_message": "part",
            "colour": "red",
        }
        told.why = "cancel"
        assert db.get_task("task-1")["status"] == "cancelled"
        told.why = "pause"
        assert db.get_task("task-1")["status"] == "paused"


async def test_tasks_that_do_not_run_here_are_remembered_for_a_while() -> None:
    db = Database()
    assert not db.get_task("other")
    assert await db.get_task("other") is None
    for number in range(3000):
        assert await db.update_task(number, {"progress": number})
    assert await db.get_task(2999) == {"id": "2999", "progress": 2999}
    assert await db.get_task(0) is None
    assert db.update_task("x", None)
    assert db.update_task("x", models.SearchResult(title="t", url="u"))
    assert db.get_task("x")["title"] == "t"


async def test_an_answer_waits_for_what_it_brought_about() -> None:
    gate = asyncio.Event()

    async def send() -> None:
        await gate.wait()

    with Told() as told:
        told.task._send = lambda kind, data: send()
        answer = asyncio.create_task(get_database().update_task("task-1", {"progress": 1}))
        await asyncio.sleep(0)
        assert not answer.done()
        gate.set()
        assert await answer is True
