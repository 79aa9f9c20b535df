"""Loading what is not in place yet, so that it is known to work before anything is changed."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from service.host.configuration.config_store import ConfigStore
from service.host.files.sources import Snapshot, SourceFlawed, Unit
from service.host.generation import Generation
from service.host.history.provisional import Provisional
from service.host.installing.candidates import Candidate
from service.host.kernel import Kernel
from service.host.loader import flawed
from service.host.stored import Stored, load_by_name
from service.host.threads import writing
from service.model.events import InstallProgress
from service.model.identity import Identity

_HELD_OUTPUT_BYTES = 256 * 1024


class Trials:
    """Loads candidates.

    Args:
        kernel: loads.
        config: what they are configured with.
        provisional: notes the data folders that loading makes.
    """

    def __init__(self, kernel: Kernel, config: ConfigStore, provisional: Provisional) -> None:
        self._kernel = kernel
        self._config = config
        self._provisional = provisional

    def folders(self) -> NewFolders:
        """Takes note of the data folders that loading makes."""
        return NewFolders(self._kernel.loader.data_dir, self._kernel.tree.has, self._provisional)

    def snapshot(self, candidate: Candidate) -> Snapshot:
        """Its code, with the helpers that are there.

        Raises:
            LoadFailed: its main file, which may not be among what it changes, holds no text or is gone.
        """
        held = self._kernel.registry.at(candidate.unit.path)
        names = [held.identity.name] if held is not None else []
        try:
            return self._kernel.tree.with_files(candidate.files()).snapshot(candidate.unit, names)
        except SourceFlawed as flaw:
            raise flawed(flaw, None, self._kernel.eyes.max_bytes) from None

    async def load(
        self,
        candidate: Candidate,
        folders: NewFolders,
        output: HeldOutput,
        on_progress: Callable[[InstallProgress], None] | None = None,
        *,
        grant: bool = False,
    ) -> Generation:
        """Load it with the configuration of the name that it turns out to have.

        Args:
            candidate: the candidate.
            folders: takes note of what is made.
            output: takes what it prints.
            on_progress: told how far its dependencies are.
            grant: let it have what it asks for; it gets what that name was granted before otherwise.

        Raises:
            LoadFailed
        """
        unit, loader = candidate.unit, self._kernel.loader
        await folders.note(unit)
        snapshot = self.snapshot(candidate)
        held = self._kernel.registry.at(unit.path)
        number = held.generation_count + 1 if held is not None else 1
        guessed = held.identity if held is not None else Identity(unit.type, unit.short_name)

        async def load(stored: Stored) -> Generation:
            return await loader.load(
                snapshot,
                stored.values,
                number,
                output.feed,
                on_progress,
                granted=stored.granted,
                grant=grant,
                limits=stored.limits,
            )

        return await load_by_name(guessed, self._config, self._kernel.limits_of_plugins, load)


class NewFolders:
    """The data folders that loading made, to be removed where nothing comes of it.

    Args:
        data_dir: gives a plugin's folder by type and short name.
        is_there: whether a plugin has come to be meanwhile, which has its folder then.
        provisional: has them removed at the next start, should this process be killed.
    """

    def __init__(
        self,
        data_dir: Callable[[str, str], Path],
        is_there: Callable[[Unit], bool],
        provisional: Provisional,
    ) -> None:
        self._data_dir = data_dir
        self._is_there = is_there
        self._provisional = provisional
        self._made: dict[Path, Unit] = {}

    async def note(self, unit: Unit) -> None:
        """A plugin of this file is about to be loaded."""
        folder = self._data_dir(unit.type.value, unit.short_name)
        if folder not in self._made and not await asyncio.to_thread(folder.exists):
            self._made[folder] = unit
            await self._provisional.note(folder)

    async def remove(self) -> None:
        """Remove those of plugins that have not come to be."""
        for folder, unit in self._made.items():
            if not self._is_there(unit):
                await writing(shutil.rmtree, folder, ignore_errors=True)
            await self._provisional.forget(folder)
        self._made.clear()


class HeldOutput:
    """What a plugin prints while it is not certain that it will be one: kept, then handed on or dropped."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._size = 0
        self._sink: Callable[[bytes], None] | None = None

    def feed(self, data: bytes) -> None:
        """Take some output."""
        if self._sink is not None:
            self._sink(data)
        elif self._size < _HELD_OUTPUT_BYTES:
            self._held.append(data)
            self._size += len(data)

    def release(self, sink: Callable[[bytes], None]) -> None:
        """Hand on what was kept, and all that comes."""
        self._sink = sink
        for data in self._held:
            sink(data)
        self._held.clear()
