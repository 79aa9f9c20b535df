"""Workers for plugins with dependencies: forked where their libraries are imported already, or from the base template.

    acquire(site) ── its template is ready ──────────────► forked from it, in some milliseconds
          │
          ├─ it is on its way, and soon there ───────────► waited for
          └─ none, or one that cannot be forked ─────────► forked from the base; the worker imports for itself

What a set's plugins import is learnt from their workers. A template that lacks some of it serves on until another one
with all of it is ready.

A template may do all that the plugins of its set may do, and each worker no more than its own plugin: what is imported
in the template runs in each of them anyway. A plugin that may do more, which the next template will, gets its worker
from the base, and so does one whose network is limited: its packages must not run where there is all of it.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import structlog

from service.host.workers.dependency_template import DependencyTemplate, Unfit
from service.host.workers.processes import Nursery
from service.host.workers.template_link import TemplateLost
from service.host.workers.worker_process import WorkerProcess
from service.model.request_id import for_no_request
from service.worker.confinement.policy import Policy

log = structlog.get_logger(__name__)

# Stands for a set where a plugin has all that it declares from the environment that the server runs in.
SERVER_SITE = Path(sysconfig.get_path("purelib"))
# Importing takes about as long in the template as in a worker, so that waiting costs little.
_WAIT_SECONDS = 5.0
# How often a template that is waited for is told to hurry: at first it may not have taken its low priority yet.
_HURRY_SECONDS = 0.05
_IMPORT_SECONDS = 30.0
_IDLE_SECONDS = 600.0
_CHECK_SECONDS = 5.0
_PARALLEL_STARTS = 2
_FAILURES_BEFORE_UNFIT = 3
# For the end of the base template to be noticed, where a set's template ended with it.
_NOTICE_SECONDS = 0.1
_REBUILDS_AN_HOUR = 20
_MODULES = 4000
_POLICY_CHARS = 24 * 1024
# More than can be told in that.
_POLICIES = 512
# For its workers to see themselves there; each of them sees no more than that.
_VISIBLE_TO_TEMPLATES = ("/proc",)
_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_NAME_CHARS = 200
_NATIVE_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}


class _Set:
    """What is known of a dependency set's imports, and its templates."""

    def __init__(self, site: Path) -> None:
        self.site = site
        self.modules: dict[str, None] = {}
        # By the folder that is a plugin's own; whose worker was asked for last is the last one.
        self.policies: dict[tuple[str, ...], Policy] = {}
        self.unfit: str | None = None
        self.failures = 0
        self.started_at: list[float] = []
        # A set never changes, the server's environment may.
        self.changed_ns = 0
        self.current: DependencyTemplate | None = None
        self.coming: DependencyTemplate | None = None
        self.starting: asyncio.Task[None] | None = None
        self.retiring: list[DependencyTemplate] = []

    @property
    def templates(self) -> list[DependencyTemplate]:
        return [*self.retiring, *(one for one in (self.current, self.coming) if one is not None)]


class TemplateFigures(NamedTuple):
    """How many workers wait for a plugin, whether the base template runs and how often it was started, how many
    templates dependency sets have, and how many sets cannot have one."""

    base: bool
    spares: int
    of_sets: int
    unfit: int
    starts: int


