"""What requirements resolved to: the packages, their versions, sizes and hashes, read from a PEP 751 lock."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import sys
import sysconfig
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
from packaging.requirements import Requirement
from packaging.tags import sys_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from service.host.dependencies.installed import Finding

# Another way to install, such as other options of uv, is another set.
_FORMAT = 1


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """One package of a set. `size` is that of its wheel, in bytes; None where the registry does not say."""

    name: str
    version: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Lock:
    """A resolution. `id` is the same for the same files, wherever they come from; `text` is what uv reads."""

    text: str
    packages: tuple[Package, ...]
    id: str

    def findings(self, requirements: Sequence[str]) -> list[Finding]:
        """The requirements that it was made for, each with its version here."""
        versions = {package.name: package.version for package in self.packages}
        named = [(one, Requirement(one).name) for one in requirements]
        return [Finding(one, name, versions.get(canonicalize_name(name)), True) for one, name in named]


def read_lock(text: str) -> Lock:
    """Read what uv wrote.

    Raises:
        ValueError: it is no lock that can be understood.
    """
    packages = []
    identity: list[Any] = [_FORMAT, *_here()]
    try:
        for entry in tomllib.loads(text).get("packages", []):
            name = canonicalize_name(entry["name"])
            file = _file_for_here(entry)
            size = file.get("size")
            version = str(entry.get("version", ""))
            packages.append(Package(name=name, version=version, size=size if isinstance(size, int) else None))
            hashes = file.get("hashes") or {}
            identity.append([name, version, sorted(hashes.items()) or _url_of(file)])
    except (KeyError, TypeError, AttributeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"not a lock: {error}") from None
    packages.sort(key=lambda package: package.name)
    return Lock(text, tuple(packages), _hash(identity))


def key_of(lines: Sequence[str], *, builds: bool) -> str:
    """The name under which the resolution of these requirements is remembered; the first time it reads the disk."""
    # Markers may look at the last digit of the version too.
    return _hash([_FORMAT, *_here(), platform.python_version(), builds, sorted(set(lines))])


def _here() -> list[str]:
    """What decides which files fit."""
    tag = sys.implementation.cache_tag or sys.implementation.name
    return [tag, sysconfig.get_config_var("SOABI") or "", sysconfig.get_platform()]


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def _file_for_here(entry: dict[str, Any]) -> dict[str, Any]:
    """The wheel that an installer takes, or the source package where there is none."""
    best: tuple[int, dict[str, Any]] | None = None
    ranks = _ranks()
    for file in entry.get("wheels", []):
        try:
            tags = parse_wheel_filename(_name_of(file))[3]
        except InvalidWheelFilename:
            continue
        rank = min((ranks[tag] for tag in tags if tag in ranks), default=None)
        if rank is not None and (best is None or rank < best[0]):
            best = rank, file
    if best is not None:
        return best[1]
    found: dict[str, Any] = entry.get("sdist") or entry.get("archive") or {}
    return found


def _name_of(file: dict[str, Any]) -> str:
    return file.get("name") or unquote(urlsplit(_url_of(file)).path.rpartition("/")[2])


def _url_of(file: dict[str, Any]) -> str:
    return str(file.get("url") or file.get("path") or "")


@functools.cache
def _ranks() -> dict[Any, int]:
    return {tag: rank for rank, tag in enumerate(sys_tags())}
