"""One template of a dependency set as the server holds it: started, asked to import, forked, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from service.host.workers.processes import REFILL_PAUSE_SECONDS, Nursery
from service.host.workers.template_link import TemplateLink, TemplateLost
from service.host.workers.worker_process import WorkerProcess
from service.worker import linux
from service.worker.confinement.policy import Policy

# What takes longer than this would starve beside busy plugins, and that would be taken for a hang.
_LOW_PRIORITY_SECONDS = 2.0


class Unfit(Exception):
    """No worker can be forked from it, and no second try would change that; the text says why."""


class DependencyTemplate:
    """See the module.

    Args:
        site: the set's folder.
        modules: what it has imported.
        policy: what it may do, and with it those that are forked from it, besides what each is held to.
        import_s: seconds for all of that.

    Attributes:
        used_at: the event loop's time when a worker was last taken, or when it was started.
    """

    def __init__(self, site: Path, modules: Sequence[str], policy: Policy, import_s: float) -> None:
        self.site = site
        self.policy = policy
        self._import_s = import_s
        self.modules = tuple(modules)
        self._is_retired = False
        self.used_at = asyncio.get_running_loop().time()
        self._link: TemplateLink | None = None
        self._pid = 0
        self._pidfd = -1
        self._spare: asyncio.Task[WorkerProcess] | None = None
        # Dead for some time, though it has not said so.
        self._unreported: set[int] = set()

    @property
    def pid(self) -> int:
        """Its process id, 0 before it was started."""
        return self._pid

    @property
    def workers(self) -> list[WorkerProcess]:
        """Those that have not ended, the spare too; may be called from any thread."""
        link = self._link
        return list(link.workers.values()) if link is not None else []

    async def start(self, nursery: Nursery) -> None:
        """Have it forked, and wait until it has imported everything.

        Raises:
            Unfit: it must not be forked, or did not come to an end with its imports.
            TemplateLost: it ended, or the base template did.
            OSError: it could not be started.
        """
        hurry = asyncio.get_running_loop().call_later(_LOW_PRIORITY_SECONDS, self.hurry)
        try:
            forked, link = await nursery.fork_template(self.site, self.policy, self._ended)
            self._link, self._pid, self._pidfd = link, forked.pid, forked.pidfd
            if self._is_retired:  # it has ended meanwhile
                self._ended()
                raise TemplateLost
            async with asyncio.timeout(self._import_s):
                await link.have_imported(self.modules)
                ready, lost = (asyncio.ensure_future(one.wait()) for one in (link.ready, link.lost))
                try:
                    await asyncio.wait((ready, lost), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    ready.cancel()
                    lost.cancel()
                    # A user who is not root may not do that for itself.
                    self.hurry()
        except TimeoutError:
            self.end()
            if self._link is None:
                raise
            raise Unfit(f"its imports did not end within {self._import_s:g} s") from None
        except BaseException:
            self.end()
            raise
        finally:
            hurry.cancel()
        if not link.ready.is_set():
            self.end()
            if link.unfit is not None:
                raise Unfit(link.unfit)
            raise TemplateLost
        self._refill()

    @property
    def is_lost(self) -> bool:
        """Whether it forks no more."""
        return self._is_retired or (self._link is not None and self._link.lost.is_set())

    def hurry(self) -> None:
        """End the low priority that it imports with: somebody waits for it."""
        if self._pid:
            linux.leave_idle_priority(self._pid)

    async def acquire(self) -> WorkerProcess:
        """A worker that waits for its plugin.

        Raises:
            TemplateLost, OSError: none came to be had.
        """
        if self._link is None or self.is_lost:
            raise TemplateLost
        self.used_at = asyncio.get_running_loop().time()
        try:
            while self._spare is not None:
                spare, self._spare = self._spare, None
                try:
                    worker = await spare
                except asyncio.CancelledError:
                    # It may have come in this very moment, and nobody will take it.
                    spare.add_done_callback(_end_spare)
                    raise
                if not worker.has_ended():
                    return worker
            return await self._link.fork()
        finally:
            asyncio.get_running_loop().call_later(REFILL_PAUSE_SECONDS, self._refill)

    @property
    def has_spare(self) -> bool:
        """Whether a worker of it waits for a plugin, or is on its way."""
        return self._spare is not None

    @property
    def is_idle(self) -> bool:
        """Whether it has no worker but its spare, which may still be on its way."""
        spare = self._spare
        has_come = spare is not None and spare.done() and not spare.cancelled() and spare.exception() is None
        return len(self.workers) <= has_come

    def retire(self) -> bool:
        """Fork no more; it ends when its last worker has.

        Returns:
            whether that is so already.
        """
        self._is_retired = True
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.add_done_callback(_end_spare)
        return not self.workers and spare is None

    def check(self) -> None:
        """End it if it does not tell of what has ended; to be called every few seconds."""
        dead = {worker.pid for worker in self.workers if worker.has_ended()}
        if dead & self._unreported:
            self.end()
        self._unreported = dead
        if self._link is not None and self._link.lost.is_set():
            self.end()

    def end(self) -> None:
        """End it now, and its workers with it; calling it twice is safe."""
        self._is_retired = True
        if self._spare is not None:
            self._spare.cancel()
            self._spare = None
        if self._link is not None:
            self._link.close()
        if self._pidfd >= 0:
            # Not asked politely: a stranger's code has run in it. Its parent takes care of what it leaves.
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _refill(self) -> None:
        if self._spare is None and not self.is_lost and self._link is not None:
            self._spare = asyncio.create_task(
                self._link.fork(ahead=True), name="spare worker of a dependency set"
            )
            self._spare.add_done_callback(_looked_at)

    def _ended(self) -> None:
        """It is gone, with all that it started."""
        self.end()
        if self._link is not None:
            self._link.all_ended()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


def _looked_at(spare: asyncio.Task[WorkerProcess]) -> None:
    """A spare that cannot be had is no fault of anybody: the next worker will be asked for, and tell why."""
    if not spare.cancelled():
        spare.exception()


def _end_spare(spare: asyncio.Task[WorkerProcess]) -> None:
    if not spare.cancelled() and spare.exception() is None:
        spare.result().kill()
