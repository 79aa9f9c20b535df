"""Plugin-side modules, imported from the snapshot that the server sent and never from the disk.

A generation keeps its own code: a helper that is imported late is the one that the snapshot holds, whatever has
become of the file by then. So names below `plugins` are answered here or not at all.
"""

from __future__ import annotations

import ast
import linecache
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec
from importlib.util import decode_source
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

from service.worker.compat.stand_ins import below_plugins

ROOT_PACKAGE = "plugins"
_RELATIVE_IMPORT = re.compile(rb"\bfrom\s*\.")


class SourceModule(NamedTuple):
    """One module of the snapshot."""

    path: str
    is_package: bool
    source: bytes


_look_up_on_disk = linecache.updatecache


def quote(importer: SnapshotImporter | None) -> None:
    """Have tracebacks quote the snapshot's lines, and not what the files of these names hold by then.

    Args:
        importer: of the snapshot; none from now on where it is `None`.
    """

    def updatecache(filename: str, module_globals: dict[str, Any] | None = None) -> list[str]:
        lines = importer.lines_of(filename) if importer is not None else None
        if lines is None:
            return _look_up_on_disk(filename, module_globals)
        linecache.cache[filename] = (sum(map(len, lines)), None, lines, filename)
        return lines

    linecache.updatecache = updatecache if importer is not None else _look_up_on_disk


class SnapshotImporter:
    """Finder and loader of the snapshot's modules, for `sys.meta_path`.

    Args:
        modules: dotted name to module.
        root: the real folder of `plugins`, for the `__path__` of packages.
    """

    def __init__(self, modules: Mapping[str, SourceModule], root: str) -> None:
        self._modules = modules
        self._root = Path(root)
        self._packages = {name.rpartition(".")[0] for name in modules}
        for name in list(self._packages):
            while name := name.rpartition(".")[0]:
                self._packages.add(name)

    def module(self, fullname: str) -> SourceModule | None:
        """The snapshot's module of that name."""
        return self._modules.get(fullname)

    def sources_of(self, name: str) -> list[bytes]:
        """The text of a module and of those inside it."""
        return [
            one.source for full, one in self._modules.items() if full == name or full.startswith(name + ".")
        ]

    def imported(self) -> list[str]:
        """Those of the snapshot's modules that have been imported.

        Goes through the snapshot and not through `sys.modules`: to look at every name there is to write to every page
        that holds one, as each look is a reference.
        """
        return [name for name in self._modules if name in sys.modules]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module of that name, `None` for names that are not below `plugins`."""
        if not _is_plugin_side(fullname):
            return None
        module = self._modules.get(fullname)
        if module is not None:
            spec = ModuleSpec(fullname, self, origin=module.path, is_package=module.is_package)  # type: ignore[arg-type]  # typeshed wants the ABC
            spec.has_location = True
            if module.is_package:
                spec.submodule_search_locations = [str(Path(module.path).parent)]
            return spec
        if fullname in self._packages or fullname == ROOT_PACKAGE:
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [str(self._root.joinpath(*fullname.split(".")[1:]))]
            return spec
        if (stand_in := below_plugins(fullname)) is not None:
            return stand_in
        raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)

    def create_module(self, spec: ModuleSpec) -> None:
        """Have the default module made."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code."""
        exec(self.get_code(module.__name__), module.__dict__)

    def get_code(self, fullname: str) -> CodeType:
        """Compile the module, under the path that it has on the disk."""
        module = self._modules[fullname]
        text = _decoded(module)
        try:
            return compile(text, module.path, "exec", dont_inherit=True)
        except SyntaxError as error:
            # The compiler quotes the file of that name on the disk, which may hold something else.
            lines = text.splitlines(keepends=True)
            if error.lineno is not None and 0 < error.lineno <= len(lines):
                error.text = lines[error.lineno - 1]
            raise

    def get_source(self, fullname: str) -> str | None:
        """The module's text, for tracebacks; `None` where it cannot be decoded."""
        module = self._modules.get(fullname)
        try:
            return decode_source(module.source) if module is not None else None
        except (SyntaxError, UnicodeDecodeError):
            return None

    def lines_of(self, path: str) -> list[str] | None:
        """The lines of the module with this path, `None` where it is none of the snapshot's."""
        name = next((name for name, module in self._modules.items() if module.path == path), None)
        text = self.get_source(name) if name is not None else None
        return text.splitlines(keepends=True) if text is not None else None

    def is_package(self, fullname: str) -> bool:
        """Whether the module is a package."""
        return self._modules[fullname].is_package

    def get_data(self, path: str) -> bytes:
        """A data file beside the module, as `pkgutil.get_data` asks for it."""
        return Path(path).read_bytes()


def _decoded(module: SourceModule) -> str:
    """The module's text. `compile` itself lets wrong bytes in comments pass and tells no place for NUL bytes."""
    source = module.source
    if (index := source.find(b"\0")) >= 0:
        raise _syntax_error("source code cannot contain NUL bytes", module, index)
    try:
        try:
            return decode_source(source)
        except SyntaxError as error:  # of the first two lines, where an encoding would be declared
            source.decode("utf-8")
            raise _syntax_error(str(error), module, 0) from None
    except UnicodeDecodeError as error:
        reason = f"{error.encoding} cannot decode byte 0x{source[error.start]:02x}; save the file as UTF-8"
        raise _syntax_error(reason, module, error.start) from None


def _syntax_error(message: str, module: SourceModule, index: int) -> SyntaxError:
    line_start = module.source.rfind(b"\n", 0, index) + 1
    line = module.source.count(b"\n", 0, index) + 1
    text = module.source[line_start:].split(b"\n", 1)[0][:200].decode("utf-8", "backslashreplace")
    return SyntaxError(message, (module.path, line, index - line_start + 1, text))


def named_imports(importer: SnapshotImporter, start: str) -> list[str]:
    """Every plugin-side module that `start` imports or names in a string, followed through helpers.

    Imports inside functions count. A name that is not in the snapshot is given too: when a file of that name appears,
    the importer wants to be loaded again.
    """
    seen: set[str] = set()
    pending = [start]
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        if (package := name.rpartition(".")[0]) and package != ROOT_PACKAGE:
            pending.append(package)
        if (module := importer.module(name)) is None:
            continue
        if not _may_import_plugin_side(module.source):
            continue
        package = name if module.is_package else package
        try:
            pending.extend(_imports_of(ast.parse(module.source), package))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    seen.update(importer.imported())
    seen.discard(start)
    return sorted(seen)


def _may_import_plugin_side(source: bytes) -> bool:
    """Whether parsing is worth its memory: a syntax tree is some hundred times the text."""
    return ROOT_PACKAGE.encode() in source or _RELATIVE_IMPORT.search(source) is not None


def _imports_of(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _is_plugin_side(alias.name))
        elif isinstance(node, ast.ImportFrom):
            name = _absolute_name(node.module or "", node.level, package)
            if _is_plugin_side(name):
                yield name
                yield from (f"{name}.{alias.name}" for alias in node.names if alias.name != "*")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_plugin_side(node.value):
            yield node.value


def _absolute_name(name: str, level: int, package: str) -> str:
    if level == 0:
        return name
    parts = package.split(".")
    base = ".".join(parts[: len(parts) - level + 1])
    return f"{base}.{name}" if name else base


def _is_plugin_side(name: str) -> bool:
    return name == ROOT_PACKAGE or name.startswith(ROOT_PACKAGE + ".")
