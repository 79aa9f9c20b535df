"""The server's threads are there from its start on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from unittest.mock import Mock

import pytest

from service.host import threads


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is started here ends here."""
    monkeypatch.setattr(threads._Writers, "pool", None)
    yield
    if threads._Writers.pool is not None:
        threads._Writers.pool.shutdown()


async def test_no_thread_has_to_be_started_later(monkeypatch: pytest.MonkeyPatch) -> None:
    threads.start()
    refused = Mock(side_effect=RuntimeError("can't start new thread"))
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refused)
        names = await asyncio.gather(
            *(asyncio.to_thread(lambda: threading.current_thread().name) for _ in range(50)),
            *(threads.writing(lambda: threading.current_thread().name) for _ in range(50)),
        )
    assert {name.partition("_")[0] for name in names} == {"server", "disk"}


async def test_writers_that_wait_hold_up_no_reader() -> None:
    threads.start()
    thawed = threading.Event()
    writes = [asyncio.create_task(threads.writing(thawed.wait, 20)) for _ in range(3 * threads.WRITERS)]
    assert await asyncio.wait_for(asyncio.to_thread(lambda: "read"), 10) == "read"
    assert not any(write.done() for write in writes)
    thawed.set()
    assert all(await asyncio.gather(*writes))


async def test_a_system_that_gives_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    start, left = threading.Thread.start, [5]

    def few(thread: threading.Thread) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", few)
    with pytest.raises(threads.TooFewThreads) as caught:
        threads.start()
    assert "pids.max" in caught.value.text.en
    assert "pids.max" in caught.value.text.zh
