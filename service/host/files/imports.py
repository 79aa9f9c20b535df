"""Which plugin-side files a text imports, as far as the text alone tells.

For what does not run: text from strangers is parsed in workers only, and a worker tells what it found when it has
loaded. Here import statements are found by their looks, also those inside functions, and names such as
`plugins.search.words` wherever they stand. What stands in a comment is no import; what stands in a docstring may be
taken for one.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Mapping

from service.host.files.sources import ROOT_PACKAGE, SourceFile, module_name

_TEXTS_KEPT = 4096

# Every repetition is bounded, and what follows it cannot begin with what it repeats, so that no text takes long. No
# group is repeated possessively: Python before 3.11.5 matches that wrongly (https://github.com/python/cpython/issues/106052).
_GAP = r"(?:[^\S\n]|\\\r?\n){0,40}"
_MODULE = r"(?P<{}>[^\W\d]\w*+(?:\.\w++){{0,20}})"
_FROM = re.compile(
    rf"\bfrom{_GAP}(?:(?P<dots>\.{{1,20}}+){_GAP}(?:(?!import\b){_MODULE.format('below')}{_GAP})?"
    rf"|{_MODULE.format('whole')}{_GAP})"
    # What is in brackets may go over many lines.
    r"\bimport\b(?:\s{0,40}+\((?P<inside>[^)]{0,4000}+)|(?P<names>(?:[^\n;\\]|\\\r?\n){0,4000}))"
)
_NAMED = re.compile(rf"(?<![\w.]){ROOT_PACKAGE}(?:\.\w{{1,255}}+){{1,20}}")
_COMMENT = re.compile(r"#[^\n]*+")
_WORD = re.compile(r"\w{1,255}+")
_MAY_IMPORT = re.compile(r"\bplugins\b|\bfrom\s{0,40}\.")
# One search keeps every other thread of the process from running, so a large text is searched in pieces. A statement
# that is longer than they overlap is cut off there, and the rest of it is found by itself.
_PIECE = 16 * 1024
_OVERLAP = 8 * 1024


class ImportReader:
    """Reads texts, each content once; what it found is kept for as many as a large installation has.

    Any thread may use it.
    """

    def __init__(self) -> None:
        self._keeping = threading.Lock()
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
            known = named_in(path, file.content)
            with self._keeping:
                self._found[key] = known
                if len(self._found) > _TEXTS_KEPT:
                    del self._found[next(iter(self._found))]
        return known


def paths_of_modules(names: Iterable[str], files: Mapping[str, SourceFile]) -> set[str]:
    """The files of modules, where there are any."""
    return {path for name in names if (path := _path_of(name, files)) is not None}


def named_in(path: str, content: bytes) -> frozenset[str]:
    """The plugin-side modules that a text names; also names in modules, which are no modules themselves."""
    text = content.decode("utf-8", "replace")
    if next(_found(_MAY_IMPORT, text), None) is None:
        return frozenset()
    text = "".join(_COMMENT.sub("", lines) for lines in _pieces_of_lines(text))
    module = module_name(path) or ""
    package = module if path.endswith("/__init__.py") else module.rpartition(".")[0]
    found = {one.group() for one in _found(_NAMED, text)}
    for one in _found(_FROM, text):
        base = _absolute(one["below"] or one["whole"] or "", len(one["dots"] or ""), package)
        if base == ROOT_PACKAGE or base.startswith(f"{ROOT_PACKAGE}."):
            found.add(base)
            names = one["inside"] if one["inside"] is not None else one["names"]
            # Of `words as w` the second and third are no modules, and looking for them costs nothing.
            found.update(f"{base}.{name}" for name in _WORD.findall(names or ""))
    return frozenset(found)


def _found(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    for start in range(0, len(text), _PIECE):
        for one in pattern.finditer(text, start, start + _PIECE + _OVERLAP):
            if one.start() >= start + _PIECE:
                break  # the next piece has it
            yield one


def _pieces_of_lines(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = text.find("\n", start + _PIECE) + 1 or len(text)
        yield text[start:end]
        start = end


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
