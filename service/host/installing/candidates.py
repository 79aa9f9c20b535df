"""What is to be installed, fetched and checked as far as that goes without running it."""

from __future__ import annotations

import asyncio
import hashlib
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import msgspec

from service.errors import LoadFailed, PlugbayError, RequestRefused
from service.host.files.sources import SourceFile, Unit, is_plugin_file_name
from service.host.installing.fetch import fetch, fetch_requirements
from service.host.installing.text_check import ensure_text
from service.live.event_log import EventLog
from service.model.events import PluginInstalling
from service.model.identity import PluginType
from service.model.plugin import LoadError, Origin, Stage
from service.model.text import Text

# Where the name of a file does not fit `*_plugin.py` and its plugin has not said its own yet.
UNNAMED = "unnamed_plugin"


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


class HashMismatch(PlugbayError):
    """What came is not what was asked for."""

    code = "hash_mismatch"


@dataclass(frozen=True, slots=True)
class Candidate:
    """What came, under the file that it would have."""

    unit: Unit
    source: bytes
    requirements: bytes | None
    origin: Origin

    @property
    def is_unnamed(self) -> bool:
        """Whether its file has no name of its own."""
        return self.unit.stem == UNNAMED

    def named(self, unit: Unit) -> Candidate:
        """The same under another file."""
        return replace(self, unit=unit)

    def files(self) -> Mapping[str, SourceFile]:
        """Its files by path; the plugin's own comes last, as nothing is there while it is not."""
        files = {}
        if self.requirements is not None:
            path = f"{self.unit.type.value}/{self.unit.short_name}_requirements.txt"
            files[path] = _source_file(self.requirements)
        return {**files, self.unit.path: _source_file(self.source)}


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What is fetched, from where and for how long."""

    max_bytes: int
    timeout_s: float
    redirects: int
    allowed_hosts: list[str]


class Candidates:
    """Makes candidates of requests.

    Args:
        events: told that something is fetched.
        limits: what is fetched.
    """

    def __init__(self, events: EventLog, limits: FetchLimits) -> None:
        self._events = events
        self._limits = limits
        self._announced: dict[int, Unit] = {}

    def say(self, unit: Unit, stage: str, request: InstallRequest, error: LoadError | None = None) -> None:
        """Announce how far an install is."""
        self._announced[id(request)] = unit
        name = f"{unit.type.value}/{unit.short_name}"
        self._events.publish(PluginInstalling(id=name, stage=stage, url=request.url, error=error))

    @contextmanager
    def announcing(self, request: InstallRequest) -> Iterator[None]:
        """An install from its start to its end: where it was announced and fails, that is announced too."""
        try:
            yield
        except BaseException as error:
            if (unit := self._announced.get(id(request))) is not None:
                self.say(unit, "failed", request, _load_error(error))
            raise
        finally:
            self._announced.pop(id(request), None)

    async def of(self, request: InstallRequest, check: Callable[[Unit], None] | None = None) -> Candidate:
        """Fetch where it has to be fetched, and check what came.

        Args:
            request: what is to be installed.
            check: told the file as soon as it is known; may refuse it.

        Raises:
            RequestRefused, FetchFailed, HashMismatch
            LoadFailed: it is no text.
        """
        limits = self._limits
        if request.url is None:
            source, filename = request.source or b"", request.filename or ""
        else:
            guess = request.url.partition("?")[0].rpartition("/")[2]
            self.say(_unit(request.plugin_type, guess), "fetch", request)
            fetched = await fetch(
                request.url,
                max_bytes=limits.max_bytes,
                timeout_s=limits.timeout_s,
                redirects=limits.redirects,
                allowed_hosts=limits.allowed_hosts,
            )
            source, filename = fetched.content, fetched.filename
        unit = _unit(request.plugin_type, filename)
        if check is not None:
            check(unit)
        if len(source) > limits.max_bytes:
            raise RequestRefused(
                Text(
                    zh=f"插件文件有 {len(source)} 字节，超过上限 {limits.max_bytes}（limits.plugin_file_kib）",
                    en=f"The plugin's file has {len(source)} bytes, over the limit of {limits.max_bytes} "
                    "(limits.plugin_file_kib)",
                ),
                code="too_large",
            )
        digest = hashlib.sha256(source).hexdigest()
        if request.sha256 is not None and request.sha256.strip().lower() != digest:
            raise HashMismatch(
                Text(
                    zh=f"文件的 sha256 是 {digest}，与给出的 {request.sha256} 不符",
                    en=f"The file's sha256 is {digest}, not {request.sha256} as given",
                ),
                sha256=digest,
            )
        await asyncio.to_thread(ensure_text, source, file=f"plugins/{unit.path}")
        origin = Origin(kind="url" if request.url else "upload", url=request.url, sha256=digest)
        return Candidate(unit, source, await self._requirements(request, unit), origin)

    async def _requirements(self, request: InstallRequest, unit: Unit) -> bytes | None:
        if request.url is None:
            return None
        beside = await fetch_requirements(
            request.url,
            names=[unit.short_name, unit.stem],
            timeout_s=self._limits.timeout_s,
            redirects=self._limits.redirects,
            allowed_hosts=self._limits.allowed_hosts,
        )
        return beside.content if beside is not None else None


def _load_error(error: BaseException) -> LoadError | None:
    """Why an install failed, in the shape that events have it; a fetch that failed is its first stage."""
    if isinstance(error, LoadFailed):
        return error.error
    if not isinstance(error, PlugbayError):
        return None
    return LoadError(
        stage=Stage.FETCH,
        code=error.code,
        type="",
        message=error.text.zh,
        file=None,
        line=None,
        column=None,
        traceback=None,
        generation=None,
        messages=error.text,
    )


def unit_named(type: PluginType, stem: str) -> Unit:
    """The single file of this stem."""
    return Unit(type, stem, f"{type.value}/{stem}.py", is_package=False)


def _unit(type: PluginType, filename: str) -> Unit:
    name = unicodedata.normalize("NFC", PurePosixPath(filename.replace("\\", "/")).name)
    return unit_named(type, name.removesuffix(".py") if is_plugin_file_name(name) else UNNAMED)


def _source_file(content: bytes) -> SourceFile:
    return SourceFile(content, hashlib.sha256(content).hexdigest(), None, "", time.time_ns())
