"""A plugin's text and its revisions: read, written, compared, and gone back to."""

from __future__ import annotations

import asyncio
import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from service.errors import PlugbayError, RequestRefused
from service.host.files.sources import REQUIREMENTS_SUFFIX, SourceFile, Unit, is_interesting
from service.host.history.errors import ChangeSuperseded
from service.host.history.revisions import Content, Revisions
from service.host.installing.candidates import Candidate
from service.host.installing.placing import Placing, Wishes
from service.host.installing.text_check import ensure_text
from service.host.kernel import Kernel
from service.host.registry import Plugin
from service.model.events import Cause
from service.model.plugin import Origin, PluginView
from service.model.text import Text

_PREFIX_MIN = 6
# How often a file is loaded anew because another of the plugin's changed meanwhile.
_EDIT_TRIES = 4
# Of a new file's name; what is staged beside it has a longer one.
_NAME_MAX_BYTES = 190
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


@dataclass(frozen=True, slots=True)
class Source:
    """A file of a plugin as it is now, its path relative to home."""

    path: str
    content: bytes
    sha256: str


class RevisionNotFound(RequestRefused):
    """The plugin never served this revision, or it is not kept any more, or several begin like this."""

    code = "revision_not_found"


class SourceNotFound(PlugbayError):
    """The plugin has no such file."""

    code = "source_not_found"


class SourceChanged(PlugbayError):
    """The file is not what the writer thinks it is; nothing was changed."""

    code = "source_changed"


class Revising:
    """See the module.

    Args:
        kernel: knows the files.
        revisions: keeps what served.
        placing: puts in place.
        max_bytes: the largest file.
    """

    def __init__(self, kernel: Kernel, revisions: Revisions, placing: Placing, max_bytes: int) -> None:
        self._kernel = kernel
        self._revisions = revisions
        self._placing = placing
        self._max_bytes = max_bytes

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

    async def files(self, plugin: Plugin, revision: str) -> list[FileText]:
        """The files of a revision.

        Raises:
            RevisionNotFound
        """
        content = await self._content(plugin, revision)
        return [
            FileText(path=f"plugins/{path}", text=_shown(text))
            for path, text in sorted(content.files.items())
        ]

    async def source(self, plugin: Plugin, path: str | None) -> Source:
        """A file of the plugin as it is on the disk.

        Args:
            plugin: whose.
            path: which, relative to home or, of a package, to its folder; its main file where it is `None`.

        Raises:
            SourceNotFound
        """
        inner = self._inner(plugin, path)
        file = await self._read(inner)
        if file is None or file.flaw is not None:
            raise _no_source(plugin, inner)
        return Source(f"plugins/{inner}", file.content, file.sha256)

    async def put_source(
        self, plugin: Plugin, content: bytes, *, path: str | None, expected: str | None
    ) -> PluginView:
        """Replace a file, or add one to a package, where the plugin loads with it.

        Args:
            plugin: whose.
            content: the new text.
            path: as for `source`.
            expected: the SHA-256 that the file has to have now; nothing is asked where it is `None`.

        Raises:
            SourceNotFound: a file of that name cannot be one of the plugin's.
            SourceChanged, LoadFailed: nothing was changed.
        """
        if len(content) > self._max_bytes:
            raise RequestRefused(
                Text(
                    zh=f"内容有 {len(content)} 字节，超过上限 {self._max_bytes}（limits.plugin_file_kib）",
                    en=f"The content has {len(content)} bytes, over the limit of {self._max_bytes} "
                    "(limits.plugin_file_kib)",
                ),
                code="too_large",
            )
        inner = self._inner(plugin, path)
        if not await asyncio.to_thread(_fits, self._kernel.eyes.root, plugin.unit, inner):
            raise _no_source(plugin, inner)
        for _ in range(_EDIT_TRIES):
            held = await self._held(plugin, inner)
            if expected is not None and expected != held.get(inner):
                raise _source_changed(inner, held.get(inner))
            if inner.endswith((".py", REQUIREMENTS_SUFFIX)):
                await asyncio.to_thread(ensure_text, content, file=f"plugins/{inner}")
            if held.get(inner) == hashlib.sha256(content).hexdigest() and plugin.error is None:
                return plugin.view()
            try:
                return await self._edit(plugin, inner, content, held)
            except ChangeSuperseded:
                # Somebody else has saved one of its files while this was loaded.
                continue
        raise _source_changed(inner, (await self._held(plugin, inner)).get(inner))

    async def _edit(
        self, plugin: Plugin, inner: str, content: bytes, held: Mapping[str, str | None]
    ) -> PluginView:
        # One that never loaded has not said its name yet.
        name = plugin.identity.name if plugin.manifest is not None else None
        wishes = Wishes(kind="edit", name=name, of=plugin.unit, expected=held)
        return (await self._placing.put(Candidate(plugin.unit, {inner: content}, None), wishes)).plugin

    async def _held(self, plugin: Plugin, inner: str) -> dict[str, str | None]:
        """The SHA-256 of each of the plugin's files, and of one more.

        Of one that cannot be read as text nothing is known, so nothing is asked of it.
        """
        held: dict[str, str | None] = {}
        for path in {*self._kernel.tree.files_of(plugin.unit, [plugin.identity.name]), inner}:
            file = await self._read(path)
            if file is None or file.flaw is None:
                held[path] = file.sha256 if file is not None else None
        return held

    async def _read(self, inner: str) -> SourceFile | None:
        await asyncio.to_thread(self._kernel.eyes.look_at, inner, may_be_open=False)
        return self._kernel.tree.get(inner)

    async def rollback(self, plugin: Plugin, revision: str) -> PluginView:
        """Have a revision serve again, its files put in place as they were.

        Raises:
            RevisionNotFound
            LoadFailed: it does not load any more; nothing was changed.
        """
        content = await self._content(plugin, revision)
        candidate = self.candidate_of(plugin, content)
        wishes = Wishes(kind="rollback", cause=Cause.ROLLBACK, name=plugin.identity.name, of=plugin.unit)
        return (await self._placing.put(candidate, wishes)).plugin

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

    def _inner(self, plugin: Plugin, path: str | None) -> str:
        """The path below the plugin folder of a file that is, or can be, the plugin's own."""
        unit, tree = plugin.unit, self._kernel.tree
        if path is None:
            return unit.main_file
        whole = path.removeprefix("plugins/")
        folder = unit.path if unit.is_package else unit.type.value
        named = [whole] if whole != path else [f"{folder}/{path}", f"{unit.type.value}/{path}"]
        own = tree.files_of(unit, [plugin.identity.name])
        names = {unit.short_name, unit.stem, plugin.identity.name}
        beside = {f"{unit.type.value}/{name}{REQUIREMENTS_SUFFIX}" for name in names}
        for inner in named:
            # One that is there, or the requirements file that it could have.
            if inner in own or (inner in beside and tree.get(inner) is None):
                return inner
        inner = named[0]
        parts = inner.split("/")
        if (
            not unit.is_package
            or not unit.holds(inner)
            or any(part in ("", ".", "..") or len(part.encode()) > _NAME_MAX_BYTES for part in parts)
            or "\0" in inner
            or not is_interesting(inner)
        ):
            raise _no_source(plugin, whole)
        return inner


