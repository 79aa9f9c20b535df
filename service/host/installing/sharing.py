"""A helper put in place: every plugin that uses it is loaded with it first, then all of them serve it.

    who uses it? ─► load each with it ─► journal: the file, all serve it ─► recorded ─► those that failed try again

Whatever goes wrong before it is recorded leaves the file and what serves as they were.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from service.errors import LoadFailed, PlugbayError, PluginNotFound
from service.host.conversation import ended_at_once
from service.host.generation import Generation
from service.host.history.changeset import Link, Wanted
from service.host.history.journal import Journal
from service.host.history.revisions import Revisions
from service.host.installing.candidates import Candidate
from service.host.installing.committing import Commits, in_several_tries
from service.host.installing.placing import require_name
from service.host.installing.planning import must_wait
from service.host.installing.plugin_files import PluginFiles
from service.host.installing.trial import HeldOutput, NewFolders, Trials
from service.host.kernel import Kernel
from service.host.plugin import Plugin
from service.host.reconciling.desks import Change
from service.model.events import Cause

# So many plugins are loaded with it at the same time.
_AT_ONCE = 4
# A load has deadlines of its own; this is for what should not happen.
_PATIENCE_S = 90.0


@dataclass(frozen=True, slots=True)
class HelperEdit:
    """What is to become of a helper.

    Attributes:
        path: below the plugin folder.
        content: its new text, or the link that it is to be again, with which nothing can be tried.
        about: the id of the plugin for whose sake it is done, for the record.
        expected: the SHA-256 that it has to have now; anything where it is `None`.
        must_load: whether it is only put in place where all that serve now load with it.
        undoes: the change that this undoes.
    """

    path: str
    content: bytes | Link
    about: str | None
    expected: str | None
    must_load: bool = True
    undoes: str | None = None

    @property
    def kind(self) -> str:
        """Of the change, for its record."""
        return "edit" if self.undoes is None else "undo"

    @property
    def cause(self) -> Cause:
        """Told with the events."""
        return Cause.API if self.undoes is None else Cause.ROLLBACK


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A plugin's generation that has the helper; `None` where one that runs alone has to stop first."""

    plugin: Plugin
    generation: Generation | None
    output: HeldOutput


