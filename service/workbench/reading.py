"""A plugin's text, parsed: where its class, its methods and its fields stand. Nothing of it is run."""

from __future__ import annotations

import ast
import io
import tokenize
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from service.host.files.sources import Snapshot
from service.workbench.problems import Place
from service.worker.contract import BASES

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One file of a plugin.

    Attributes:
        path: relative to the plugin folder.
        content: its bytes.
    """

    path: str
    content: bytes

    @cached_property
    def lines(self) -> list[str]:
        """Its text by lines, also where it is no text."""
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(self.content).readline)
            text = self.content.decode(encoding, "replace")
        except (SyntaxError, LookupError):
            text = self.content.decode("utf-8", "replace")
        return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")

    @cached_property
    def tree(self) -> ast.Module | None:
        """Its syntax tree, None where it has none."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.parse(self.content)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None

    def line(self, number: int | None) -> str | None:
        """The text of a line, counted from 1."""
        return self.lines[number - 1] if number is not None and 0 < number <= len(self.lines) else None

    def at(self, node: ast.AST) -> Place:
        """Where a node begins, and where it ends on that line. A function or class is told by its first line."""
        line: int = getattr(node, "lineno", 1)
        start = self.column(line, getattr(node, "col_offset", 0))
        end = None
        if isinstance(node, Function | ast.ClassDef):
            text = self.line(line) or ""
            end = len(text[: start - 1]) + len(text[start - 1 :].rstrip().removesuffix(":")) + 1
        elif getattr(node, "end_lineno", None) == line:
            end = self.column(line, getattr(node, "end_col_offset", 0))
        return Place(path=self.path, line=line, column=start, end_column=end)

    def column(self, line: int, offset: int) -> int:
        """The column, counted in characters from 1, of an offset in bytes of UTF-8."""
        text = self.line(line) or ""
        return len(text.encode()[:offset].decode("utf-8", "ignore")) + 1

    def whole_line(self, number: int | None) -> Place:
        """A line without what indents it."""
        text = self.line(number)
        if text is None or not text.strip():
            return Place(path=self.path, line=number, column=None if number is None else 1)
        begin = len(text) - len(text.lstrip()) + 1
        return Place(path=self.path, line=number, column=begin, end_column=len(text.rstrip()) + 1)


@dataclass(frozen=True)
class PluginClass:
    """The class that seems to be the plugin, with what it and its ancestors in the same file have.

    Attributes:
        node: where it is defined.
        methods: by name; an ancestor's where it has none of its own.
        values: what is assigned to its attributes, by name; a property's function stands for its value.
        is_plain: whether nothing but the bases of the interface is behind it, so that what is missing is missing.
    """

    node: ast.ClassDef
    methods: dict[str, Function] = field(default_factory=dict)
    values: dict[str, ast.AST] = field(default_factory=dict)
    is_plain: bool = True


