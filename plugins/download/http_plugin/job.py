"""One download over HTTP from its task to its file: passes, reports, checkpoints, and what is left at the end."""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from plugins.download.http_plugin.connection import Client, Sockets
from plugins.download.http_plugin.errors import DownloadFailed, Spoiled, StartAgain, Stopped
from plugins.download.http_plugin.part import Part, finished_file
from plugins.download.http_plugin.ranges import merged
from plugins.download.http_plugin.state import Found, Options, backoff_s
from plugins.download.http_plugin.transfer import Transfer
from plugins.download.http_plugin.version import Version, check
from service.sdk import DownloadTask

REPORT_S = 0.25
CHECKPOINT_S = 2.0
# On a fast line sooner: what is on the disk already need not be waited for in the end.
CHECKPOINT_BYTES = 128 * 1024 * 1024
_SPEED_WINDOW_S = 5.0
_MAX_RESTARTS = 4
_JOIN_S = 5.0
# The server gives a paused download two seconds to stop.
_LAST_SYNC_S = 1.5

_T = TypeVar("_T")


class Speed:
    """Bytes a second over the last few seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def at(self, now: float, downloaded: int) -> float:
        """The speed now; `downloaded` is all so far, and may begin anew."""
        if self._samples and downloaded < self._samples[-1][1]:
            self._samples.clear()
        self._samples.append((now, downloaded))
        while len(self._samples) > 2 and now - self._samples[1][0] >= _SPEED_WINDOW_S:
            self._samples.popleft()
        then, had = self._samples[0]
        return (downloaded - had) / (now - then) if now > then else 0.0


class Job:
    """One download.

    Args:
        task: what is asked for.
        options: how.
        checksums: what the file must have, as `sha256:…`.
        more: a permit for each connection beyond the first.
        tls: makes the TLS context; may block.
        log: the plugin's.
    """

    def __init__(
        self,
        task: DownloadTask,
        options: Options,
        checksums: list[str],
        more: threading.Semaphore,
        tls: Callable[[], ssl.SSLContext],
        log: logging.Logger,
    ) -> None:
        self.task = task
        self.downloaded = 0
        self.total: int | None = None
        self.speed = 0.0
        self.eta: float | None = None
        self._options = options
        self._checksums = checksums
        self._more = more
        self._tls = tls
        self._log = log
        self._found = Found()
        self._transfer: Transfer | None = None
        self._saved: Path | None = None
        self._stopped = threading.Event()
        self._rate = Speed()
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()

    def described(self) -> dict[str, Any]:
        """How far it is."""
        task = self.task
        return {
            "id": task.id,
            "title": task.title,
            "url": task.url,
            "status": task.status,
            "progress": task.progress,
            "downloaded": self.downloaded,
            "total": self.total,
            "speed": self.speed,
            "eta": self.eta,
            "save_path": task.save_path,
        }

    def abandon(self) -> None:
        """Let `run` end soon and give false; may be called from any thread."""
        self._stopped.set()
        if transfer := self._transfer:
            transfer.stop()

    async def run(self) -> bool:
        """Download it.

        Returns:
            Whether it is there; false where it was abandoned.

        Raises:
            DownloadFailed, DiskFailed: what was in the way, and what to do.
        """
        task, keep = self.task, False
        task.status = "downloading"
        try:
            await self._in_thread(self._adopt)
            if self._saved is None:
                await self._fetch()
                await self._finish()
            task.save_path = str(self._saved)
            task.status = "completed"
            self.speed, self.eta = 0.0, None
            await task.report(progress=100, downloaded=self.downloaded, total=self.downloaded, message="")
            self._log.info("%s → %s", task.url, self._saved)
            return True
        except asyncio.CancelledError:
            keep = task.paused
            task.status = "paused" if keep else "cancelled"
            raise
        except Stopped:
            task.status = "cancelled"
            self._log.info("%s cancelled", task.url)
            return False
        except Exception as error:
            keep = not isinstance(error, Spoiled)
            task.status = "failed"
            raise
        finally:
            self.speed, self.eta = 0.0, None
            self._stopped.set()
            try:
                await self._in_full(self._leave(keep))
            except asyncio.CancelledError:
                # It was through, and is told to end before it could say so.
                if task.status == "completed":
                    task.status = "paused" if task.paused else "cancelled"
                    if self._saved is not None and not task.paused:
                        await self._in_full(asyncio.to_thread(self._saved.unlink, missing_ok=True))
                raise

    def _adopt(self) -> None:
        """Go on from the checkpoint, where there is one and its part file is still there."""
        state = self.task.resume
        if not state:
            return
        if (path := finished_file(state)) is not None:
            self._saved, self.downloaded = path, path.stat().st_size
            return
        part = self._found.part = Part.adopt(state)
        if part is None:
            return
        self.task.save_path = str(part.target)
        try:
            version = Version.from_state(state)
            end = min(part.size, version.total or 0)
            finished = merged([start, min(stop, end)] for start, stop in state["ranges"])
        except (KeyError, TypeError, ValueError):
            return
        # With no version named, what comes is compared with what lies before it: then there must be something.
        if finished and (version.etag or version.last_modified or finished[0][0] == 0):
            self._found.version, self._found.is_resumed = version, True
            self._found.finished = tuple((start, stop) for start, stop in finished)

    async def _fetch(self) -> None:
        """Passes, until one brings all of it."""
        found, drops, restarts = self._found, 0, 0
        while True:
            try:
                await self._pass()
                return
            except StartAgain as reason:
                drops, restarts = drops + reason.dropped, restarts + (not reason.dropped)
                self._transfer, found.version, found.finished, found.is_resumed = None, None, (), False
                found.ranged = found.ranged and reason.ranged
                self._log.warning("%s begins anew: %s", self.task.url, reason)
                if restarts > _MAX_RESTARTS or drops > self._options.retries:
                    raise DownloadFailed(
                        f"{reason}; begun anew {drops + restarts - 1} times, retry later or look for another source"
                    ) from reason
                if found.part is not None:
                    await self._checkpoint(found.part)  # claims nothing any more, before anything is written
                if reason.dropped:
                    await asyncio.sleep(backoff_s(drops))
                if self._stopped.is_set():
                    raise Stopped from None

    async def _pass(self) -> None:
        sockets = Sockets()
        options = self._options
        client = Client(sockets, options.timeout_s, options.headers, self._tls)
        transfer = self._transfer = Transfer(
            self.task.url, options, self._found, sockets, client, self._more, self._wake
        )
        self._rate.at(
            time.monotonic(), transfer.downloaded
        )  # what is there already did not come at this speed
        transfer.start()
        if self._stopped.is_set():  # abandoned before there was a transfer to stop
            transfer.stop()
        saving: asyncio.Task[None] | None = None
        known, saved_at, saved = False, time.monotonic(), 0
        try:
            while not transfer.is_over:
                await self._wait(REPORT_S)
                part, now = self._found.part, time.monotonic()
                if part is not None and not known:
                    # Whoever goes on after a crash shall know the part file from its first byte on.
                    known = True
                    self.task.save_path = str(part.target)
                    await self._checkpoint(part)
                await self._report(transfer, now)
                if saving is not None and saving.done():
                    saving.result()
                    saving = None
                brought = abs(self.downloaded - saved)
                is_due = brought >= CHECKPOINT_BYTES or (brought and now - saved_at >= CHECKPOINT_S)
                if part is not None and saving is None and is_due and self._found.ranged:
                    saved_at, saved = now, self.downloaded
                    saving = asyncio.create_task(self._checkpoint(part))
        finally:
            if saving is not None:
                saving.cancel()
                await asyncio.wait([saving])
        if transfer.failure is not None:
            raise transfer.failure
        await self._report(transfer, time.monotonic())

    async def _finish(self) -> None:
        """All is there: is it right, and then its name."""
        part, version = self._found.part, self._found.version
        assert part is not None and version is not None
        wanted = [*self._checksums, *version.checksums]
        if wanted:
            await self.task.report(message="checking the checksum")
        await self._in_thread(part.cut, self.downloaded)
        await self._in_thread(check, part.path, wanted, self._stopped.is_set)
        if self._stopped.is_set():
            raise Stopped
        # Renamed, but not yet reported as done when the process ends: the checkpoint knows it again.
        await self._checkpoint(part)
        await self._in_thread(self._publish, part)

    def _publish(self, part: Part) -> None:
        self._saved = part.publish()

    async def _checkpoint(self, part: Part) -> None:
        """Claims what is written by now, once it is on the disk."""
        state = self._state(part)
        if state["ranges"]:
            await asyncio.to_thread(part.sync)
        await self.task.checkpoint(state)

    def _state(self, part: Part) -> Mapping[str, Any]:
        found, transfer = self._found, self._transfer
        finished = transfer.finished if transfer is not None else [list(pair) for pair in found.finished]
        total = found.version.total if found.version else None
        if total is None and transfer is not None and transfer.is_over and transfer.failure is None:
            total = self.downloaded  # it is known by its end
        return {
            "url": self.task.url,
            "part": str(part.path),
            "target": str(self._saved or part.target),
            "inode": part.inode,
            "total": total,
            "etag": found.version.etag if found.version else "",
            "last_modified": found.version.last_modified if found.version else "",
            "checksums": list(found.version.checksums) if found.version else [],
            "ranges": finished if total is not None else [],
        }

    async def _report(self, transfer: Transfer, now: float) -> None:
        self.downloaded = transfer.downloaded
        version = self._found.version
        self.total = version.total if version else None
        self.speed = self._rate.at(now, self.downloaded)
        self.eta = (self.total - self.downloaded) / self.speed if self.total and self.speed else None
        await self.task.report(
            downloaded=self.downloaded,
            total=self.total,
            speed=self.speed,
            eta=self.eta,
            message=transfer.message,
        )

    async def _leave(self, keep: bool) -> None:
        """Nothing goes on, and of the files only what is of use stays."""
        transfer, part = self._transfer, self._found.part
        if transfer is not None:
            transfer.stop()
            deadline = time.monotonic() + _JOIN_S
            while not transfer.is_over and time.monotonic() < deadline:
                await self._wait(0.05)
            await asyncio.to_thread(transfer.join)
            part = self._found.part
        if part is None:
            return
        state = self._state(part)
        claims = state["ranges"] if self._found.ranged else state["ranges"] == [[0, state["total"]]]
        if keep and claims:
            try:
                async with asyncio.timeout(_LAST_SYNC_S):
                    await self._checkpoint(part)
            except Exception as error:  # the one before it stands
                self._log.warning("%s: no last checkpoint: %s", self.task.url, error)
        elif self.task.status != "completed":
            await asyncio.to_thread(part.remove)
            if self._saved is not None:
                await asyncio.to_thread(self._saved.unlink, missing_ok=True)
        if transfer is None or transfer.is_over:
            part.close()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._woken.set)
        except RuntimeError:  # the loop is closed: nobody waits any more
            pass

    async def _wait(self, seconds: float) -> None:
        try:
            # Not `wait_for`, which loses a cancellation that comes together with the event (fixed in Python 3.12).
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()

    async def _in_thread(self, work: Callable[..., _T], *args: Any) -> _T:
        return await self._in_full(asyncio.to_thread(work, *args))

    async def _in_full(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Await it to its end, also when cancelled meanwhile; then the cancellation goes on."""
        task = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._stopped.set()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()
            raise
