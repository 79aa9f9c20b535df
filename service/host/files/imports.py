"""Which plugin-side files a text imports, as far as the text alone tells.

For what does not run: text from strangers is parsed in workers only, and a worker tells what it found when it has
loaded. Here import statements are found by their looks, also those inside functions, and names such as
`plugins.search.words` wherever they stand. What stands in a comment is no import; what stands in a docstring may be
taken for one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from service.host.files.sources import ROOT_PACKAGE, SourceFile, module_name

_TEXTS_KEPT = 4096

# Every repetition is bounded and gives nothing back, so that no text takes long.
_GAP = r"(?:[^\S\n]|\\\r?\n){0,40}+"
_MODULE = r"(?P<{}>[^\W\d]\w*+(?:\.\w++){{0,20}}+)"
_FROM = re.compile(
    rf"\bfrom{_GAP}(?:(?P<dots>\.{{1,20}}+){_GAP}(?:(?!import\b){_MODULE.format('below')}{_GAP})?+"
    rf"|{_MODULE.format('whole')}{_GAP})"
    # What is in brackets may go over many lines.
    r"\bimport\b(?:\s{0,40}+\((?P<inside>[^)]{0,4000}+)|(?P<names>(?:[^\n;\\]|\\\r?\n){0,4000}+))"
)
_NAMED = re.compile(rf"(?<![\w.]){ROOT_PACKAGE}(?:\.\w{{1,255}}+){{1,20}}+")
_COMMENT = re.compile(r"#[^\n]*+")
_WORD = re.compile(r"\w{1,255}+")
_MAY_IMPORT = re.compile(rb"\bplugins\b|\bfrom\s{0,40}\.")


class ImportReader:
    """Reads texts, each content once; what it found is kept for as many as a large installation has."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], frozenset[str]] = {}

    def reached(self, own: Iterable[str], files: Mapping[str, SourceFile]) -> set[str]:
        """The modules outside a plugin that its modules import, and those that these import.

        Args:
            own: the plugin's own files, by path below the plugin folder.
            files: all that is known of that folder.
        """
        mine = set(own)
        found: set[str] = set()
        pending = list(mine)
        while pending:
            path = pending.pop()
            file = files.get(path)
            if file is None or file.flaw is not None or not path.endswith(".py"):
                continue
            for name in self._named_in(path, file):
                for imported in _paths_of(name, files):
                    if imported not in mine and imported not in found:
                        found.add(imported)
                        pending.append(imported)
        return found

    def _named_in(self, path: str, file: SourceFile) -> frozenset[str]:
        key = (path, file.sha256)
        if (known := self._found.get(key)) is None:
            known = self._found[key] = named_in(path, file.content)
            while len(self._found) > _TEXTS_KEPT:
                self._found.pop(next(iter(self._found)), None)
        return known


def paths_of_modules(names: Iterable[str], files: Mapping[str, SourceFile]) -> set[str]:
    """The files of modules, where there are any."""
    return {path for name in names if (path := _path_of(name, files)) is not None}


def named_in(path: str, content: bytes) -> frozenset[str]:
    """The plugin-side modules that a text names; also names in modules, which are no modules themselves."""
    if _MAY_IMPORT.search(content) is None:
        return frozenset()
    text = _COMMENT.sub("", content.decode("utf-8", "replace"))
    module = module_name(path) or ""
    package = module if path.endswith("/__init__.py") else module.rpartition(".")[0]
    found = {one.group() for one in _NAMED.finditer(text)}
    for one in _FROM.finditer(text):
        base = _absolute(one["below"] or one["whole"] or "", len(one["dots"] or ""), package)
        if base == ROOT_PACKAGE or base.startswith(f"{ROOT_PACKAGE}."):
            found.add(base)
            names = one["inside"] if one["inside"] is not None else one["names"]
            # Of `words as w` the second and third are no modules, and looking for them costs nothing.
            found.update(f"{base}.{name}" for name in _WORD.findall(names or ""))
    return frozenset(found)


def _absolute(name: str, level: int, package: str) -> str:
    if level == 0:
        return name
    parts = package.split(".")
    base = ".".join(parts[: max(0, len(parts) - level + 1)])
    return f"{base}.{name}" if name else base


def _paths_of(name: str, files: Mapping[str, SourceFile]) -> Iterable[str]:
    """The file of a module and those of the packages around it, whichever are there."""
    while name != ROOT_PACKAGE and name:
        if (path := _path_of(name, files)) is not None:
            yield path
        name = name.rpartition(".")[0]


def _path_of(name: str, files: Mapping[str, SourceFile]) -> str | None:
    inner = name.removeprefix(f"{ROOT_PACKAGE}.").replace(".", "/")
    for path in (f"{inner}/__init__.py", f"{inner}.py"):
        if path in files:
            return path
    return None
