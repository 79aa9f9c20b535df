"""Undoing what was done, as a change of its own: all comes back as it was before, or nothing is changed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import msgspec

from service.errors import LoadFailed
from service.host.files.sources import Unit, unit_of
from service.host.history import changes as kept
from service.host.history.errors import changed
from service.host.history.history import History
from service.host.history.journal import Undo
from service.host.installing.candidates import Candidate
from service.host.installing.placing import Placing, Wishes
from service.host.installing.sharing import HelperEdit, Sharing
from service.host.kernel import Kernel
from service.host.reconciling.desks import Change, Outcome
from service.model.actor import Actor
from service.model.events import Cause
from service.model.plugin import PluginView
from service.model.text import Text


class ChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """One change as clients see it: what was done to which plugin, in words, by whom, and whether it can be undone."""

    id: str
    at: str
    kind: str
    plugin: str | None
    summary: Text
    undoable: bool
    undone_by: str | None
    by: Actor | None


@dataclass(frozen=True, slots=True)
class Undone:
    """The change that undid another, and the plugin that it was about as it is now, where there is one."""

    change: ChangeView
    plugin: PluginView | None


class Undoing:
    """See the module.

    Args:
        kernel: knows the plugins.
        history: knows what was done, and makes the change.
        placing: puts back what is to be loaded first.
        sharing: puts back helpers.
    """

    def __init__(self, kernel: Kernel, history: History, placing: Placing, sharing: Sharing) -> None:
        self._kernel = kernel
        self._journal = history.journal
        self._changes = history.changes
        self._revisions = history.revisions
        self._placing = placing
        self._sharing = sharing

    async def changes(self, *, plugin: str | None, limit: int) -> list[ChangeView]:
        """What was done, newest first.

        Args:
            plugin: only what was done to this one, by its id.
            limit: how many at most.
        """
        found = await self._changes.list(plugin=plugin, limit=limit)
        known = {one.id: one for one in found}
        return [_view(one, known.get(one.undoes or "")) for one in found]

    async def undo(self, id: str) -> Undone:
        """Undo a change.

        Raises:
            ChangeNotFound
            ChangeSuperseded: what it left is not there any more; nothing was changed.
        """
        undo = await self._journal.undo_of(id)
        if undo.change.summary.get("helper"):
            return await self._undo_helper(undo)
        units = {unit.path: unit for path in undo.wanted.files if (unit := unit_of(path)) is not None}
        plugin: PluginView | None
        stays = self._stays(list(units.values()), undo)
        try:
            if stays is None:
                plugin = await self._restore(list(units.values()), undo)
            else:
                plugin = await self._put_back(*stays, undo)
        except LoadFailed:
            # It did not load before either, or does not any more. It is what was there, and what serves goes on.
            assert stays is not None
            plugin = await self._restore(list(dict.fromkeys(stays)), undo)
        return await self._undone(id, plugin)

    async def _undone(self, id: str, plugin: PluginView | None) -> Undone:
        undone = await self._changes.get(id)
        return Undone(_view(await self._changes.get(undone.undone_by or id), undone), plugin)

    async def _undo_helper(self, undo: Undo) -> Undone:
        """Put a helper back, and have all that use it serve with it."""
        [(path, content)] = undo.wanted.files.items()
        assert content is not None  # only helpers that were there are written
        edit = HelperEdit(path, content, about=undo.change.plugin, expected=None, undoes=undo.change.id)
        try:
            await self._sharing.put(edit)
        except LoadFailed:
            # It did not load before either, or does not any more. It is what was there, and what serves goes on.
            await self._sharing.put(replace(edit, must_load=False))
        about = [one for one in self._kernel.registry.all() if str(one.identity) == undo.change.plugin]
        return await self._undone(undo.change.id, about[0].view() if about else None)

    def _stays(self, units: list[Unit], undo: Undo) -> tuple[Unit, Unit] | None:
        """Where the plugin lies before and after, if it is there both times: what it was is loaded first then."""
        if not units:
            # Its requirements file only, which changes what it depends on.
            units = [
                one.unit
                for one in self._kernel.registry.all()
                if str(one.identity) == undo.change.plugin and undo.wanted.files
            ]
        before = [unit for unit in units if self._kernel.tree.has(unit)]
        after = [unit for unit in units if self._will_be(unit, undo)]
        if len(before) != 1 or len(after) != 1 or undo.wanted.folders:
            return None
        return before[0], after[0]

    def _will_be(self, unit: Unit, undo: Undo) -> bool:
        if unit.main_file in undo.wanted.files:
            return isinstance(undo.wanted.files[unit.main_file], bytes)
        return self._kernel.tree.has(unit)

    async def _put_back(self, now: Unit, unit: Unit, undo: Undo) -> PluginView:
        wanted = {path: text if isinstance(text, bytes) else None for path, text in undo.wanted.files.items()}
        wishes = Wishes(kind="undo", cause=Cause.ROLLBACK, of=now, undoes=undo.change.id, also=undo.wanted)
        return (await self._placing.put(Candidate(unit, wanted, None), wishes)).plugin

    async def _restore(self, units: list[Unit], undo: Undo) -> PluginView | None:
        """Put back files, configuration and folders, and have what runs follow them."""
        wanted, reconciler = undo.wanted, self._kernel.reconciler
        view: PluginView | None = None
        for other in self._kernel.registry.all():
            if units and str(other.identity) == undo.change.plugin and other.unit not in units:
                # Another file has its name by now, so it could not serve.
                raise changed(other.file)
        origins = {file: reconciler.installed_origin(file) for file in wanted.origins}
        try:
            async with self._journal.performed(
                "undo", undo.change.plugin, wanted, on_files=self._kernel.tell_files, undoes=undo.change.id
            ):
                for file, origin in wanted.origins.items():
                    reconciler.set_origin(file, origin)
                for unit in units:
                    if (outcome := await self._follow(unit, undo)) is not None:
                        view = outcome.plugin
        except BaseException:
            # Its files are as they were before, and so shall be what runs.
            for file, origin in origins.items():
                reconciler.set_origin(file, origin)
            there = [one for unit in units if (one := self._kernel.registry.at(unit.path)) is not None]
            again = [reconciler.request(one, Change(Cause.ROLLBACK, force=True)) for one in there]
            await asyncio.shield(asyncio.gather(*again, return_exceptions=True))
            raise
        if wanted.config and not units:
            await self._kernel.operations.apply_config(set(wanted.config))
            plugins = {one.identity.config_key: one for one in self._kernel.registry.all()}
            view = next((plugins[key].view() for key in wanted.config if key in plugins), None)
        return view

    async def _follow(self, unit: Unit, undo: Undo) -> Outcome | None:
        """Have what runs follow a plugin's files; `None` where it neither was there nor is."""
        reconciler = self._kernel.reconciler
        known, is_there = self._kernel.registry.at(unit.path), self._kernel.tree.has(unit)
        if known is None and not is_there:
            return None
        if known is None:
            await self._revisions.revive(unit.path)
        plugin = known or reconciler.introduce(unit, undo.wanted.origins.get(f"plugins/{unit.path}"))
        return await reconciler.request(plugin, Change(Cause.ROLLBACK, force=is_there))


