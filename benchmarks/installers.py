"""Ways to install a plugin with packages: Plugbay's, and by hand with uv or pip and a restart of the server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import aiohttp

from benchmarks.processes import ROOT, Server, free_port, new_home, plugbay, running
from benchmarks.sources import plugin_path, put, small
from service.model.text import Text
from tests.registry import Registry

BY_HAND = {
    "uv": Text(
        zh="uv pip install，然后重启 aiohttp 服务器", en="uv pip install and a restart of an aiohttp server"
    ),
    "pip": Text(
        zh="pip install，然后重启 aiohttp 服务器", en="pip install and a restart of an aiohttp server"
    ),
}
# About what an HTTP client with all that it needs comes to.
PACKAGES, MODULES, _LINES = 8, 25, 120
_NAME = "by_hand"
_WITHIN_SECONDS = 60.0


def modules(package: str) -> dict[str, str | bytes]:
    """The files of a package that nobody has seen before."""
    files: dict[str, str | bytes] = {f"{package}/__init__.py": ""}
    for number in range(MODULES):
        lines = [f"VALUE_{line} = {random.random()!r}" for line in range(_LINES)]
        files[f"{package}/module_{number}.py"] = "\n".join(lines) + "\n"
    return files


class Cold:
    """Eight packages, of which the first (`part0`) needs the others, in ever new versions that nobody has fetched.

    Args:
        registry: where they are offered.
        major: of the versions; no other `Cold` of that registry has it.
    """

    def __init__(self, registry: Registry, major: int) -> None:
        self._registry = registry
        self._major = major
        self._offered = self._taken = 0

    def offer(self, count: int) -> None:
        """Have so many versions ready; making the wheels takes the processor."""
        while self._offered < self._taken + count:
            version = f"{self._major}.{self._offered}"
            needs = [f"part{number}=={version}" for number in range(1, PACKAGES)]
            for number in range(PACKAGES):
                name = f"part{number}"
                self._registry.add(name, version, modules(name), requires=[] if number else needs)
            self._offered += 1

    def fresh(self) -> str:
        """What to require for a version that was not taken yet."""
        self._taken += 1
        return f"part0=={self._major}.{self._taken - 1}"


class InstallClient:
    """Installs and removes search plugins over HTTP, at Plugbay."""

    def __init__(self, server: Server, http: aiohttp.ClientSession) -> None:
        self._url = f"{server.url}/api"
        self._http = http

    async def install(self, name: str, dependencies: Sequence[str], *, imports: str) -> float:
        """Upload a plugin, in place of the one that has its name.

        Returns:
            how long it took until the answer, in ms.
        """
        source = small(name, needs=dependencies, imports=imports)
        form = aiohttp.FormData({"plugin_type": "search", "replace": "true"})
        form.add_field("file", source, filename=f"{name}_plugin.py")
        began = time.perf_counter()
        async with self._http.post(f"{self._url}/plugins/install", data=form) as response:
            text = await response.text()
        took = (time.perf_counter() - began) * 1000
        if response.status != 200:
            raise RuntimeError(f"{name} was not installed: {text}")
        return took

    async def remove(self, name: str) -> None:
        """Delete a plugin, and its packages once its worker is gone."""
        await self._post("plugins/delete", {"plugin_type": "search", "plugin_name": name, "purge": True})
        async with asyncio.timeout(_WITHIN_SECONDS):
            while any(one["used_by"] for one in (await self._environments())):
                await asyncio.sleep(0.005)
        await self._post("environments/prune", {})

    async def _environments(self) -> list[dict[str, object]]:
        async with self._http.get(f"{self._url}/environments") as response:
            listed: list[dict[str, object]] = (await response.json())["environments"]
            return listed

    async def _post(self, path: str, body: object) -> None:
        async with self._http.post(f"{self._url}/{path}", json=body) as response:
            response.raise_for_status()


@contextlib.asynccontextmanager
async def serving(home: Path, variables: Mapping[str, str]) -> AsyncIterator[tuple[Server, InstallClient]]:
    """A server with these variables, ready, and a client of it."""
    timeout = aiohttp.ClientTimeout(total=_WITHIN_SECONDS)
    async with (
        plugbay(home, environ=variables) as server,
        aiohttp.ClientSession(timeout=timeout) as http,
    ):
        await server.until("/readyz")
        yield server, InstallClient(server, http)


class ByHand:
    """An operator who installs the packages with uv or pip and restarts a server that imports its plugins.

    Args:
        name: "uv" or "pip".
        home: of the server.
        packages: the folder that packages go to.
        variables: of the installer.
    """

    def __init__(self, name: str, home: Path, packages: Path, variables: Mapping[str, str]) -> None:
        self.name = name
        self._home = home
        self._packages = packages
        self._variables = variables
        self._running = contextlib.AsyncExitStack()

    @classmethod
    @contextlib.asynccontextmanager
    async def at_work(
        cls, name: str, registry: Registry, variables: Mapping[str, str]
    ) -> AsyncIterator[ByHand]:
        """One with a server that runs, without any plugin."""
        pip = {
            "PIP_INDEX_URL": registry.url,
            "PIP_CACHE_DIR": variables["UV_CACHE_DIR"] + "-of-pip",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_CONFIG_FILE": "/dev/null",
        }
        with new_home() as home:
            hand = cls(name, home, home / "packages", {**variables, **pip})
            await hand._start()
            try:
                yield hand
            finally:
                await hand._running.aclose()

    async def install(self, requirement: str, *, imports: str) -> float:
        """Put a plugin in place with its package, restart, and wait until the server answers with it loaded.

        The package and the plugin that were installed before are removed first.

        Returns:
            how long it took, in ms.
        """
        await asyncio.to_thread(shutil.rmtree, self._packages, ignore_errors=True)
        began = time.perf_counter()
        put(plugin_path(self._home, _NAME), small(_NAME, imports=imports))
        await self._install(requirement)
        await self._running.aclose()
        answered = await self._start()
        return (answered - began) * 1000

    async def _install(self, requirement: str) -> None:
        if self.name == "uv":
            command = ["uv", "pip", "install", "--quiet", "--python", sys.executable]
        else:
            command = ["pip", "install", "--quiet", "--no-input", "--root-user-action=ignore"]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *command, "--target", str(self._packages), requirement,
            env={**os.environ, **self._variables}, cwd=ROOT, stderr=subprocess.PIPE,
        )  # fmt: skip
        _, said = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} failed: {said.decode(errors='replace')}")

    async def _start(self) -> float:
        port = free_port()
        server = await self._running.enter_async_context(
            running("-m", "benchmarks.peers.in_process", str(self._home), str(port), port=port, alive="/livez",
                    environ={"PYTHONPATH": str(self._packages)})
        )  # fmt: skip
        return server.answered
