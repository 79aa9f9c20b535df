"""What a plugin says of itself as far as its text tells: parsed, never run.

For a plan, which shall run no line of what the plugin depends on. What only shows when the plugin runs (a name that is
computed, a base class that is renamed on import) is left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from service.worker.contract import BASES, INTERFACE_METHODS

_TEXTS = ("name", "version", "description")
_FLAGS = ("exclusive", "resumable")
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def outline(source: bytes, path: str, plugin_type: str) -> dict[str, Any]:
    """The manifest of the plugin that a module seems to hold, as far as it can be told.

    Args:
        source: the module's text.
        path: its file, for errors.
        plugin_type: `search`, `download` or `parser`.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: as `ast.parse` does.
    """
    tree = ast.parse(source, path)
    cls = _plugin_class(tree, plugin_type)
    found: dict[str, Any] = {"type": plugin_type, "name": ""}
    if cls is None:
        return found
    constants = dict(_constants(cls))
    for key in _TEXTS:
        if isinstance(value := constants.get(key), str):
            found[key] = value
    for key in _FLAGS:
        if isinstance(value := constants.get(key), bool):
            found[key] = value
    protocols = constants.get("supported_protocols")
    if isinstance(protocols, list | tuple | set) and all(isinstance(one, str) for one in protocols):
        found["supported_protocols"] = list(protocols)
    methods = {one.name for one in cls.body if isinstance(one, _Function)}
    found["methods"] = [name for name in INTERFACE_METHODS[plugin_type] if name in methods]
    return found


def _plugin_class(tree: ast.Module, plugin_type: str) -> ast.ClassDef | None:
    """The last class in a line of derivation that begins at the type's base."""
    names = {BASES[plugin_type].__name__}
    last = None
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and any(_last_name(base) in names for base in node.bases):
            names.add(node.name)
            last = node
    return last


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _constants(cls: ast.ClassDef) -> Iterator[tuple[str, Any]]:
    """What the class sets to a literal, and what its properties and its `__init__` do."""
    for node in cls.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            yield from _assigned(node, lambda target: target.id if isinstance(target, ast.Name) else "")
        elif isinstance(node, _Function) and node.name == "__init__":
            for inner in node.body:
                if isinstance(inner, ast.Assign | ast.AnnAssign):
                    yield from _assigned(inner, _own_attribute)
        elif isinstance(node, _Function) and any(
            _last_name(one) == "property" for one in node.decorator_list
        ):
            returns = [one for one in node.body if isinstance(one, ast.Return)]
            if len(returns) == 1 and returns[0].value is not None:
                yield from _literal(node.name, returns[0].value)


def _own_attribute(target: ast.expr) -> str:
    own = (
        isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self"
    )
    return target.attr if own else ""  # type: ignore[attr-defined]  # `own` says that it is an attribute


def _assigned(node: ast.Assign | ast.AnnAssign, name_of: Any) -> Iterator[tuple[str, Any]]:
    if node.value is None:
        return
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        yield from _literal(name_of(target), node.value)


def _literal(name: str, value: ast.expr) -> Iterator[tuple[str, Any]]:
    try:
        yield name, ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return
