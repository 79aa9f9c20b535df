"""What is installed in the environment that the server runs in, as requirements see it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from service.host.dependencies import requirements as reqs


@dataclass(frozen=True, slots=True)
class Finding:
    """One requirement that applies here, the version that is installed (None: not at all), and whether it will do."""

    requirement: str
    name: str
    installed: str | None
    satisfied: bool

    def __str__(self) -> str:
        return f"{self.requirement} ({self.installed or 'not installed'})"


def check(requires_python: str | None, dependencies: Sequence[str]) -> list[Finding]:
    """Each requirement that applies here, against what is installed. Reads the disk."""
    findings: list[Finding] = []
    if requires_python is not None:
        running = platform.python_version()
        good = SpecifierSet(requires_python).contains(running, prereleases=True)
        if not good:
            findings.append(Finding(f"python{requires_python}", "python", running, False))
    if dependencies:
        installed = _installed()
        for text in dependencies:
            requirement = Requirement(text)
            if reqs.applies(requirement):
                version, satisfied = installed.check(requirement, frozenset())
                findings.append(Finding(text, requirement.name, version, satisfied))
    return findings


class _Installed:
    """The distributions of one state of the environment, looked up once each."""

    def __init__(self, stamp: tuple[object, ...]) -> None:
        self.stamp = stamp
        self._found: dict[str, tuple[str | None, list[str]]] = {}

    def check(self, requirement: Requirement, within: frozenset[tuple[str, str]]) -> tuple[str | None, bool]:
        """The installed version, and whether it and the extras asked for satisfy the requirement."""
        name = canonicalize_name(requirement.name)
        version, requires = self._lookup(name)
        if version is None:
            return None, False
        try:
            good = requirement.specifier.contains(Version(version), prereleases=True)
        except InvalidVersion:
            good = not requirement.specifier
        return version, good and all(
            self._extra(name, extra, requires, within) for extra in requirement.extras
        )

    def _extra(self, name: str, extra: str, requires: list[str], within: frozenset[tuple[str, str]]) -> bool:
        key = (name, canonicalize_name(extra))
        if key in within:
            return True
        for text in requires:
            try:
                needed = Requirement(text)
                marked = needed.marker is not None and not reqs.applies(needed)
                asked = marked and (reqs.applies(needed, extra) or reqs.applies(needed, key[1]))
                if asked and not self.check(needed, within | {key})[1]:
                    return False
            except (InvalidRequirement, reqs.BadRequirement):
                # Somebody else's old metadata: nothing that this plugin could mend.
                continue
        return True

    def _lookup(self, name: str) -> tuple[str | None, list[str]]:
        # Several threads ask at once: what is put here is whole from the start.
        known = self._found.get(name)
        if known is None:
            known = self._found[name] = _look_up(name)
        return known


def _look_up(name: str) -> tuple[str | None, list[str]]:
    try:
        distribution = importlib.metadata.distribution(name)
        version: str | None = distribution.version
        return (version, distribution.requires or []) if version else (None, [])
    except (importlib.metadata.PackageNotFoundError, ValueError, KeyError, OSError):
        # Also a half-removed distribution, whose metadata is not there or has no version.
        return None, []


_cache: _Installed | None = None


def _installed() -> _Installed:
    global _cache
    stamp = tuple(_modified(path) for path in sys.path)
    known = _cache
    if known is None or known.stamp != stamp:
        importlib.metadata.MetadataPathFinder().invalidate_caches()
        known = _cache = _Installed(stamp)
    return known


def _modified(path: str) -> tuple[str, int]:
    try:
        return path, os.stat(path or ".").st_mtime_ns
    except OSError:
        return path, -1