class Templates:
    """See the module.

    Args:
        nursery: the base template's, started and closed with this.
        import_s: seconds for all imports of a template; a library that takes longer is imported by each worker.
    """

    def __init__(self, nursery: Nursery, *, import_s: float = _IMPORT_SECONDS) -> None:
        self._nursery = nursery
        self._import_s = import_s
        self._sets: dict[Path, _Set] = {}
        self._places = asyncio.Semaphore(_PARALLEL_STARTS)
        self._checking: asyncio.Task[None] | None = None
        self._closing = False

    async def start(self) -> None:
        """Start the base template; those of sets come when they are asked for.

        Raises:
            TimeoutError: it did not get ready.
        """
        self._checking = asyncio.create_task(self._check(), name="dependency templates")
        await self._nursery.start()

    async def close(self) -> None:
        """End every template and worker; calling it twice is safe."""
        self._closing = True
        tasks = [one.starting for one in self._sets.values() if one.starting is not None]
        tasks += [self._checking] if self._checking is not None else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in list(self._sets.values()):
            for template in one.templates:
                template.end()
        await self._nursery.close()

    def figures(self) -> TemplateFigures:
        """How many there are of what."""
        templates = [template for one in self._sets.values() for template in one.templates]
        return TemplateFigures(
            base=self._nursery.is_ready,
            spares=self._nursery.spares + sum(template.has_spare for template in templates),
            of_sets=len(templates),
            unfit=sum(one.unfit is not None for one in self._sets.values()),
            starts=self._nursery.starts,
        )

    def workers(self) -> list[WorkerProcess]:
        """Every worker that has not ended, spares too; may be called from any thread."""
        sets = list(self._sets.values())
        of_sets = [worker for one in sets for template in one.templates for worker in template.workers]
        return [*self._nursery.workers(), *of_sets]

    async def acquire(
        self, site: Path | None, policy: Policy | None = None, *, cold: bool = False
    ) -> WorkerProcess:
        """A worker that waits for its plugin.

        Args:
            site: the folder of the plugin's dependency set, if it has one; the worker has to be told of it all the
                same, as it may have been forked from the base template.
            policy: what the worker will be confined to.
            cold: have nothing imported in it yet.

        Raises:
            TimeoutError: none came to be had in time.
            OSError: there are no descriptors left here.
        """
        policy = policy or Policy()
        one: _Set | None = None
        if site is not None and not cold and policy.network is True:
            one = self._sets.setdefault(site, _Set(site))
            one.policies.pop(policy.own, None)
            one.policies[policy.own] = policy
            if len(one.policies) > _POLICIES:
                del one.policies[next(iter(one.policies))]
            if one.site == SERVER_SITE:
                await self._see_changes(one)
            self._want(one)
            if one.current is None and one.starting is not None:
                await self._await_start(one)
            if one.current is not None and self._covers(one.current, policy):
                try:
                    worker = await one.current.acquire()
                except (TemplateLost, OSError) as error:
                    log.info("template.not_forked", set=one.site.name, reason=str(error))
                else:
                    worker.is_preloaded = True
                    worker.exited.add_done_callback(
                        lambda exited: self._on_exit(one, exited), context=for_no_request()
                    )
                    return worker
        return await self._nursery.acquire()

    async def _await_start(self, one: _Set) -> None:
        # From its start on, so that one that hangs is not waited for again and again.
        deadline = one.started_at[-1] + _WAIT_SECONDS
        while one.starting is not None and asyncio.get_running_loop().time() < deadline:
            if one.coming is not None:
                one.coming.hurry()
            await asyncio.wait((one.starting,), timeout=_HURRY_SECONDS)
            if one.current is not None:
                return

    def learn(self, site: Path, modules: Iterable[str]) -> bool:
        """Take note of what a plugin of a set has imported, or of what was remembered of it.

        A template with all of it is started in the background.

        Args:
            site: the set's folder.
            modules: names of modules, in the order of their import.

        Returns:
            whether anything of it is new: what `modules` gives has to be remembered then.
        """
        if self._closing:
            return False
        one = self._sets.setdefault(site, _Set(site))
        known = len(one.modules)
        for name in modules:
            if len(one.modules) >= _MODULES:
                break
            if name not in one.modules and len(name) <= _NAME_CHARS and _NAME.fullmatch(name):
                one.modules[name] = None
        self._want(one)
        return len(one.modules) > known

    def modules(self, site: Path) -> list[str]:
        """What the set's plugins have imported, as far as it is known."""
        one = self._sets.get(site)
        return list(one.modules) if one is not None else []

    def template(self, site: Path) -> DependencyTemplate | None:
        """The template that workers of a set are forked from now."""
        one = self._sets.get(site)
        return one.current if one is not None else None

    async def settled(self, site: Path) -> str | None:
        """Wait until no template of a set is on its way.

        Returns:
            why none can be forked, if so.
        """
        one = self._sets.get(site)
        while one is not None and one.starting is not None:
            await asyncio.wait((one.starting,))
        return one.unfit if one is not None else None

    def distrust(self, site: Path, reason: str) -> None:
        """Fork no more from this set's template: a plugin has come to harm in a fork that does well without."""
        if (one := self._sets.get(site)) is not None:
            self._give_up(one, reason)

    def forget(self, site: Path) -> None:
        """The set is going, and nobody uses it: end its template."""
        one = self._sets.pop(site, None)
        if one is None:
            return
        if one.starting is not None:
            one.starting.cancel()
        for template in one.templates:
            template.end()

    async def _see_changes(self, one: _Set) -> None:
        """Drop a template with libraries that have been exchanged by hand since."""
        changed_ns = (await asyncio.to_thread(os.stat, one.site)).st_mtime_ns
        if one.changed_ns not in (0, changed_ns):
            one.unfit = None
            self._retire(one)
        one.changed_ns = changed_ns

    # -- starting ----------------------------------------------------------------------------------------------------

    def _want(self, one: _Set) -> None:
        """Have a template with all that is known, unless there is one or it cannot be."""
        if one.current is not None and one.current.is_lost:
            one.retiring.append(one.current)
            one.current = None
        if self._closing or one.unfit is not None or not one.modules or one.starting is not None:
            return
        policy = self._policy(one)
        if (
            one.current is not None
            and len(one.current.modules) == len(one.modules)
            and self._covers(one.current, policy)
        ):
            return
        now = asyncio.get_running_loop().time()
        one.started_at = [at for at in one.started_at if now - at < 3600]
        if len(one.started_at) >= _REBUILDS_AN_HOUR:
            return
        one.started_at.append(now)
        one.starting = asyncio.create_task(self._start(one), name=f"template of {one.site.name}")

    def _covers(self, template: DependencyTemplate, policy: Policy) -> bool:
        return not self._nursery.ground.landlock or template.policy.covers(policy)

    def _policy(self, one: _Set) -> Policy:
        """All that the plugins of a set may do, as far as it can be told in one packet: the last ones count first."""
        union, size = Policy(read=_VISIBLE_TO_TEMPLATES), 0
        for policy in reversed(one.policies.values()):
            size += len(str(policy.to_json()))
            if size > _POLICY_CHARS:
                break
            union = union.with_all_of(policy)
        return union

    async def _start(self, one: _Set) -> None:
        starts = 0
        try:
            async with self._places:
                starts = self._nursery.starts
                template = one.coming = DependencyTemplate(
                    one.site, list(one.modules), self._policy(one), self._import_s
                )
                await template.start(self._nursery)
        except Unfit as error:
            self._give_up(one, str(error))
        except (TemplateLost, OSError) as error:
            await asyncio.sleep(_NOTICE_SECONDS)
            if self._nursery.starts == starts:
                one.failures += 1
            log.info("template.not_started", set=one.site.name, reason=str(error))
            if one.failures >= _FAILURES_BEFORE_UNFIT:
                self._give_up(one, "it ended while it imported")
        except Exception:
            log.exception("template.start_failed")
            self._give_up(one, "it could not be started")
        else:
            log.debug("template.ready", set=one.site.name, modules=len(template.modules))
            one.failures = 0
            self._retire(one)
            one.current, one.coming = template, None
        finally:
            if one.coming is not None:
                one.coming.end()
                one.retiring.append(one.coming)
                one.coming = None
            one.starting = None
        # More may have been learnt meanwhile.
        self._want(one)

    def _give_up(self, one: _Set, reason: str) -> None:
        if one.unfit is None:
            one.unfit = reason
            log.warning("template.unfit", set=one.site.name, reason=reason)
        self._retire(one)

    def _retire(self, one: _Set) -> None:
        if one.current is not None:
            one.current.retire()
            one.retiring.append(one.current)
            one.current = None

    def _on_exit(self, one: _Set, exited: asyncio.Future[int | None]) -> None:
        status = None if exited.cancelled() else exited.result()
        if status is not None and os.WIFSIGNALED(status) and os.WTERMSIG(status) in _NATIVE_CRASHES:
            # It may be the plugin's own doing, but a library that cannot bear a fork looks like this.
            name = signal.Signals(os.WTERMSIG(status)).name
            self._give_up(one, f"a worker forked from its template ended with {name}")

    # -- ending ------------------------------------------------------------------------------------------------------

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            try:
                self.check(asyncio.get_running_loop().time())
            except Exception:
                log.exception("templates.check_failed")

    def check(self, now: float) -> None:
        """End what is not needed any more, and what does not behave.

        Args:
            now: the event loop's time.
        """
        for one in list(self._sets.values()):
            for template in one.templates:
                template.check()
            if one.current is not None and one.current.is_idle and now - one.current.used_at > _IDLE_SECONDS:
                self._retire(one)
            for template in list(one.retiring):
                if template.retire():
                    template.end()
                    one.retiring.remove(template)