def _fits(root: Path, unit: Unit, inner: str) -> bool:
    """Whether a file can be written there: within the plugin, not beyond a link in it, and not over a folder."""
    full = root / inner
    if full.is_dir():
        return False
    between = [
        one for one in full.parents if one.is_relative_to(root / unit.path) and one != root / unit.path
    ]
    return not any(one.is_symlink() or (one.exists() and not one.is_dir()) for one in between)


def _moved(files: Mapping[str, bytes], old: Unit, new: Unit) -> dict[str, bytes]:
    """The files of a plugin that is a single one, under the name of another."""
    stem = f"{old.type.value}/"
    names = {
        old.main_file: new.main_file,
        f"{stem}{old.short_name}{REQUIREMENTS_SUFFIX}": f"{stem}{new.short_name}{REQUIREMENTS_SUFFIX}",
        f"{stem}{old.stem}{REQUIREMENTS_SUFFIX}": f"{stem}{new.stem}{REQUIREMENTS_SUFFIX}",
    }
    return {names.get(path, path): content for path, content in files.items()}


def _source_changed(inner: str, sha256: str | None) -> SourceChanged:
    return SourceChanged(
        Text(
            zh=f"plugins/{inner} 已被修改；请取得最新内容，合并后再保存",
            en=f"plugins/{inner} has changed meanwhile; get it anew, merge, and save again",
        ),
        sha256=sha256,
    )


def _no_source(plugin: Plugin, path: str) -> SourceNotFound:
    return SourceNotFound(
        Text(
            zh=f"插件 {plugin.identity} 没有文件 {path[:200]}；它的主文件是 plugins/{plugin.unit.main_file}",
            en=f"Plugin {plugin.identity} has no file {path[:200]}; its main file is plugins/{plugin.unit.main_file}",
        )
    )


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
