"""Tasks on the disk: pages, results, checkpoints, and what a damaged row or file costs."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import msgspec

from service.model.task import Task, TaskKind, TaskStatus
from tests.unit.tasks.world import World, until, world


def task(number: int, **facts: object) -> Task:
    made = Task(id=f"t{number}", kind=TaskKind.DOWNLOAD, created_at="2026-01-01T00:00:00Z")
    return msgspec.structs.replace(made, **facts)


async def test_pages_go_on_where_the_last_one_ended_whatever_is_added(world: World) -> None:
    for number in range(7):
        status = TaskStatus.COMPLETED if number % 2 else TaskStatus.PENDING
        await world.store.save(task(number, status=status, plugin_name="a" if number < 4 else "b"))
    page = await world.store.page(limit=3)
    assert [one.id for one in page.tasks] == ["t6", "t5", "t4"]
    await world.store.save(task(7))
    rest = await world.store.page(limit=9, before=int(page.next_cursor or 0))
    assert [one.id for one in rest.tasks] == ["t3", "t2", "t1", "t0"]
    assert rest.next_cursor is None
    assert (await world.store.page(limit=4, before=5)).next_cursor is None
    some = await world.store.page(limit=9, statuses=[TaskStatus.COMPLETED], plugin="a")
    assert [one.id for one in some.tasks] == ["t3", "t1"]
    assert (await world.store.page(limit=9, kinds=[TaskKind.SEARCH])).tasks == []


async def test_tasks_are_found_by_words_in_whatever_they_are_called(world: World) -> None:
    address = "https://Example.org/%E5%A4%9C/100%25_a.mp4"
    await world.store.save(task(1, title="Night Train", plugin_name="http", url=address))
    await world.store.save(task(2, title="Straße 7", keyword="夜行列车"))
    await world.store.save(task(3, title="Train", url="magnet:?" + "x" * 3000 + "late"))
    await world.damage(lambda db: db.execute("UPDATE tasks SET task = x'7bff' WHERE id = 't3'"))

    async def found(words: str, **more: object) -> list[str]:
        page = await world.store.page(words=words, limit=9, **more)  # type: ignore[arg-type]
        return [one.id for one in page.tasks]

    assert await found("") == await found("  ") == ["t2", "t1"]
    assert await found("train NIGHT") == ["t1"]
    assert await found("ｎｉｇｈｔ") == ["t1"]
    assert await found("夜") == ["t2", "t1"]
    assert await found("STRASSE") == ["t2"]
    assert await found("100%_a http") == ["t1"]
    assert await found("'%_") == await found("late") == await found("night 7") == []
    assert await found("夜", statuses=[TaskStatus.FAILED]) == []
    first = await world.store.page(words="夜", limit=1)
    assert (first.tasks[0].id, first.next_cursor) == ("t2", "2")
    rest = await world.store.page(words="夜", limit=1, before=2)
    assert (rest.tasks[0].id, rest.next_cursor) == ("t1", None)
    # Whatever is known of it later counts as well.
    await world.store.save(task(2, title="Other"))
    assert await found("STRASSE") == [] and await found("other") == ["t2"]


async def test_tasks_that_an_older_version_kept_are_found(tmp_path: Path) -> None:
    async with world(tmp_path) as before:
        await before.store.save(task(1, title="Night"))
        await before.store.save(task(2, title="Broken"))

        def older(db: sqlite3.Connection) -> None:
            db.execute("UPDATE tasks SET task = x'7bff' WHERE id = 't2'")
            db.execute("DROP TABLE task_words")
            db.execute("ALTER TABLE changes DROP COLUMN by")
            db.execute("PRAGMA user_version = 3")

        await before.damage(older)
    async with world(tmp_path) as after:
        assert [one.id for one in (await after.store.page(words="NIGHT", limit=9)).tasks] == ["t1"]


async def test_results_and_checkpoints_survive_and_are_gone_when_it_is_done_again(tmp_path: Path) -> None:
    async with world(tmp_path) as before:
        await before.store.save(task(1))
        before.store.add_results_soon("t1", 0, [{"a": 1}, {"a": 2}])
        before.store.add_results_soon("t1", 2, [{"a": 3}])
        await before.store.set_checkpoint("t1", b'{"at":5}')
        await before.store.save(task(1, status=TaskStatus.DOWNLOADING, external_id="g"))
    async with world(tmp_path) as after:
        [(found, checkpoint)] = await after.store.unfinished()
        assert (found.status, found.results, checkpoint) == ("downloading", None, {"at": 5})
        assert await after.store.results("t1") == [{"a": 1}, {"a": 2}, {"a": 3}]
        assert found.external_id == "g"
        await after.store.begin_again(task(1))
        assert await after.store.results("t1") == []
        assert await after.store.checkpoint("t1") == {"at": 5}
        await after.store.save(task(1, status=TaskStatus.CANCELLED))
        assert await after.store.unfinished() == []


async def test_a_damaged_row_costs_itself_only(world: World) -> None:
    for number in range(4):
        await world.store.save(task(number))
        world.store.add_results_soon(f"t{number}", 0, [{"n": number}])
        world.store.add_results_soon(f"t{number}", 1, [{"n": number}])
    await world.damage(lambda db: db.execute("UPDATE tasks SET task = x'7bff' WHERE id = 't1'"))
    await world.damage(lambda db: db.execute("UPDATE tasks SET task = '{\"id\":\"t2\"}' WHERE id = 't2'"))
    await world.damage(lambda db: db.execute("UPDATE tasks SET checkpoint = '[' WHERE id = 't3'"))
    await world.damage(lambda db: db.execute("UPDATE task_results SET results = '{}' WHERE number = 0"))
    assert [one.id for one in (await world.store.page(limit=9)).tasks] == ["t3", "t0"]
    unfinished = await world.store.unfinished()
    assert [(one.task.id, one.checkpoint) for one in unfinished] == [("t0", None), ("t3", None)]
    assert await world.store.get("t1") is None
    assert (await world.kept("t3")).results == [{"n": 3}]


async def test_a_task_that_runs_while_the_database_is_replaced_is_kept_in_the_new_one(world: World) -> None:
    live = await world.download()
    await world.damage(lambda db: db.execute("DELETE FROM tasks"))
    await world.board.change(live, TaskStatus.DOWNLOADING)
    await world.board.change(live, TaskStatus.COMPLETED)
    assert (await world.kept(live.id)).status == "completed"


async def test_one_write_that_cannot_be_done_costs_no_other_of_its_batch(world: World) -> None:
    """One that SQLite's own types refuse among them."""
    outcomes: list[str] = []

    async def write(value: object) -> None:
        try:
            await world.disk.write(
                lambda db: db.execute("UPDATE tasks SET plugin = ? WHERE id = 't1'", (value,))
            )
            outcomes.append(f"kept {value}")
        except OverflowError:
            outcomes.append("refused")

    await world.store.save(task(1))
    await asyncio.gather(write("a"), write(2**70), write("b"))
    await until(lambda: len(outcomes) == 3)
    assert sorted(outcomes) == ["kept a", "kept b", "refused"]
