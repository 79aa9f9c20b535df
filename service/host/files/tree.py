"""The plugin folder as it was last read: which plugins there are, and a snapshot of each one's code."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

from service.host.files.sources import (
    PLUGIN_SUFFIX,
    REQUIREMENTS_SUFFIX,
    Flaw,
    Snapshot,
    SnapshotModule,
    SourceFile,
    SourceFlawed,
    Unit,
    module_name,
    unit_of,
)

# Helpers are sent along whole while they are few; of many, only those that the code can name.
_ALL_HELPERS_MAX_BYTES = 32 * 1024
# Other plugins that a text names are looked for in so many places of it, and a name is at most so long.
_NAMED_PLUGINS_MAX = 2000
_STEM_MAX_BYTES = 255

_Files = dict[str, SourceFile]


class SourceTree:
    """All files below the plugin folder that matter, as last read.

    It is asked at every step of every reload, so nothing that it does takes time in proportion to how many plugins
    there are.
    """

    def __init__(self) -> None:
        self._files: _Files = {}
        self._plugins: dict[str, _Files] = {}
        self._units: dict[str, Unit] = {}
        self._by_stem: dict[bytes, set[str]] = {}
        self._helpers: _Files = {}

    def apply(self, path: str, file: SourceFile | None) -> bool:
        """Take what was read at a path, `None` where nothing is.

        Returns:
            whether that differs from what was known.
        """
        known = self._files.get(path)
        if file is None:
            if known is not None:
                del self._files[path]
                self._forget(path)
            return known is not None
        self._files[path] = file
        self._sort_in(path, file)
        return known is None or (known.content, known.flaw) != (file.content, file.flaw)

    def get(self, path: str) -> SourceFile | None:
        """What is known of a path."""
        return self._files.get(path)

    def files(self) -> dict[str, SourceFile]:
        """Everything that is known, by path; a copy."""
        return dict(self._files)

    def with_files(self, files: Mapping[str, SourceFile | None]) -> SourceTree:
        """The tree as it would be with these files, and without those that are `None`."""
        other = SourceTree()
        for path, file in {**self._files, **files}.items():
            other.apply(path, file)
        return other

    def units(self) -> list[Unit]:
        """Every plugin that is there, in the order of paths."""
        return [self._units[path] for path in sorted(self._units) if self.has(self._units[path])]

    def has(self, unit: Unit) -> bool:
        """Whether the plugin's main file is there."""
        return unit.main_file in self._files

    def files_of(self, unit: Unit, names: Iterable[str] = ()) -> list[str]:
        """The plugin's own files and its requirements files; one may be named by one of `names` too.

        But for those that another plugin's file is the namesake of.
        """
        requirements = {
            path
            for path in self._requirements_paths(unit, names)
            if path in self._files and not self._is_of_another(path, unit)
        }
        return sorted([*self._plugins.get(unit.path, ()), *requirements])

    def sha256_of(self, unit: Unit) -> str | None:
        """The SHA-256 of the plugin's main file, where it could be read."""
        main = self._files.get(unit.main_file)
        return main.sha256 if main is not None and main.flaw is None else None

    def revision_of(self, unit: Unit, names: Iterable[str] = ()) -> str | None:
        """The revision that the plugin's files are, where they can be read."""
        own = {path: file for path, file in self._plugins.get(unit.path, {}).items() if file.flaw is None}
        if unit.main_file not in own:
            return None
        requirements_path = self._requirements_path(unit, names)
        return _digest(own, self._files[requirements_path] if requirements_path else None)

    def snapshot(self, unit: Unit, names: Iterable[str] = ()) -> Snapshot:
        """The plugin's code and every helper that it can reach.

        Args:
            unit: which plugin.
            names: names besides its file's that its requirements file may have.

        Raises:
            SourceFlawed: its main file cannot be read as text.
        """
        main = self._files.get(unit.main_file)
        if main is None:
            raise SourceFlawed(unit, Flaw.UNREADABLE, "")
        if main.flaw is not None:
            raise SourceFlawed(unit, main.flaw, main.detail)
        own = {path: file for path, file in self._plugins[unit.path].items() if file.flaw is None}
        requirements_path = self._requirements_path(unit, names)
        requirements = self._files[requirements_path] if requirements_path else None
        modules = tuple(
            SnapshotModule(name, path, path.rpartition("/")[2] == "__init__.py", file.content)
            for path, file in sorted((own | self._reachable(unit, own)).items())
            if (name := module_name(path)) is not None
        )
        return Snapshot(
            unit,
            modules,
            requirements.content if requirements else None,
            requirements_path,
            _digest(own, requirements),
            main.sha256,
            max(file.saved_ns for file in own.values()),
        )

    def _sort_in(self, path: str, file: SourceFile) -> None:
        unit = unit_of(path)
        if unit is not None:
            self._units[unit.path] = unit
            self._plugins.setdefault(unit.path, {})[path] = file
            self._by_stem.setdefault(unit.stem.encode(), set()).add(unit.path)
        elif path.endswith(".py"):
            self._helpers[path] = file

    def _forget(self, path: str) -> None:
        unit = unit_of(path)
        if unit is None:
            self._helpers.pop(path, None)
            return
        files = self._plugins[unit.path]
        del files[path]
        if not files:
            del self._plugins[unit.path], self._units[unit.path]
            paths = self._by_stem[unit.stem.encode()]
            paths.discard(unit.path)
            if not paths:
                del self._by_stem[unit.stem.encode()]

    def _requirements_path(self, unit: Unit, names: Iterable[str]) -> str | None:
        return next((path for path in self._requirements_paths(unit, names) if path in self._files), None)

    @staticmethod
    def _requirements_paths(unit: Unit, names: Iterable[str]) -> list[str]:
        return [
            f"{unit.type.value}/{name}{REQUIREMENTS_SUFFIX}" for name in (unit.short_name, unit.stem, *names)
        ]

    def _is_of_another(self, requirements_path: str, unit: Unit) -> bool:
        stem = requirements_path.removesuffix(REQUIREMENTS_SUFFIX)
        return any(
            other.path != unit.path and f"{other.type.value}/{name}" == stem
            for other in self._units.values()
            for name in (other.short_name, other.stem)
        )

    def _reachable(self, unit: Unit, own: Mapping[str, SourceFile]) -> _Files:
        """The helpers, and other plugins' modules where the code names them.

        Found by name in the text and not by parsing: text from strangers is parsed in workers only. That takes in a
        few too many, which only costs their transport.
        """
        candidates = {path: file for path, file in self._helpers.items() if file.flaw is None}
        found: _Files = {}
        if sum(len(file.content) for file in candidates.values()) <= _ALL_HELPERS_MAX_BYTES:
            found, candidates = candidates, {}
        seen = {unit.path}
        pending = [*own.items(), *found.items()]
        while pending:
            user, file = pending.pop()
            # Whoever imports a module runs the packages around it.
            more = {
                path: candidates.pop(path)
                for path in list(candidates)
                if _named_in(path, file.content) or _is_around(path, user)
            }
            for plugin in self._plugins_named_in(file.content) - seen:
                seen.add(plugin)
                more |= {
                    path: file
                    for path, file in self._plugins[plugin].items()
                    if path.endswith(".py") and file.flaw is None
                }
            found |= more
            pending.extend(more.items())
        return found

    def _plugins_named_in(self, text: bytes) -> set[str]:
        if len(self._plugins) < 2:
            return set()
        return {path for stem in _stems_in(text) for path in self._by_stem.get(stem, ())}


def _named_in(path: str, text: bytes) -> bool:
    name = module_name(path)
    return name is not None and name.rpartition(".")[2].encode() in text


def _is_around(path: str, inner: str) -> bool:
    folder, _, name = path.rpartition("/")
    return name == "__init__.py" and (not folder or inner.startswith(folder + "/"))


def _stems_in(text: bytes) -> Iterator[bytes]:
    """Every word of a text that ends like a plugin's module."""
    suffix = PLUGIN_SUFFIX.encode()
    at = -1
    for _ in range(_NAMED_PLUGINS_MAX):
        at = text.find(suffix, at + 1)
        if at < 0:
            return
        begin = at
        while begin > 0 and at - begin < _STEM_MAX_BYTES and _is_of_word(text[begin - 1]):
            begin -= 1
        yield text[begin : at + len(suffix)]


def _is_of_word(byte: int) -> bool:
    return byte >= 0x80 or byte == 0x5F or chr(byte).isalnum()


def _digest(files: Mapping[str, SourceFile], requirements: SourceFile | None) -> str:
    lines = [f"{path}\0{file.sha256}" for path, file in sorted(files.items())]
    if requirements is not None:
        lines.append(f"requirements\0{requirements.sha256}")
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
