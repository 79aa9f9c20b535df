"""What is to be installed, fetched and checked as far as that goes without running it."""

from __future__ import annotations

import asyncio
import hashlib
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import msgspec
import structlog
from yarl import URL

from service.errors import LoadFailed, PlugbayError, RequestRefused
from service.host.files.sources import (
    REQUIREMENTS_SUFFIX,
    SourceFile,
    Unit,
    is_plugin_file_name,
    source_file,
)
from service.host.installing.addresses import public_url
from service.host.installing.fetch import Fetched, fetch, fetch_newer, fetch_requirements
from service.host.installing.text_check import ensure_text
from service.live.event_log import EventLog
from service.model.actor import acting
from service.model.events import InstallProgress, PluginInstalling
from service.model.identity import PluginType
from service.model.plugin import LoadError, Origin, Stage
from service.model.text import Text

log = structlog.get_logger(__name__)

# Where the name of a file does not fit `*_plugin.py` and its plugin has not said its own yet.
UNNAMED = "unnamed_plugin"


class InstallRequest(msgspec.Struct, kw_only=True, frozen=True):
    """What is to be installed: `url`, or `source` with its file name and the text of its requirements file."""

    plugin_type: PluginType
    url: str | None = None
    source: bytes | None = None
    requirements: bytes | None = None
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
    """What is to be a plugin, under the file that it would have.

    Attributes:
        unit: that file, or folder.
        contents: its files by their paths below the plugin folder; `None` for one that goes.
        origin: where it came from; `None` where that stays as it is known.
    """

    unit: Unit
    contents: Mapping[str, bytes | None]
    origin: Origin | None

    @property
    def is_unnamed(self) -> bool:
        """Whether its file has no name of its own."""
        return self.unit.stem == UNNAMED

    @property
    def source(self) -> bytes:
        """The text of the plugin's own file."""
        return self.contents[self.unit.main_file] or b""

    @property
    def requirements(self) -> bytes | None:
        """The text of its requirements file, where it has one."""
        return next(
            (text for path, text in self.contents.items() if text is not None and is_requirements(path)), None
        )

    def named(self, unit: Unit) -> Candidate:
        """The same under another file; of a plugin that is a single one."""
        names = {self.unit.path: unit.path, requirements_path(self.unit): requirements_path(unit)}
        return replace(
            self, unit=unit, contents={names.get(path, path): text for path, text in self.contents.items()}
        )

    def with_contents(self, contents: Mapping[str, bytes | None]) -> Candidate:
        """The same with other files."""
        return replace(self, contents=contents)

    def files(self) -> dict[str, SourceFile | None]:
        """Its files as they would be read."""
        return {path: None if text is None else source_file(text) for path, text in self.contents.items()}


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

    Attributes:
        failed: how many installs that were announced came to nothing.
    """

    def __init__(self, events: EventLog, limits: FetchLimits) -> None:
        self._events = events
        self._limits = limits
        self._announced: dict[int, Unit] = {}
        self.failed = 0

    @property
    def installs(self) -> int:
        """How many installs are under way, from the fetch to the moment when the plugin serves."""
        return len(self._announced)

    def say(
        self,
        unit: Unit,
        stage: str,
        request: InstallRequest,
        error: LoadError | None = None,
        progress: InstallProgress | None = None,
    ) -> None:
        """Announce how far an install is; a plan changes nothing, so it is nobody's news."""
        if request.dry_run:
            return
        self._announced[id(request)] = unit
        name = f"{unit.type.value}/{unit.short_name}"
        url = public_url(request.url) if request.url is not None else None
        self._events.publish(
            PluginInstalling(id=name, stage=stage, url=url, by=acting.get(), error=error, progress=progress)
        )

    @contextmanager
    def announcing(self, request: InstallRequest) -> Iterator[None]:
        """An install from start to end: where it was announced and fails, that is announced too."""
        try:
            yield
        except BaseException as error:
            if (unit := self._announced.get(id(request))) is not None:
                self.failed += 1
                self.say(unit, "failed", request, _load_error(error))
                name = f"{unit.type.value}/{unit.short_name}"
                if isinstance(error, PlugbayError):
                    log.warning("install.failed", plugin=name, code=error.code, reason=str(error))
                else:
                    log.warning("install.failed", plugin=name, code=type(error).__name__)
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
        limits, origin = self._limits, None
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
            origin = origin_of(request.url, fetched)
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
        contents: dict[str, bytes | None] = {unit.path: source}
        beside = request.requirements
        if request.url is not None:
            beside = await self.requirements(request.url, unit)
        if beside is not None:
            contents[requirements_path(unit)] = beside
        origin = origin or Origin(kind="upload", sha256=digest)
        return Candidate(unit, contents, with_requirements(origin, beside))

    async def newer(self, url: str, origin: Origin) -> Fetched | None:
        """What an address gives now, None where its server says that it is what was installed.

        Raises:
            RequestRefused, FetchFailed
            LoadFailed: it is no text.
        """
        return await fetch_newer(
            url,
            etag=origin.etag or None,
            modified=origin.modified or None,
            max_bytes=self._limits.max_bytes,
            timeout_s=self._limits.timeout_s,
            redirects=self._limits.redirects,
            allowed_hosts=self._limits.allowed_hosts,
        )

    async def requirements(self, url: str, unit: Unit) -> bytes | None:
        """The requirements file beside an address, where there is one.

        Args:
            url: the plugin's.
            unit: the file that it has, or would have by the name that it came with.

        Raises:
            RequestRefused, FetchFailed
        """
        beside = await fetch_requirements(
            url,
            names=[unit.short_name, unit.stem] if unit.stem != UNNAMED else [_stem(url)],
            timeout_s=self._limits.timeout_s,
            redirects=self._limits.redirects,
            allowed_hosts=self._limits.allowed_hosts,
        )
        return beside.content if beside is not None else None