class Reading:
    """The plugin's own files.

    Args:
        snapshot: its code.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.type = snapshot.unit.type.value
        own = [one for one in snapshot.modules if snapshot.unit.holds(one.path)]
        self.modules = [Module(one.path, one.content) for one in own]
        self._by_path = {one.path: one for one in self.modules}
        for one in snapshot.modules:
            self._by_path.setdefault(one.path, Module(one.path, one.content))
        self.main = self._by_path[snapshot.unit.main_file]
        self.requirements = (
            Module(snapshot.requirements_path, snapshot.requirements)
            if snapshot.requirements is not None and snapshot.requirements_path is not None
            else None
        )
        if self.requirements is not None:
            self._by_path[self.requirements.path] = self.requirements
        self.plugin = _plugin_class(self.main.tree, self.type) if self.main.tree is not None else None

    def module(self, path: str) -> Module | None:
        """One of its files, or a helper."""
        return self._by_path.get(path)

    def class_place(self) -> Place:
        """Where the plugin's class begins, or the file."""
        return self.main.at(self.plugin.node) if self.plugin is not None else self.main.whole_line(1)

    def method_place(self, name: str) -> Place:
        """Where a method of the plugin begins, or its class."""
        method = self.plugin.methods.get(name) if self.plugin is not None else None
        return self.main.at(method) if method is not None else self.class_place()

    def fields(self) -> Iterator[tuple[str | None, ast.Call]]:
        """Each `ConfigField(…)` in the main file, with its name where that is a literal."""
        for node in ast.walk(self.main.tree) if self.main.tree is not None else ():
            if isinstance(node, ast.Call) and last_name(node.func) == "ConfigField":
                yield literal_argument(node, "name", 0), node

    def json_schema_place(self, path: Sequence[str]) -> Place:
        """Where a part of the JSON Schema stands, as far as it is written as a literal."""
        names = ("get_config_schema", "config_schema")
        owned = (
            (self.plugin.methods.get(one) or self.plugin.values.get(one) for one in names)
            if self.plugin
            else ()
        )
        here: ast.expr | None = next(filter(None, map(_dictionary, owned)), None)
        best = None
        for step in path:
            key: ast.expr | None = None
            if isinstance(here, ast.Dict):
                found = next(
                    (
                        (name, value)
                        for name, value in zip(here.keys, here.values, strict=True)
                        if isinstance(name, ast.Constant) and name.value == step
                    ),
                    None,
                )
                key, here = found if found is not None else (None, None)
            elif isinstance(here, ast.List | ast.Tuple) and step.isdecimal() and int(step) < len(here.elts):
                key = here = here.elts[int(step)]
            if key is None:
                break
            best = key
        return self.main.at(best) if best is not None else self.schema_place()

    def schema_place(self, name: str | None = None) -> Place:
        """Where a field of the configuration is defined, or all of them."""
        for known, call in self.fields():
            if name is not None and known == name:
                return self.main.at(call)
        if self.plugin is not None:
            for attribute in ("get_config_schema", "config_schema"):
                found = self.plugin.methods.get(attribute) or self.plugin.values.get(attribute)
                if found is not None:
                    return self.main.at(found)
        return self.class_place()


def _dictionary(node: ast.AST | None) -> ast.Dict | None:
    """The one that is assigned, or returned by a function."""
    if isinstance(node, Function):
        returned = [one.value for one in ast.walk(node) if isinstance(one, ast.Return)]
        return next((one for one in returned if isinstance(one, ast.Dict)), None)
    value = getattr(node, "value", None)
    return value if isinstance(value, ast.Dict) else None


def last_name(node: ast.expr) -> str:
    """`C` of `a.b.C`; empty for what is no name."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def dotted_name(node: ast.expr) -> str:
    """`a.b.c` of such an expression; empty for what is none."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (inner := dotted_name(node.value)):
        return f"{inner}.{node.attr}"
    return ""


def literal_argument(call: ast.Call, name: str, position: int) -> str | None:
    """An argument of a call that is a text, by its name or position."""
    given: ast.expr | None = next((one.value for one in call.keywords if one.arg == name), None)
    if given is None and len(call.args) > position:
        given = call.args[position]
    return given.value if isinstance(given, ast.Constant) and isinstance(given.value, str) else None


def _plugin_class(tree: ast.Module, type: str) -> PluginClass | None:
    """The last class in a line of derivation that begins at the type's base."""
    base = BASES[type].__name__
    classes: dict[str, PluginClass] = {}
    last = None
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        names = [last_name(one) for one in node.bases]
        if base not in names and not any(one in classes for one in names):
            continue
        found = PluginClass(
            node,
            is_plain=not node.decorator_list
            and not node.keywords
            and all(one == base or (one in classes and classes[one].is_plain) for one in names),
        )
        for name in reversed(names):
            if name in classes:
                found.methods.update(classes[name].methods)
                found.values.update(classes[name].values)
        _collect(found)
        last = classes[node.name] = found
    return last


def _collect(found: PluginClass) -> None:
    for node in found.node.body:
        if isinstance(node, Function):
            found.methods[node.name] = node
            if node.decorator_list:
                found.values[node.name] = node
            if node.name == "__init__":
                for inner in ast.walk(node):
                    found.values.update(_assigned(inner, of_self=True))
        else:
            found.values.update(_assigned(node, of_self=False))


def _assigned(node: ast.AST, *, of_self: bool) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.Assign):
        targets: list[ast.expr] = node.targets
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        targets = [node.target]
    else:
        return
    for target in targets:
        for one in target.elts if isinstance(target, ast.Tuple | ast.List) else [target]:
            if of_self and isinstance(one, ast.Attribute) and last_name(one.value) == "self":
                yield one.attr, node
            elif not of_self and isinstance(one, ast.Name):
                yield one.id, node
