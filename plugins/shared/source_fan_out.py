"""Several sources asked at once, their results as they arrive."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from service.sdk import SearchResult

NO_LIMIT = 100_000


async def as_they_arrive(
    sources: Mapping[str, AsyncGenerator[SearchResult, None]],
    *,
    log: logging.Logger,
    timeout_s: float,
    total: int = NO_LIMIT,
) -> AsyncGenerator[SearchResult, None]:
    """Yield the results of all sources; a slow or broken one costs only its own.

    Closing this iterator stops the sources; use it within `contextlib.aclosing`.

    Args:
        sources: by name.
        log: told how each source ended.
        timeout_s: seconds for each source; what it gave until then counts.
        total: stop after so many results.

    Raises:
        ConnectionError: every source failed before it gave anything; the text says of each why.
    """
    failures: dict[str, str] = {}
    queue: asyncio.Queue[SearchResult | None] = asyncio.Queue()

    async def drain(name: str, results: AsyncGenerator[SearchResult, None]) -> None:
        given = 0
        try:
            async with asyncio.timeout(timeout_s), aclosing(results):
                async for result in results:
                    queue.put_nowait(result)
                    given += 1
        except Exception as error:  # a stranger's answer may be wrong in ways that nobody thought of
            text = str(error) or (
                f"it took longer than {timeout_s:g} s"
                if isinstance(error, TimeoutError)
                else type(error).__name__
            )
            log.warning("%s: %s; %d results until then", name, text, given)
            if not given:
                failures[name] = text
        else:
            log.info("%s: %d results", name, given)
        finally:
            queue.put_nowait(None)

    tasks = [asyncio.create_task(drain(name, results)) for name, results in sources.items()]
    try:
        running, given = len(tasks), 0
        while running and given < total:
            result = await queue.get()
            if result is None:
                running -= 1
            else:
                given += 1
                yield result
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if sources and len(failures) == len(sources):
        raise ConnectionError(
            "all failed: " + "; ".join(f"{name}: {text}" for name, text in failures.items())
        )