def origin_of(url: str, fetched: Fetched) -> Origin:
    """Where a plugin came from that was fetched from this address."""
    return Origin(
        kind="url",
        url=public_url(url),
        sha256=fetched.sha256,
        host=_authority(URL(fetched.url)) or msgspec.UNSET,
        etag=fetched.etag or msgspec.UNSET,
        modified=fetched.modified or msgspec.UNSET,
    )


def with_requirements(origin: Origin, requirements: bytes | None) -> Origin:
    """The same, with what came beside the file."""
    digest = hashlib.sha256(requirements).hexdigest() if requirements is not None else msgspec.UNSET
    return msgspec.structs.replace(origin, requirements=digest)


def host_of(origin: Origin) -> str:
    """The host that a plugin was really fetched from, with its port where that is not the usual one."""
    return origin.host or (_authority(URL(origin.url)) if origin.url else "")


def fetched_unit(type: PluginType, url: str, fetched: Fetched | None = None) -> Unit:
    """The file that a plugin from this address has by the name that it comes with, as far as that is known."""
    return _unit(type, fetched.filename if fetched is not None else URL(url).name)


def is_requirements(path: str) -> bool:
    """Whether a path is a requirements file's."""
    return path.endswith(REQUIREMENTS_SUFFIX)


def requirements_path(unit: Unit) -> str:
    """Where the requirements file of a plugin is put."""
    return f"{unit.type.value}/{unit.short_name}{REQUIREMENTS_SUFFIX}"


def _stem(url: str) -> str:
    return URL(url).name.removesuffix(".py")


def _authority(url: URL) -> str:
    host = url.host or ""
    shown = f"[{host}]" if ":" in host else host
    return shown if url.is_default_port() or url.port is None else f"{shown}:{url.port}"


def _load_error(error: BaseException) -> LoadError | None:
    """Why an install failed, in the shape that events have it; a fetch that failed is its first stage."""
    if isinstance(error, LoadFailed):
        return error.error
    if not isinstance(error, PlugbayError):
        return None
    return LoadError.of_server(Stage.FETCH, error.code, error.text, file=None)


def unit_named(type: PluginType, stem: str) -> Unit:
    """The single file of this stem."""
    return Unit(type, stem, f"{type.value}/{stem}.py", is_package=False)


def _unit(type: PluginType, filename: str) -> Unit:
    name = unicodedata.normalize("NFC", PurePosixPath(filename.replace("\\", "/")).name)
    return unit_named(type, name.removesuffix(".py") if is_plugin_file_name(name) else UNNAMED)
