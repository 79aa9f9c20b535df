"""A plugin's revisions: read, compared, and gone back to."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Mapping

import msgspec

from service.errors import RequestRefused
from service.host.files.sources import REQUIREMENTS_SUFFIX, Unit
from service.host.history.kept import Content
from service.host.history.revisions import Revisions
from service.host.installing.candidates import Candidate
from service.host.installing.placing import Installed, Placing, Wishes
from service.host.kernel import Kernel
from service.host.plugin import Plugin
from service.model.events import Cause
from service.model.plugin import Origin
from service.model.text import Text

_PREFIX_MIN = 6
_DIFF_MAX_BYTES = 2 * 1024 * 1024


class RevisionView(msgspec.Struct, frozen=True, kw_only=True):
    """A revision that served: `at` is when it last began to, `current` whether it is what the files hold."""

    revision: str
    version: str
    at: str
    origin: Origin
    current: bool


class FileText(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a revision, its path relative to home."""

    path: str
    text: str


class RevisionNotFound(RequestRefused):
    """The plugin never served this revision, or it is not kept any more, or several begin like this."""

    code = "revision_not_found"


class Revising:
    """See the module.

    Args:
        kernel: knows the files.
        revisions: keeps what served.
        placing: puts in place.
    """

    def __init__(self, kernel: Kernel, revisions: Revisions, placing: Placing) -> None:
        self._kernel = kernel
        self._revisions = revisions
        self._placing = placing

    async def revisions(self, plugin: Plugin) -> list[RevisionView]:
        """Every revision that is kept, newest first."""
        current = self._kernel.tree.revision_of(plugin.unit, [plugin.identity.name])
        return [
            RevisionView(
                revision=one.revision,
                version=one.version,
                at=one.at,
                origin=one.origin,
                current=one.revision == current,
            )
            for one in await self._revisions.list(plugin.identity)
        ]

    async def files(self, plugin: Plugin, revision: str) -> tuple[str, list[FileText]]:
        """The whole name of a revision, and its files.

        Raises:
            RevisionNotFound
        """
        content = await self._content(plugin, revision)
        return content.kept.revision, [
            FileText(path=f"plugins/{path}", text=_shown(text))
            for path, text in sorted(content.files.items())
        ]

    async def rollback(self, plugin: Plugin, revision: str) -> Installed:
        """Have a revision serve again, its files put in place as they were.

        Raises:
            RevisionNotFound
            LoadFailed: it does not load any more; nothing was changed.
        """
        content = await self._content(plugin, revision)
        candidate = self.candidate_of(plugin, content)
        wishes = Wishes(kind="rollback", cause=Cause.ROLLBACK, name=plugin.identity.name, of=plugin.unit)
        return await self._placing.put(candidate, wishes)

    def candidate_of(self, plugin: Plugin, content: Content) -> Candidate:
        """What a revision held, as what is to be in place of what there is now.

        Under the file that it had, so that it is the same revision again; where that is another plugin's by now, under
        the one that the plugin has.
        """
        tree, unit, files = self._kernel.tree, content.unit, dict(content.files)
        if unit != plugin.unit and tree.has(unit) and not (unit.is_package or plugin.unit.is_package):
            unit, files = plugin.unit, _moved(files, unit, plugin.unit)
        own = tree.files_of(plugin.unit, [plugin.identity.name])
        there = {*own, *tree.files_of(unit, [plugin.identity.name])} if not tree.has(unit) else set(own)
        gone = dict.fromkeys(path for path in there if path not in files)
        origin = content.origin if content.origin.kind != "file" else None
        return Candidate(unit, {**gone, **files}, origin)

    async def diff(self, plugin: Plugin, old: str, new: str | None) -> str:
        """What differs between two revisions, as a unified diff.

        Args:
            plugin: whose.
            old: a revision.
            new: another, what the files hold where it is `None`.

        Raises:
            RevisionNotFound
        """
        before = (await self._content(plugin, old)).files
        after: Mapping[str, bytes] = self._now(plugin)
        if new is not None:
            after = (await self._content(plugin, new)).files
        return await asyncio.to_thread(_diff, before, after)

    # -- small parts ---------------------------------------------------------------------------------------------

    def _now(self, plugin: Plugin) -> dict[str, bytes]:
        tree = self._kernel.tree
        found = {}
        for path in tree.files_of(plugin.unit, [plugin.identity.name]):
            file = tree.get(path)
            if file is not None and file.flaw is None:
                found[path] = file.content
        return found

    async def _content(self, plugin: Plugin, revision: str) -> Content:
        revision = revision.lower()
        kept = [one.revision for one in await self._revisions.list(plugin.identity)]
        found = [one for one in kept if one == revision]
        if not found and len(revision) >= _PREFIX_MIN:
            found = [one for one in kept if one.startswith(revision)]
        if (
            len(found) == 1
            and (content := await self._revisions.content(plugin.identity, found[0])) is not None
        ):
            return content
        shown = revision[:64]
        if len(found) > 1:
            raise RevisionNotFound(
                Text(
                    zh=f"{plugin.identity} 有 {len(found)} 个版本以 {shown} 开头；请写得更长一些",
                    en=f"{len(found)} revisions of {plugin.identity} begin with {shown}; give more of it",
                )
            )
        raise RevisionNotFound(
            Text(
                zh=f"{plugin.identity} 没有保留版本 {shown}；请在版本列表中核对（至少 {_PREFIX_MIN} 位的前缀即可）",
                en=f"No revision {shown} of {plugin.identity} is kept; look it up in the list of its revisions "
                f"(its first {_PREFIX_MIN} characters will do)",
            )
        )


def _moved(files: Mapping[str, bytes], old: Unit, new: Unit) -> dict[str, bytes]:
    """The files of a plugin that is a single one, under the name of another."""
    stem = f"{old.type.value}/"
    names = {
        old.main_file: new.main_file,
        f"{stem}{old.short_name}{REQUIREMENTS_SUFFIX}": f"{stem}{new.short_name}{REQUIREMENTS_SUFFIX}",
        f"{stem}{old.stem}{REQUIREMENTS_SUFFIX}": f"{stem}{new.stem}{REQUIREMENTS_SUFFIX}",
    }
    return {names.get(path, path): content for path, content in files.items()}


def _diff(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> str:
    lines: list[str] = []
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old == new:
            continue
        if len(old or b"") + len(new or b"") > _DIFF_MAX_BYTES:
            lines.append(f"--- plugins/{path}: too large to be compared\n")
            continue
        names = (
            f"a/plugins/{path}" if old is not None else "/dev/null",
            f"b/plugins/{path}" if new is not None else "/dev/null",
        )
        found = difflib.unified_diff(
            _shown(old or b"").splitlines(keepends=True), _shown(new or b"").splitlines(keepends=True), *names
        )
        lines += [
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in found
        ]
    return "".join(lines)


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "replace")