def _view(change: kept.ChangeView, undone: kept.ChangeView | None) -> ChangeView:
    summary = _words(change)
    if undone is not None:
        what = _words(undone)
        summary = Text(zh=f"撤销“{what.zh}”", en=f"undone: {what.en}")
    return ChangeView(
        id=change.id,
        at=change.at,
        kind=change.kind,
        plugin=change.plugin,
        summary=summary,
        undoable=change.undoable,
        undone_by=change.undone_by,
        by=change.by,
    )


# With the version that it came to, where there is one.
_WORDS = {
    "install": Text(zh="安装{}", en="installed{}"),
    "update": Text(zh="更新到{}", en="updated to{}"),
    "edit": Text(zh="编辑{}", en="edited{}"),
    "rollback": Text(zh="回退到{}", en="rolled back to{}"),
    "delete": Text(zh="删除{}", en="deleted{}"),
    "config": Text(zh="修改配置", en="configured"),
    "grant": Text(zh="更改授权", en="permissions granted"),
    "import": Text(zh="导入配置", en="configuration imported"),
    "undo": Text(zh="撤销", en="undone"),
}


def _words(change: kept.ChangeView) -> Text:
    told = change.summary
    words = _WORDS.get(change.kind, Text(zh=change.kind, en=change.kind))
    if change.kind == "toggle":
        on = told.get("enabled") is True
        words = Text(zh="启用" if on else "停用", en="enabled" if on else "disabled")
    if (helper := told.get("helper")) and change.kind == "edit":
        words = Text(zh=f"编辑 plugins/{helper}", en=f"edited plugins/{helper}")
    version = told.get("version")
    if not version:
        words = Text(zh=words.zh.replace("到{}", "{}"), en=words.en.replace(" to{}", "{}"))
    zh = words.zh.replace("{}", f"版本 {version}" if version else "")
    en = words.en.replace("{}", f" version {version}" if version else "")
    if change.kind == "import" and (entries := told.get("config")):
        zh, en = f"{zh}（{len(entries)} 个插件）", f"{en} ({len(entries)} plugins)"
    if told.get("data"):
        zh, en = f"{zh}及其数据", f"{en} with its data"
    return Text(zh=zh, en=en)
