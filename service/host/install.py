"""Installing: from an address or an upload to a plugin that serves, as one transaction.

    fetch ─► check ─► dependencies ─► load in a worker ─► whose name is it? ─► files appear, it serves

Until the last step nothing is on disk and nothing is registered.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
import time
import unicodedata
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from service.errors import LoadFailed, PlugbayError, PluginExists, RequestRefused
from service.host import atomic, dependencies
from service.host.config_store import ConfigStore
from service.host.desks import Change
from service.host.fetch import Fetched, fetch, fetch_requirements
from service.host.generation import Generation
from service.host.installed import Finding
from service.host.kernel import Kernel
from service.host.registry import DEFAULT_PERMISSIONS, Plugin
from service.host.sources import SourceFile, Unit, is_plugin_file_name
from service.host.store import Store
from service.live.event_log import EventLog
from service.model.events import Cause, PluginInstalling
from service.model.identity import Identity, PluginType
from service.model.plugin import LoadError, Origin, PluginView, Stage
from service.model.text import Text

_CODING = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")


class InstallRequest(msgspec.Struct, kw_only=True, frozen=True):
    """What is to be installed: `url`, or `source` with its file name."""

    plugin_type: PluginType
    url: str | None = None
    source: bytes | None = None
    filename: str | None = None
    sha256: str | None = None
    replace: bool = False
    keep: bool = False
    dry_run: bool = False
    grant: bool = False


@dataclass(frozen=True, slots=True)
class Installed:
    """The plugin as it is now, and whether it serves."""

    plugin: PluginView
    hot_loaded: bool


class HashMismatch(PlugbayError):
    """What came is not what was asked for."""

    code = "hash_mismatch"


class NotSaved(PlugbayError):
    """The plugin loads, but its file could not be written; nothing was changed."""

    code = "plugin_not_saved"


@dataclass(frozen=True, slots=True)
class _Candidate:
    """What was fetched, under the file that it would have."""

    unit: Unit
    source: bytes
    requirements: bytes | None
    origin: Origin

    def named(self, unit: Unit) -> _Candidate:
        return _Candidate(unit, self.source, self.requirements, self.origin)


class Installer:
    """See the module.

    Args:
        kernel: loads and serves.
        store: remembers origins.
        config: remembers grants.
        events: told of the stages.
        max_bytes: the largest plugin file.
        timeout_s: seconds that a fetch may take.
        redirects: how many are followed.
        allowed_hosts: from where plugins may come; anywhere where it is empty.
    """

    def __init__(
        self,
        kernel: Kernel,
        *,
        store: Store,
        config: ConfigStore,
        events: EventLog,
        max_bytes: int,
        timeout_s: float,
        redirects: int,
        allowed_hosts: list[str],
    ) -> None:
        self._kernel = kernel
        self._store = store
        self._config = config
        self._events = events
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._redirects = redirects
        self._allowed_hosts = allowed_hosts
        self._placing = asyncio.Lock()
        self._commits: set[asyncio.Task[Plugin]] = set()

    async def close(self) -> None:
        """Wait for what is being put in place; calling it twice is safe."""
        if self._commits:
            await asyncio.wait(self._commits, timeout=10.0)

    async def install(self, request: InstallRequest) -> Installed:
        """Install a plugin.

        Raises:
            RequestRefused, FetchFailed, HashMismatch, PluginExists: nothing was changed.
            LoadFailed: it does not load; with `keep` it is put in place all the same.
        """
        candidate = await self._candidate(request)
        folders = _NewFolders(self._kernel)
        try:
            generation, candidate = await self._loaded(request, candidate, folders)
        except LoadFailed as failure:
            if not request.keep or failure.error.stage is Stage.FETCH:
                await folders.remove()
                raise
            return await self._keep(request, candidate)
        except BaseException:
            await folders.remove()
            raise
        try:
            self._say(candidate, "install", request)
            plugin = await self._shielded(self._place(request, candidate, generation))
        except BaseException:
            generation.worker.kill()
            await folders.remove()
            raise
        return Installed(plugin.view(), hot_loaded=plugin.serving is generation)

    async def plan(self, request: InstallRequest) -> dict[str, Any]:
        """What an install would do; nothing is changed.

        Raises:
            RequestRefused, FetchFailed, HashMismatch
        """
        candidate = await self._candidate(request)
        declared, findings, error = await self._declared(candidate)
        folders = _NewFolders(self._kernel)
        name, version = candidate.unit.short_name, ""
        if error is None:
            try:
                generation, candidate = await self._loaded(request, candidate, folders)
                name, version = generation.manifest.name, generation.manifest.version
                generation.worker.kill()
                await generation.worker.exited
            except LoadFailed as failure:
                error = failure.error
            finally:
                await folders.remove()
        held = self._held(candidate, name)
        asked = declared.plugbay if declared is not None and declared.plugbay else DEFAULT_PERMISSIONS
        return {
            "plugin": {
                "type": request.plugin_type,
                "name": name,
                "version": version,
                "file": f"plugins/{(held.unit if held else candidate.unit).path}",
            },
            "dependencies": {
                "add": [
                    {"name": one.requirement, "version": None, "size": None}
                    for one in findings
                    if not one.satisfied
                ],
                "satisfied": [
                    {"name": one.requirement, "version": one.installed} for one in findings if one.satisfied
                ],
            },
            "conflicts": [{"id": str(held.identity), "file": held.file}]
            if held and not request.replace
            else [],
            "replaces": str(held.identity) if held else None,
            "permissions": {"asked": asked},
            "error": error,
        }

    # -- the steps -----------------------------------------------------------------------------------------------

    async def _candidate(self, request: InstallRequest) -> _Candidate:
        """Fetch where it has to be fetched, and check what came."""
        type_ = request.plugin_type
        if request.url is not None:
            guess = Unit(
                type_, _stem_of(request.url.partition("?")[0].rpartition("/")[2]), "", is_package=False
            )
            self._events.publish(
                PluginInstalling(id=f"{type_.value}/{guess.short_name}", stage="fetch", url=request.url)
            )
            fetched = await self._fetch(request.url)
            source, filename, url = fetched.content, fetched.filename, request.url
        else:
            assert request.source is not None
            source, filename, url = request.source, request.filename or "", None
        if len(source) > self._max_bytes:
            raise RequestRefused(
                Text(
                    zh=f"插件文件有 {len(source)} 字节，超过上限 {self._max_bytes}（limits.plugin_file_kib）",
                    en=f"The plugin's file has {len(source)} bytes, over the limit of {self._max_bytes} "
                    "(limits.plugin_file_kib)",
                ),
                code="too_large",
            )
        digest = hashlib.sha256(source).hexdigest()
        if request.sha256 is not None and request.sha256.lower() != digest:
            raise HashMismatch(
                Text(
                    zh=f"文件的 sha256 是 {digest}，与给出的 {request.sha256} 不符",
                    en=f"The file's sha256 is {digest}, not {request.sha256} as given",
                ),
                sha256=digest,
            )
        stem = _stem_of(filename)
        unit = Unit(type_, stem, f"{type_.value}/{stem}.py", is_package=False)
        _require_text(source, unit)
        requirements = None
        if request.url is not None:
            beside = await fetch_requirements(
                request.url,
                names=[unit.short_name, unit.stem],
                timeout_s=self._timeout_s,
                redirects=self._redirects,
                allowed_hosts=self._allowed_hosts,
            )
            requirements = beside.content if beside is not None else None
        origin = Origin(kind="url" if url else "upload", url=url, sha256=digest)
        return _Candidate(unit, source, requirements, origin)

    async def _fetch(self, url: str) -> Fetched:
        return await fetch(
            url,
            max_bytes=self._max_bytes,
            timeout_s=self._timeout_s,
            redirects=self._redirects,
            allowed_hosts=self._allowed_hosts,
        )

    async def _declared(
        self, candidate: _Candidate
    ) -> tuple[dependencies.Declared | None, list[Finding], LoadError | None]:
        try:
            declared = await asyncio.to_thread(
                dependencies.declared,
                candidate.source,
                candidate.requirements,
                file=f"plugins/{candidate.unit.path}",
            )
        except LoadFailed as failure:
            return None, [], failure.error
        findings = await asyncio.to_thread(dependencies.examine, declared)
        try:
            await asyncio.to_thread(
                dependencies.require_satisfied, declared, file=f"plugins/{candidate.unit.path}"
            )
        except LoadFailed as failure:
            return declared, findings, failure.error
        return declared, findings, None

    async def _loaded(
        self, request: InstallRequest, candidate: _Candidate, folders: _NewFolders
    ) -> tuple[Generation, _Candidate]:
        """Load it under the file that it will have, which its name may have a say in."""
        self._say(candidate, "load", request)
        generation = await self._load(candidate, folders)
        final = self._final_unit(candidate, generation.manifest.name, request)
        if final == candidate.unit:
            return generation, candidate
        generation.worker.kill()
        candidate = candidate.named(final)
        return await self._load(candidate, folders), candidate

    async def _load(self, candidate: _Candidate, folders: _NewFolders) -> Generation:
        unit = candidate.unit
        folders.note(unit)
        tree = self._kernel.tree.with_files(self._files(candidate))
        held = self._kernel.registry.at(unit.path)
        probe = held or Plugin(unit, Identity(unit.type, unit.short_name))
        number = probe.generation_count + 1
        values = self._config.values(probe.identity.config_key)
        output = self._kernel.output(probe, number)
        generation = await self._kernel.loader.load(tree.snapshot(unit), values, number, output)
        real = Identity(unit.type, generation.manifest.name).config_key
        if real != probe.identity.config_key and self._config.values(real) != values:
            generation.worker.kill()
            generation = await self._kernel.loader.load(
                tree.snapshot(unit), self._config.values(real), number, output
            )
        return generation

    def _final_unit(self, candidate: _Candidate, name: str, request: InstallRequest) -> Unit:
        held = self._held(candidate, name)
        if held is not None:
            if not request.replace:
                raise PluginExists(str(held.identity), held.file)
            if not held.unit.is_package:
                return held.unit
        if candidate.unit.stem != _UNNAMED:
            return candidate.unit
        stem = f"{name}_plugin"
        return Unit(candidate.unit.type, stem, f"{candidate.unit.type.value}/{stem}.py", is_package=False)

    def _held(self, candidate: _Candidate, name: str) -> Plugin | None:
        """The plugin that has this name, or this file."""
        registry = self._kernel.registry
        return registry.get(Identity(candidate.unit.type, name)) or registry.at(candidate.unit.path)

    async def _place(self, request: InstallRequest, candidate: _Candidate, generation: Generation) -> Plugin:
        """Write the files and let the loaded generation serve: from here on it is done or was never begun."""
        async with self._placing:
            if self._final_unit(candidate, generation.manifest.name, request) != candidate.unit:
                raise PluginExists(f"{candidate.unit.type}/{generation.manifest.name}", candidate.unit.path)
            if generation.worker.has_ended():
                raise NotSaved(
                    Text(
                        zh="插件进程在安装完成前退出，请重试",
                        en="The plugin's process ended before it was installed; try again",
                    )
                )
            identity = Identity(candidate.unit.type, generation.manifest.name)
            packaged = self._kernel.registry.get(identity)
            await self._write(candidate)
            if packaged is not None and packaged.unit != candidate.unit:
                await self._kernel.operations.remove_files(packaged)
            if request.grant and generation.asked:
                await self._config.set_granted(identity.config_key, generation.asked)
            await self._store.set_origin(f"plugins/{candidate.unit.path}", candidate.origin)
            self._kernel.tree.apply_all(self._files(candidate))
            return self._kernel.reconciler.adopt(candidate.unit, generation, Cause.API, candidate.origin)

    async def _keep(self, request: InstallRequest, candidate: _Candidate) -> Installed:
        """Put a plugin in place that does not load, for editing."""
        name = candidate.unit.short_name
        final = self._final_unit(candidate, name, request)
        candidate = candidate.named(final)

        async def place() -> Plugin:
            async with self._placing:
                await self._write(candidate)
                await self._store.set_origin(f"plugins/{candidate.unit.path}", candidate.origin)
                self._kernel.tree.apply_all(self._files(candidate))
                return self._kernel.reconciler.introduce(candidate.unit, candidate.origin)

        plugin = await self._shielded(place())
        await self._kernel.reconciler.request(plugin, Change(Cause.API, force=True))
        view = plugin.view()
        return Installed(view, hot_loaded=view.error is None)

    async def _write(self, candidate: _Candidate) -> None:
        root = self._kernel.loader.plugins_dir
        try:
            # The plugin's own file comes last: while it is not there, nothing is.
            for path, file in reversed(list(self._files(candidate).items())):
                await asyncio.to_thread((root / path).parent.mkdir, parents=True, exist_ok=True)
                await atomic.write(root / path, file.content)
        except OSError as error:
            raise NotSaved(
                Text(
                    zh=f"无法写入 plugins/{candidate.unit.path}：{error.strerror}，请检查磁盘空间与权限",
                    en=f"plugins/{candidate.unit.path} cannot be written: {error.strerror}; check disk space and "
                    "permissions",
                )
            ) from error

    def _files(self, candidate: _Candidate) -> dict[str, SourceFile]:
        unit = candidate.unit
        files = {unit.path: _source_file(candidate.source)}
        if candidate.requirements is not None:
            files[f"{unit.type.value}/{unit.stem}_requirements.txt"] = _source_file(candidate.requirements)
        return files

    async def _shielded(self, commit: Awaitable[Plugin]) -> Plugin:
        """Finish a commit though the client may go away in the middle of it."""
        task = asyncio.ensure_future(commit)
        self._commits.add(task)
        task.add_done_callback(self._commits.discard)
        return await asyncio.shield(task)

    def _say(self, candidate: _Candidate, stage: str, request: InstallRequest) -> None:
        self._events.publish(
            PluginInstalling(
                id=f"{candidate.unit.type.value}/{candidate.unit.short_name}", stage=stage, url=request.url
            )
        )


_UNNAMED = "unnamed_plugin"


def _stem_of(filename: str) -> str:
    """The stem that a file keeps, or a stand-in where its name does not fit `*_plugin.py`."""
    name = unicodedata.normalize("NFC", PurePosixPath(filename.replace("\\", "/")).name)
    return name.removesuffix(".py") if is_plugin_file_name(name) else _UNNAMED


def _source_file(content: bytes) -> SourceFile:
    return SourceFile(content, hashlib.sha256(content).hexdigest(), None, "", time.time_ns())


def _require_text(source: bytes, unit: Unit) -> None:
    """Refuse what is no text at all; whether it is Python is found out by loading it."""
    head = source[:512].split(b"\n", 2)[:2]
    coding = next(
        (found.group(1).decode("ascii", "replace") for line in head if (found := _CODING.match(line))),
        "utf-8",
    )
    line: int | None = None
    try:
        source.decode(coding)
        if b"\0" not in source:
            return
        line = source.count(b"\n", 0, source.index(b"\0")) + 1
        reason = Text(zh="其中有 NUL 字节", en="it has NUL bytes")
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        reason = Text(zh=f"第 {line} 行不是 {coding} 编码", en=f"line {line} is not {coding}")
    except LookupError:
        reason = Text(zh=f"编码 {coding} 不存在", en=f"there is no encoding {coding}")
    text = Text(zh=f"收到的内容不是 Python 文本：{reason.zh}", en=f"What came is no Python text: {reason.en}")
    raise LoadFailed(
        LoadError(
            stage=Stage.FETCH,
            code="not_text",
            type="",
            message=text.zh,
            file=f"plugins/{unit.path}",
            line=line,
            column=None,
            traceback=None,
            generation=None,
            messages=text,
        )
    )


class _NewFolders:
    """The data folders that loading made, to be removed where nothing comes of it."""

    def __init__(self, kernel: Kernel) -> None:
        self._data_dir: Callable[[str, str], Path] = kernel.loader.data_dir
        self._made: list[Path] = []

    def note(self, unit: Unit) -> None:
        folder = self._data_dir(unit.type.value, unit.short_name)
        if not folder.exists() and folder not in self._made:
            self._made.append(folder)

    async def remove(self) -> None:
        for folder in self._made:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
