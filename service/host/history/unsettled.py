"""Changes that the disk let be neither finished nor undone: tried again until it does, and told of until then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from service.errors import PlugbayError
from service.host.history.entries import Entry
from service.host.history.errors import not_saved
from service.model.text import Text

log = structlog.get_logger(__name__)

_RETRY_S = 1.0
_RETRY_MAX_S = 30.0


class Unsettled:
    """See the module.

    Args:
        settle: finishes or undoes a change, and calls `done` then; raises OSError or PlugbayError where it cannot.
    """

    def __init__(self, settle: Callable[[Entry], Awaitable[object]]) -> None:
        self._settle = settle
        self._entries: dict[str, Entry] = {}
        self._problems: dict[str, Text] = {}
        self._settling = asyncio.Lock()
        self._retrying: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def problems(self) -> list[Text]:
        """What is not finished or undone yet, and why."""
        return list(self._problems.values())

    def entries(self) -> list[Entry]:
        """All of them."""
        return list(self._entries.values())

    def add(self, entry: Entry) -> None:
        """One that is about to be settled; nobody tries it again before `failed` says so."""
        self._entries[entry.id] = entry

    def done(self, entry: Entry) -> None:
        """It is finished or undone."""
        self._entries.pop(entry.id, None)
        self._problems.pop(entry.id, None)

    def failed(self, entry: Entry, error: Exception) -> None:
        """It could not be undone; from now on it is told of and tried again."""
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        about = f" {entry.plugin}" if entry.plugin else ""
        problem = Text(
            zh=f"未完成的更改 {entry.id}（{entry.kind}{about}）暂时无法撤销或完成：{reason}；"
            "请检查磁盘空间与权限，服务器会自动重试",
            en=f"The unfinished change {entry.id} ({entry.kind}{about}) can be neither undone nor finished yet: "
            f"{reason}; check the disk's space and permissions, it is tried again by itself",
        )
        log.error("history.unsettled", change=entry.id, problem=problem.en)
        self._problems[entry.id] = problem
        self.try_later(entry)

    def try_later(self, entry: Entry) -> None:
        """Try one again in a while; it is not told of."""
        self._entries[entry.id] = entry
        if self._retrying is None and not self._closed:
            self._retrying = asyncio.create_task(self._retry(), name="unsettled changes")

    async def settle(self) -> None:
        """Settle all of them.

        Raises:
            ChangeNotSaved, StoreFailed, ConfigNotSaved: one could not be.
        """
        async with self._settling:
            for entry in self.entries():
                try:
                    await self._settle(entry)
                except OSError as error:
                    raise not_saved(error) from error

    async def close(self) -> None:
        """Try no more; the next start does. Calling it twice is safe."""
        self._closed = True
        if self._retrying is not None:
            self._retrying.cancel()
            await asyncio.gather(self._retrying, return_exceptions=True)
            self._retrying = None

    async def _retry(self) -> None:
        delay = _RETRY_S
        while self._entries:
            await asyncio.sleep(delay)
            delay = min(_RETRY_MAX_S, delay * 2)
            settling = asyncio.ensure_future(self.settle())
            try:
                await asyncio.shield(settling)
            except PlugbayError as error:
                log.info("history.still_unsettled", changes=len(self._entries), reason=str(error))
            except asyncio.CancelledError:
                # A step that has begun ends whole.
                await asyncio.wait([settling])
                raise
            except Exception:
                log.exception("history.settling_failed")
        self._retrying = None
