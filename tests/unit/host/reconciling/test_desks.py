"""Changes that are asked for, and merged until they are taken up."""

from __future__ import annotations

import asyncio

from service.host.files.sources import Snapshot, SourceFile, unit_of
from service.host.files.tree import SourceTree
from service.host.reconciling.desks import Change, Desk
from service.model.events import Cause


def desk() -> Desk:
    unit = unit_of("search/demo_plugin.py")
    assert unit is not None
    return Desk(unit)


def snapshot() -> Snapshot:
    tree = SourceTree()
    tree.apply("search/demo_plugin.py", SourceFile(b"", "", None, "", 0))
    return tree.snapshot(desk().unit)


async def test_changes_are_merged_until_they_are_taken() -> None:
    one, loop = desk(), asyncio.get_running_loop()
    waiters = [loop.create_future(), loop.create_future()]
    one.put(Change(Cause.FILE, settles=True, noticed_ns=1, waiters=[waiters[0]]))
    one.put(Change(Cause.API, kind="enabled", force=True, noticed_ns=2, waiters=[waiters[1]]))
    one.put(Change(Cause.CONFIG, kind="configured", noticed_ns=3))
    taken = one.take()
    assert taken == Change(Cause.CONFIG, kind="enabled", force=True, noticed_ns=3, waiters=waiters)
    assert one.take() is None


def test_a_failure_settles_only_where_all_agree() -> None:
    save = Change(Cause.FILE, settles=True)
    assert Change(Cause.FILE, settles=True).merged_into(save).settles
    assert not Change(Cause.API).merged_into(save).settles


def test_what_the_files_hold_is_worth_more_than_what_crashed() -> None:
    crash, save = Change(Cause.CRASH, force=True, snapshot=snapshot()), Change(Cause.FILE)
    assert save.merged_into(crash).snapshot is None
    assert crash.merged_into(save).snapshot is None
    assert crash.merged_into(crash).snapshot is not None


async def test_an_arrival_counts_once() -> None:
    one = desk()
    one.put(Change(Cause.FILE))
    await asyncio.wait_for(one.arrival(), 1)
    waiting = asyncio.ensure_future(one.arrival())
    await asyncio.sleep(0)
    assert not waiting.done()
    one.put(Change(Cause.FILE))
    await asyncio.wait_for(waiting, 1)


async def test_what_is_pending_has_arrived() -> None:
    one = desk()
    assert not await one.arrival_within(0.01)
    one.put(Change(Cause.FILE))
    assert await one.arrival_within(0.01)
    one.take()
    assert not await one.arrival_within(0.01)


async def test_an_arrival_or_something_else_first() -> None:
    one, done = desk(), asyncio.get_running_loop().create_future()
    first = asyncio.ensure_future(one.arrival_before(done))
    await asyncio.sleep(0)
    one.put(Change(Cause.FILE))
    assert await first
    assert not done.done()
    second = asyncio.ensure_future(one.arrival_before(done))
    await asyncio.sleep(0)
    done.set_result(None)
    assert not await second


def test_imports_are_those_of_what_serves_and_of_what_does_not_load() -> None:
    one = desk()
    assert not one.imports_module("plugins.a")
    one.imports, one.missed = frozenset({"plugins.a"}), frozenset({"plugins.b"})
    assert one.imports_module("plugins.a") and one.imports_module("plugins.b")
    assert not one.imports_module("plugins.c")
