"""Calls in `async` methods that hold up the event loop: seen while the plugin ran, or known to do so."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.model.text import Text
from service.workbench.problems import Found, Place
from service.workbench.reading import Module, Reading, dotted_name
from service.worker.stalls import MARK

_KNOWN = {
    "time.sleep",
    "os.system",
    "os.wait",
    "os.waitpid",
    "socket.create_connection",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "subprocess.call",
    "subprocess.check_call",
    "subprocess.check_output",
    "subprocess.run",
    "urllib.request.urlopen",
    "urllib.request.urlretrieve",
}
_KNOWN_MODULES = {"requests": {"get", "post", "put", "patch", "delete", "head", "options", "request"}}
_KNOWN_MODULES["httpx"] = _KNOWN_MODULES["requests"] | {"stream"}
_CALL_MAX_CHARS = 60
# A plugin of the original is imported and made while the loop runs; nobody else waits for it then.
_NOT_ASYNC = {"<module>", "__init__"}


@dataclass(frozen=True, slots=True)
class Stall:
    """The loop stood still in `function` for `ms`; `text` is what ran, where it can be told."""

    place: Place
    function: str
    text: str
    ms: int


def take_stall(line: bytes, reading: Reading, root: Path) -> Stall | None:
    """What a line of the plugin's output tells of a stall; None where it is any other line.

    Args:
        line: of the output.
        reading: the plugin.
        root: the plugin folder as the worker was told of it.
    """
    _, mark, told = line.partition(MARK)
    if not mark:
        return None
    try:
        stall = json.loads(told)
        path = Path(stall["file"]).relative_to(root).as_posix()
        number, ms, function = int(stall["line"]), int(stall["ms"]), str(stall["function"])
    except (ValueError, KeyError, TypeError):
        return None
    module = reading.module(path)
    if module is None:
        return Stall(Place(path=path, line=number), function, "", ms)
    place = module.whole_line(number)
    begin, end = stall.get("column"), stall.get("end_column")
    if isinstance(begin, int) and isinstance(end, int):
        column = module.column(number, begin)
        last = module.column(number, end) if stall.get("end_line") == number else place.end_column
        place = Place(path=path, line=number, column=column, end_column=last)
    text = _text_at(module, place)
    if "(" not in text:
        # Some step of a loop: the line says more.
        place = module.whole_line(number)
        text = _text_at(module, place)
    return Stall(place, function, text[:_CALL_MAX_CHARS], ms)


def seen(stalls: list[Stall]) -> Iterator[Found]:
    """The problems that stalls are: one for each place, with the longest of its stalls."""
    longest: dict[tuple[str, int | None], Stall] = {}
    for one in stalls:
        if one.function in _NOT_ASYNC:
            continue
        key = (one.place.path, one.place.line)
        if key not in longest or longest[key].ms < one.ms:
            longest[key] = one
    for one in longest.values():
        what = one.text or one.function
        yield _found(
            one.place,
            f"{one.function} 中的 {what} 使事件循环停了 {one.ms} 毫秒",
            f"{what} in {one.function} held up the event loop for {one.ms} ms",
        )


def known(reading: Reading) -> Iterator[Found]:
    """Calls in `async` functions of the plugin's own files that are known to block."""
    for module in reading.modules:
        if module.tree is None:
            continue
        names = _imported_names(module.tree)
        for function in ast.walk(module.tree):
            if isinstance(function, ast.AsyncFunctionDef):
                yield from _in_function(module, function, names)


def _in_function(module: Module, function: ast.AsyncFunctionDef, names: dict[str, str]) -> Iterator[Found]:
    pending: list[ast.AST] = list(function.body)
    while pending:
        node = pending.pop()
        # What is only defined here runs elsewhere, in a thread for instance.
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(node, ast.Call):
            first, dot, rest = dotted_name(node.func).partition(".")
            full = names.get(first, "") + dot + rest
            if full in _KNOWN or _is_of(full):
                yield _found(
                    module.at(node),
                    f"异步方法 {function.name} 中的 {full} 会使事件循环停住",
                    f"{full} holds up the event loop in the async method {function.name}",
                )
        pending.extend(ast.iter_child_nodes(node))


def _is_of(full: str) -> bool:
    top, _, name = full.partition(".")
    return name in _KNOWN_MODULES.get(top, ())


def _imported_names(tree: ast.Module) -> dict[str, str]:
    """What names of the module stand for, as its imports say."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                names[name] = alias.name if alias.asname else name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _text_at(module: Module, place: Place) -> str:
    return (module.line(place.line) or "")[(place.column or 1) - 1 : (place.end_column or 1) - 1]


def _found(place: Place, zh: str, en: str) -> Found:
    return Found(code="blocking_call", severity="warning", message=Text(zh=zh, en=en), place=place)
