"""Putting a candidate in place, as one transaction: it is loaded first, and then its files appear and it serves.

    load in a worker ─► whose name is it? ─► journal: files, grant, origin ─► it serves ─► recorded

Whatever goes wrong before the journal leaves all as it was, and so does what goes wrong in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from service.errors import LoadFailed, PlugbayError, PluginExists, PluginNotFound
from service.host.configuration.entries import granting
from service.host.conversation import EndedAtOnce, ended_at_once
from service.host.files.sources import Unit
from service.host.generation import Generation
from service.host.history.changeset import Wanted
from service.host.history.errors import ChangeNotSaved, changed
from service.host.history.journal import Journal, Performed
from service.host.history.revisions import Revisions
from service.host.installing.candidates import Candidate
from service.host.installing.committing import Commits, NotSaved, in_several_tries
from service.host.installing.planning import final_unit, held_by, must_wait, without_leftovers
from service.host.installing.trial import HeldOutput, NewFolders, Trials
from service.host.kernel import Kernel
from service.host.plugin import Plugin
from service.host.reconciling.desks import Change
from service.model.events import Cause, InstallProgress
from service.model.identity import Identity
from service.model.plugin import Origin, PluginView, Stage
from service.model.text import Text


class NameChanged(PlugbayError):
    """What was to be a newer one of a plugin is a plugin of another name; nothing was changed."""

    code = "name_changed"


@dataclass(frozen=True, slots=True)
class Installed:
    """The plugin as it is now, whether it serves, and the change that can be undone; `None` where nothing differed."""

    plugin: PluginView
    hot_loaded: bool
    change: str | None


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a candidate is to be put in place.

    Attributes:
        kind: of the change, for its record: `install`, `update`, `edit`, `rollback` or `undo`.
        cause: told with the event.
        replace: whether it may take the place of the plugin that has its name or its file.
        keep: put it in place though it does not load.
        grant: give it what it asks for.
        name: the plugin that it has to be, where that is known before.
        of: where the plugin lies that is changed; no other one is touched then, and the candidate stays where it says.
        expected: what files have to hold when they are replaced, see `Wanted.expected`.
        undoes: the change that this undoes, and `also` what that takes besides the candidate's files.
        say: told the stage that begins.
        on_progress: told how far its dependencies are.
    """

    kind: str = "install"
    cause: Cause = Cause.API
    replace: bool = True
    keep: bool = False
    grant: bool = False
    name: str | None = None
    of: Unit | None = None
    expected: Mapping[str, str | None] = field(default_factory=dict)
    undoes: str | None = None
    also: Wanted | None = None
    say: Callable[[Candidate, str], None] = lambda candidate, stage: None
    on_progress: Callable[[InstallProgress], None] | None = None