class Sharing:
    """See the module.

    Args:
        kernel: loads and serves.
        trials: loads what is not in place yet.
        journal: makes all of it one change.
        revisions: keeps what served.
        files: knows who uses what.
        commits: has it done one after the other.
    """

    def __init__(
        self,
        kernel: Kernel,
        trials: Trials,
        journal: Journal,
        revisions: Revisions,
        files: PluginFiles,
        commits: Commits,
    ) -> None:
        self._kernel = kernel
        self._trials = trials
        self._journal = journal
        self._revisions = revisions
        self._files = files
        self._commits = commits

    async def put(self, edit: HelperEdit) -> str | None:
        """Have every plugin that uses a helper serve with its new text.

        Those that serve now, and the one for whose sake it is done, have to load with it. Those that fail anyway try
        again with it; those that are off have it when they are switched on.

        Returns:
            the change, `None` where the helper has this text already.

        Raises:
            LoadFailed: with `plugin`, the id of the one that does not load; nothing was changed.
            NameChanged, ChangeSuperseded, NotSaved: nothing was changed.
        """
        return await in_several_tries(partial(self._put, edit))

    async def _put(self, edit: HelperEdit) -> str | None:
        users = await self._files.users_of(edit.path)
        tried = [one for one in users if str(one.identity) == edit.about]
        tried += [one for one in users if one.enabled and one.error is None and one not in tried]
        folders = self._trials.folders()
        try:
            loaded = await self._load_all(tried, edit, folders)
        except BaseException:
            await asyncio.shield(folders.remove())
            raise
        return await self._commits.shielded(self._commit(edit, loaded, folders))

    # -- loading -------------------------------------------------------------------------------------------------

    async def _load_all(
        self, plugins: Sequence[Plugin], edit: HelperEdit, folders: NewFolders
    ) -> list[_Loaded]:
        if not edit.must_load or isinstance(edit.content, Link):
            return []
        places, contents = asyncio.Semaphore(_AT_ONCE), {edit.path: edit.content}
        loaded: list[_Loaded] = []
        try:
            # First the one for whose sake it is done: of a mistake in the helper itself that one shall tell.
            for some in (plugins[:1], plugins[1:]):
                loaded += await self._load_some(some, contents, folders, places)
        except BaseException:
            for one in loaded:
                _drop(one)
            raise
        return loaded

    async def _load_some(
        self,
        plugins: Sequence[Plugin],
        contents: Mapping[str, bytes],
        folders: NewFolders,
        places: asyncio.Semaphore,
    ) -> list[_Loaded]:
        tasks = [asyncio.ensure_future(self._load(one, contents, folders, places)) for one in plugins]
        try:
            return list(await asyncio.gather(*tasks))
        except BaseException:
            for task in tasks:
                task.cancel()
            for done in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(done, _Loaded):
                    _drop(done)
            raise

    async def _load(
        self,
        plugin: Plugin,
        contents: Mapping[str, bytes],
        folders: NewFolders,
        places: asyncio.Semaphore,
    ) -> _Loaded:
        candidate = Candidate(plugin.unit, contents, None)
        output = HeldOutput()
        tell = partial(self._kernel.registry.installing, plugin)
        async with places:
            try:
                generation = await self._trials.load(candidate, folders, output, tell)
            except LoadFailed as failure:
                if must_wait(self._kernel, candidate, failure.error):
                    # What it holds can only be had once the one that it replaces has stopped.
                    return _Loaded(plugin, None, output)
                raise _of(plugin, failure) from None
        try:
            require_name(generation.manifest.name, plugin.said_name)
        except PlugbayError as error:
            generation.worker.kill()
            raise _of(plugin, error) from None
        return _Loaded(plugin, generation, output)

    # -- putting in place ----------------------------------------------------------------------------------------

    async def _commit(self, edit: HelperEdit, loaded: list[_Loaded], folders: NewFolders) -> str | None:
        begun: list[Plugin] = []
        try:
            async with self._commits.one_by_one:
                # One that was deleted meanwhile needs nothing any more.
                loaded = [one for one in loaded if self._is_there(one, edit)]
                for one in loaded:
                    if one.generation is not None and one.generation.worker.has_ended():
                        raise _of(one.plugin, await ended_at_once(one.generation))
                wanted = Wanted(
                    files={edit.path: edit.content},
                    expected={} if edit.expected is None else {edit.path: edit.expected},
                    affects=frozenset(one.plugin.unit.path for one in loaded),
                )
                async with self._journal.performed(
                    edit.kind,
                    edit.about,
                    wanted,
                    summary={"helper": edit.path},
                    on_files=self._kernel.tell_files,
                    undoes=edit.undoes,
                ) as performed:
                    await self._serve_all(loaded, edit.cause, begun)
                    await self._revisions.flush()
        except BaseException:
            for one in loaded:
                if one.plugin not in begun:
                    _drop(one)
            # They served already, or had stopped for it: what the files hold again comes back.
            again = [self._kernel.reconciler.request(one, Change(edit.cause, force=True)) for one in begun]
            await asyncio.shield(asyncio.gather(*again, return_exceptions=True))
            await asyncio.shield(folders.remove())
            raise
        await folders.remove()
        await self._follow(edit, begun)
        return performed.id

    async def _serve_all(self, loaded: list[_Loaded], cause: Cause, begun: list[Plugin]) -> None:
        """Let all serve; those that run alone first, as they may still fail."""
        reconciler = self._kernel.reconciler
        for one in loaded:
            if one.generation is None:
                begun.append(one.plugin)
                outcome = await reconciler.request(one.plugin, Change(cause, force=True))
                if outcome.error is not None:
                    raise _of(one.plugin, LoadFailed(outcome.error))
        for one in loaded:
            if (generation := one.generation) is not None:
                begun.append(one.plugin)
                plugin = reconciler.adopt(one.plugin.unit, generation, cause, None)
                one.output.release(self._kernel.output(plugin, generation.number))

    async def _follow(self, edit: HelperEdit, served: list[Plugin]) -> None:
        """Have those try it that could not be tried before: they were failing, or have come to use it meanwhile."""
        reconciler = self._kernel.reconciler
        for plugin in served:
            serving = plugin.serving
            if serving is not None and serving.snapshot.revision != self._kernel.tree.revision_of(
                plugin.unit, [plugin.identity.name]
            ):
                # A file of its own was saved while it was loaded.
                reconciler.request(plugin, Change(Cause.FILE))
        users = await self._files.users_of(edit.path)
        waits = [
            reconciler.request(one, Change(edit.cause, force=True))
            for one in users
            if one.enabled and one not in served
        ]
        if waits:
            await asyncio.wait(waits, timeout=_PATIENCE_S)

    def _is_there(self, one: _Loaded, edit: HelperEdit) -> bool:
        """Whether a plugin is there still.

        Raises:
            PluginNotFound: it is not, and it is the one for whose sake all this is done.
        """
        if self._kernel.registry.at(one.plugin.unit.path) is one.plugin:
            return True
        _drop(one)
        identity = one.plugin.identity
        if edit.undoes is None and str(identity) == edit.about:
            raise PluginNotFound(identity.type.value, identity.name)
        return False


def _drop(one: _Loaded) -> None:
    if one.generation is not None:
        one.generation.worker.kill()


def _of(plugin: Plugin, error: PlugbayError) -> PlugbayError:
    """The error with the id of the plugin that it is about."""
    error.fields["plugin"] = str(plugin.identity)
    return error
