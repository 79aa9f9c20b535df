"""A server of nothing but plugin processes: obeys lines of JSON, for `test_templates`.

It is a process of its own because the parts under test make their process the parent of whatever is left below it, and
because it is killed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, cast

import structlog

from service.errors import LoadFailed
from service.host.dependencies.declaration import Declared
from service.host.dependencies.environments import DependencySet, Lease
from service.host.files.sources import Snapshot, SnapshotModule, unit_of
from service.host.generation import Generation
from service.host.loader import Loader, LoadLimits
from service.host.workers.channel import ChannelClosed, MethodRaised
from service.host.workers.processes import Nursery
from service.host.workers.sandbox import Sandbox
from service.host.workers.templates import Templates
from service.limiting import limits_of_plugins
from service.model.states import GenerationState
from service.settings import Settings

LIMITS = {
    "memory_bytes": 2**30,
    "open_files": 256,
    "frame_bytes": 2**20,
    "threads": 4,
    "load_s": 10.0,
    "start_s": 5.0,
    "self_check_s": 5.0,
    "stop_s": 2.0,
    "settle_s": 1.0,
}
IMPORT_SECONDS = 2.0
STOP_SECONDS = 5.0


class Environments:
    """The set that is named is the one that every plugin declares."""

    def __init__(self) -> None:
        self.site: Path | None = None
        self.leases = 0

    async def acquire(self, declared: Declared, **_: Any) -> Lease | None:
        if self.site is None:
            return None
        self.leases += 1
        return Lease(DependencySet(self.site.name, self.site, ()), "", self._released)

    def modules(self, set_id: str) -> list[str]:
        return []

    async def remember_modules(self, set_id: str, modules: list[str]) -> None:
        assert self.site is not None and set_id == self.site.name

    def _released(self, lease: Lease) -> None:
        self.leases -= 1


class Commands:
    """What can be asked for, by name."""

    def __init__(self, home: Path, templates: Templates, sandbox: Sandbox) -> None:
        self._templates = templates
        self._environments = Environments()
        self._loader = Loader(
            templates,
            cast("Any", self._environments),
            home,
            LoadLimits(10.0, 5.0, 5.0),
            home / "downloads",
            sandbox,
            limits_of_plugins(Settings()),
        )
        self._generations: dict[int, Generation] = {}

    async def load(self, text: str, site: str | None) -> dict[str, Any]:
        unit = unit_of("search/demo_plugin.py")
        assert unit is not None
        number = len(self._generations) + 1
        module = SnapshotModule(unit.module, unit.path, False, text.encode())
        snapshot = Snapshot(unit, (module,), None, None, "", "", 0)
        self._environments.site = None if site is None else Path(site)
        printed: list[bytes] = []
        try:
            generation = await self._loader.load(snapshot, {}, number, printed.append)
        except LoadFailed as failure:
            return {"failed": failure.error.code, "text": failure.error.message, "printed": _text(printed)}
        generation.set_state(GenerationState.SERVING)
        self._generations[number] = generation
        worker = generation.worker
        return {"number": number, "pid": worker.pid, "preloaded": worker.is_preloaded}

    async def call(self, number: int, keyword: str) -> dict[str, Any]:
        params = json.dumps({"keyword": keyword}).encode()
        try:
            results = json.loads(await self._generations[number].worker.channel.call("search", params, 20))
        except (ChannelClosed, MethodRaised) as error:
            return {"failed": type(error).__name__, "text": str(error)}
        return {"title": results[0]["title"]}

    async def stop(self, number: int) -> dict[str, Any]:
        generation = self._generations[number]
        generation.set_state(GenerationState.DRAINING)
        return {"forced": await generation.stop(patience_s=STOP_SECONDS)}

    async def settled(self, site: str) -> dict[str, Any]:
        unfit = await self._templates.settled(Path(site))
        template = self._templates.template(Path(site))
        return {
            "unfit": unfit,
            "pid": template.pid if template is not None else None,
            "modules": self._templates.modules(Path(site)),
        }

    async def check_in(self, seconds: float) -> dict[str, Any]:
        self._templates.check(asyncio.get_running_loop().time() + seconds)
        return {}

    async def forget(self, site: str) -> dict[str, Any]:
        self._templates.forget(Path(site))
        return {}

    async def workers(self) -> dict[str, Any]:
        return {"pids": [worker.pid for worker in self._templates.workers()]}

    async def leases(self) -> dict[str, Any]:
        return {"leases": self._environments.leases}


def _text(printed: list[bytes]) -> str:
    return b"".join(printed).decode()


async def main(home: Path) -> None:
    """Serve until the end of the input."""
    sandbox = await asyncio.to_thread(Sandbox.of_this_kernel, home, home / "downloads")
    nursery = Nursery(LIMITS, spares=1, frame_bytes=2**20, ground=sandbox.ground)
    templates = Templates(nursery, import_s=IMPORT_SECONDS)
    await templates.start()
    commands = Commands(home, templates, sandbox)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)

    async def obey(request: dict[str, Any]) -> None:
        answer = await getattr(commands, request["do"])(**request["with"])
        print(json.dumps({"id": request["id"], **answer}), flush=True)

    tasks = []
    while line := await lines.readline():
        tasks.append(asyncio.create_task(obey(json.loads(line))))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await templates.close()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main(Path(sys.argv[1])))