class Placing:
    """See the module.

    Args:
        kernel: loads and serves.
        trials: loads what is not in place yet.
        journal: makes all of it one change.
        revisions: keeps what served.
        commits: has it done one after the other.
    """

    def __init__(
        self, kernel: Kernel, trials: Trials, journal: Journal, revisions: Revisions, commits: Commits
    ) -> None:
        self._kernel = kernel
        self._trials = trials
        self._journal = journal
        self._revisions = revisions
        self._commits = commits
        self._one_by_one = commits.one_by_one

    async def put(self, candidate: Candidate, wishes: Wishes) -> Installed:
        """Have a candidate serve.

        Raises:
            PluginExists, NameChanged, NotSaved, ChangeSuperseded: nothing was changed.
            LoadFailed: it does not load; with `keep` it is put in place all the same.
        """
        try:
            return await in_several_tries(partial(self._put, candidate, wishes))
        except EndedAtOnce:
            if not wishes.keep:
                raise
            keeping = self._keep(without_leftovers(self._kernel, candidate), wishes, self._trials.folders())
            return await self._commits.shielded(keeping)

    async def _put(self, candidate: Candidate, wishes: Wishes) -> Installed:
        candidate = without_leftovers(self._kernel, candidate)
        if wishes.on_progress is None and (held := self._kernel.registry.at(candidate.unit.path)) is not None:
            wishes = replace(wishes, on_progress=partial(self._kernel.registry.installing, held))
        folders = self._trials.folders()
        try:
            loaded = await self._load(candidate, wishes, folders)
        except LoadFailed as failure:
            if must_wait(self._kernel, candidate, failure.error):
                # What it holds can only be had once the one that it replaces has stopped.
                return await self._commits.shielded(self._exchange(candidate, wishes))
            if not wishes.keep or failure.error.stage is Stage.FETCH:
                await folders.remove()
                raise
            return await self._commits.shielded(self._keep(candidate, wishes, folders))
        except BaseException:
            await asyncio.shield(folders.remove())
            raise
        return await self._commits.shielded(self._place(loaded, wishes, folders))

    def require_free(self, held: Plugin | None, *, replace: bool) -> None:
        """Do nothing where a place is free or may be taken.

        Raises:
            PluginExists
        """
        if held is not None and not replace:
            raise PluginExists(str(held.identity), held.file)

    # -- loading -------------------------------------------------------------------------------------------------

    async def _load(self, candidate: Candidate, wishes: Wishes, folders: NewFolders) -> _Loaded:
        """Load it under the file that it will have, which its name may have a say in."""
        wishes.say(candidate, "load")
        output = HeldOutput()
        await self._purged(candidate)
        generation = await self._trials.load(
            candidate, folders, output, wishes.on_progress, grant=wishes.grant
        )
        try:
            name = generation.manifest.name
            require_name(name, wishes.name)
            _, final = self._place_for(candidate, name, wishes)
        except BaseException:
            generation.worker.kill()
            raise
        if final == candidate.unit:
            return _Loaded(candidate, generation, output)
        await generation.end()
        candidate, output = without_leftovers(self._kernel, candidate.named(final)), HeldOutput()
        await self._purged(candidate)
        generation = await self._trials.load(
            candidate, folders, output, wishes.on_progress, grant=wishes.grant
        )
        return _Loaded(candidate, generation, output)

    async def _purged(self, candidate: Candidate) -> None:
        """The data of an earlier plugin of this file, whose last calls still run, is not to be taken for its own.

        Raises:
            NotSaved: it could not be taken away; it would be later, and what the new one puts there with it.
        """
        loader, unit = self._kernel.loader, candidate.unit
        folder = str(loader.data_dir(unit.type.value, unit.short_name).relative_to(loader.home))
        for id, folders in self._journal.waiting().items():
            if folder in folders:
                try:
                    await self._journal.finish(id)
                except ChangeNotSaved as error:
                    raise NotSaved(error.text) from error

    # -- putting in place ----------------------------------------------------------------------------------------

    async def _place(self, loaded: _Loaded, wishes: Wishes, folders: NewFolders) -> Installed:
        """Write the files and let the loaded generation serve: from here on it is done or was never begun."""
        candidate, generation = loaded.candidate, loaded.generation
        wishes.say(candidate, "install")
        plugin: Plugin | None = None
        try:
            async with self._one_by_one:
                name = generation.manifest.name
                held, final = self._place_for(candidate, name, wishes)
                if final != candidate.unit:
                    assert held is not None
                    raise PluginExists(str(held.identity), held.file)
                self._require_as_loaded(candidate, wishes)
                if generation.worker.has_ended():
                    raise await ended_at_once(generation)
                identity = Identity(candidate.unit.type, name)
                wanted = await self._wanted(candidate, identity, held, wishes, generation.asked)
                with self._knowing(wanted.origins):
                    version = generation.manifest.version
                    async with self._performed(wishes, identity, wanted, version) as performed:
                        plugin = self._kernel.reconciler.adopt(
                            candidate.unit, generation, wishes.cause, candidate.origin
                        )
                        await self._revisions.flush()
        except BaseException:
            if plugin is not None:
                # It served already when its record could not be written: what the files hold again comes back.
                again = Change(wishes.cause, force=True)
                await asyncio.shield(self._kernel.reconciler.request(plugin, again))
            else:
                generation.worker.kill()
            await asyncio.shield(folders.remove())
            raise
        loaded.output.release(self._kernel.output(plugin, generation.number))
        if self._kernel.tree.revision_of(candidate.unit, [name]) != generation.snapshot.revision:
            # A file beside those that were put in place was saved while they were loaded.
            self._kernel.reconciler.request(plugin, Change(Cause.FILE))
        self._kernel.reconciler.changed(performed.changeset.files)
        await folders.remove()
        return Installed(plugin.view(), plugin.serving is generation, performed.id)

    def _performed(
        self, wishes: Wishes, identity: Identity, wanted: Wanted, version: str = ""
    ) -> AbstractAsyncContextManager[Performed]:
        return self._journal.performed(
            wishes.kind,
            str(identity),
            wanted,
            summary={"version": version},
            on_files=self._kernel.tell_files,
            undoes=wishes.undoes,
        )

    async def _wanted(
        self,
        candidate: Candidate,
        identity: Identity,
        held: Plugin | None,
        wishes: Wishes,
        asked: Mapping[str, Any] | None = None,
    ) -> Wanted:
        files: dict[str, Any] = dict(candidate.contents)
        origins: dict[str, Origin | None] = {}
        config: dict[str, Any] = {}
        if candidate.origin is not None:
            origins[f"plugins/{candidate.unit.path}"] = candidate.origin
        if held is not None and held.unit != candidate.unit:
            beside = self._kernel.tree.files_of(held.unit, [held.identity.name])
            files = await self._journal.files_of(held.unit.path, beside) | files
            origins[held.file] = None
        if asked and wishes.grant:
            config[identity.config_key] = lambda entry: granting(entry, asked)
        also = wishes.also or Wanted()
        files |= also.files
        origins |= also.origins
        config |= also.config
        return replace(also, files=files, config=config, origins=origins, expected=wishes.expected)

    def _place_for(self, candidate: Candidate, name: str, wishes: Wishes) -> tuple[Plugin | None, Unit]:
        """The plugin that a candidate of this name takes the place of, and the file that it will have.

        Raises:
            PluginExists
            PluginNotFound: the one that was to be changed was deleted meanwhile.
        """
        registry = self._kernel.registry
        if wishes.of is None:
            held = held_by(self._kernel, candidate, name)
            self.require_free(held, replace=wishes.replace)
            return held, final_unit(candidate, name, held)
        for other in (registry.get(Identity(candidate.unit.type, name)), registry.at(candidate.unit.path)):
            self.require_free(other, replace=other is None or other.unit == wishes.of)
        if (held := registry.at(wishes.of.path)) is None:
            raise PluginNotFound(candidate.unit.type.value, name)
        return held, candidate.unit

    def _require_as_loaded(self, candidate: Candidate, wishes: Wishes) -> None:
        """What stays as it is has to be what it was loaded with; the journal looks at what does not.

        Raises:
            ChangeSuperseded
        """
        for path, sha256 in wishes.expected.items():
            file = self._kernel.tree.get(path)
            if path not in candidate.contents and (file.sha256 if file is not None else None) != sha256:
                raise changed(f"plugins/{path}")

    @contextmanager
    def _knowing(self, origins: Mapping[str, Origin | None]) -> Iterator[None]:
        """Know of these origins from now on, but not where the block raises."""
        reconciler = self._kernel.reconciler
        before = {file: reconciler.installed_origin(file) for file in origins}
        for file, origin in origins.items():
            reconciler.set_origin(file, origin)
        try:
            yield
        except BaseException:
            for file, origin in before.items():
                reconciler.set_origin(file, origin)
            raise

    async def _exchange(self, candidate: Candidate, wishes: Wishes) -> Installed:
        """Replace one that runs alone by files only: the reconciler stops it first, and brings it back on failure."""
        reconciler, registry = self._kernel.reconciler, self._kernel.registry
        async with self._one_by_one:
            before = registry.at(candidate.unit.path)
            assert before is not None
            wanted = await self._wanted(candidate, before.identity, before, wishes)
            try:
                with self._knowing(wanted.origins):
                    async with self._performed(wishes, before.identity, wanted) as performed:
                        plugin = reconciler.introduce(candidate.unit, candidate.origin)
                        outcome = await reconciler.request(plugin, Change(wishes.cause, force=True))
                        if outcome.error is not None:
                            raise LoadFailed(outcome.error)
                        if outcome.plugin is not None:
                            require_name(outcome.plugin.name, wishes.name)
                        await self._revisions.flush()
            except BaseException:
                # Its files are as they were before, and so shall be what runs.
                plugin = registry.at(candidate.unit.path) or before
                await asyncio.shield(reconciler.request(plugin, Change(wishes.cause)))
                raise
        view = (registry.at(candidate.unit.path) or plugin).view()
        return Installed(view, True, performed.id)

    async def _keep(self, candidate: Candidate, wishes: Wishes, folders: NewFolders) -> Installed:
        """Put a plugin in place that does not load, for editing."""
        reconciler = self._kernel.reconciler
        name = candidate.unit.short_name
        held = held_by(self._kernel, candidate, name)
        try:
            self.require_free(held, replace=wishes.replace)
            candidate = candidate.named(final_unit(candidate, name, held))
            identity = held.identity if held is not None else Identity(candidate.unit.type, name)
            wanted = await self._wanted(candidate, identity, held, wishes)
            plugin: Plugin | None = None
            try:
                with self._knowing(wanted.origins):
                    async with self._one_by_one, self._performed(wishes, identity, wanted) as performed:
                        plugin = reconciler.introduce(candidate.unit, candidate.origin)
                        outcome = await reconciler.request(plugin, Change(wishes.cause, force=True))
            except BaseException:
                if plugin is not None:
                    # Its files went as they came, and so shall it.
                    await asyncio.shield(reconciler.request(plugin, Change(wishes.cause)))
                raise
        except BaseException:
            await asyncio.shield(folders.remove())
            raise
        await folders.remove()
        return Installed(outcome.plugin or plugin.view(), outcome.error is None, performed.id)


@dataclass(frozen=True, slots=True)
class _Loaded:
    candidate: Candidate
    generation: Generation
    output: HeldOutput


def require_name(name: str, expected: str | None) -> None:
    """Do nothing where a plugin has the name that it has to have.

    Raises:
        NameChanged
    """
    if expected is not None and name != expected:
        raise NameChanged(
            Text(
                zh=f"新的内容是名为 {name} 的插件，不是 {expected}；如需要它，请另行安装",
                en=f"The new content is a plugin named {name}, not {expected}; install it by itself",
            ),
            name=name,
        )
