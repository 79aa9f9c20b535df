"""Which values of a configuration are passwords, hiding them, and taking hidden ones back.

Both kinds of schema are walked alike, as a `Shape`. A JSON Schema is only ever looked at here, never applied: its
patterns are a stranger's and may take for ever, so where one would decide, the value counts as secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from service.model.plugin import ConfigField, Manifest

MASK = "********"


class Shape(Protocol):
    """What is known of one value."""

    @property
    def secret(self) -> bool:
        """Whether it is a password."""

    def member(self, name: str) -> Shape | None:
        """The value under `name`, where this one is an object."""

    def item(self) -> Shape | None:
        """The values in it, where this one is a list."""


def shape_of(manifest: Manifest) -> Shape:
    """The shape of a plugin's whole configuration."""
    if manifest.config_json_schema is not None:
        return SchemaShape.of([manifest.config_json_schema], manifest.config_json_schema)
    return FieldsShape(manifest.config_schema)


def hide(shape: Shape | None, value: Any) -> Any:
    """The value with every password that is set replaced by asterisks; a copy as deep as need be."""
    if shape is None:
        return value
    if shape.secret:
        return MASK if value not in (None, "") else value
    if isinstance(value, Mapping):
        return {name: hide(shape.member(name), inner) for name, inner in value.items()}
    if isinstance(value, list):
        item = shape.item()
        return [hide(item, inner) for inner in value]
    return value


class Ambiguous(Exception):
    """A hidden password in a list whose entries cannot be told from one another; `path` says where."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def restore(shape: Shape | None, value: Any, stored: Any, path: str = "", *, shown: Any = None) -> Any:
    """The value with each `********` of a password replaced by what is stored; left out where nothing is.

    Args:
        shape: of the value.
        value: what a client sent.
        stored: what is stored in its place.
        path: of the value, for errors.
        shown: what is stored with defaults in it, as clients are shown it; entries of lists are known by either.

    Raises:
        Ambiguous: entries of a list were added or removed, and one with a hidden password was changed too or
            looks like another.
    """
    if shape is None:
        return value
    if isinstance(value, Mapping):
        known = stored if isinstance(stored, Mapping) else {}
        filled = shown if isinstance(shown, Mapping) else {}
        found = {}
        for name, inner in value.items():
            member = shape.member(name)
            if member is not None and member.secret and inner == MASK:
                if known.get(name) not in (None, ""):
                    found[name] = known[name]
                continue
            where = f"{path}.{name}" if path else name
            found[name] = restore(member, inner, known.get(name), where, shown=filled.get(name))
        return found
    if isinstance(value, list):
        old = stored if isinstance(stored, list) else []
        # Both have the same entries in the same order.
        same = shown if isinstance(shown, list) and len(shown) == len(old) else old
        return _restore_list(shape.item(), value, old, same, path)
    return value


def _restore_list(
    item: Shape | None, values: list[Any], stored: list[Any], shown: list[Any], path: str
) -> list[Any]:
    if item is None:
        return values
    looks = [(hide(item, old), hide(item, filled)) for old, filled in zip(stored, shown, strict=True)]
    free = set(range(len(stored)))
    partner: dict[int, int] = {}
    # Entries move within a list, so an entry is known by all of it that is no secret; only one that was edited in
    # place is known by its position.
    for index, value in enumerate(values):
        same = [at for at in sorted(free) if value in looks[at]]
        if len(values) != len(stored) and any(stored[at] != stored[same[0]] for at in same):
            raise Ambiguous(f"{path}[{index}]")
        if same:
            partner[index] = index if index in same else same[0]
            free.discard(partner[index])
    restored = []
    for index, value in enumerate(values):
        where = f"{path}[{index}]"
        at = partner.get(index)
        if at is None and index in free and len(values) == len(stored):
            at = index
        if at is None and stored and _hides(item, value):
            raise Ambiguous(where)
        old = stored[at] if at is not None else None
        if item.secret and value == MASK:
            if old not in (None, ""):
                restored.append(old)
            continue
        restored.append(restore(item, value, old, where, shown=shown[at] if at is not None else None))
    return restored


def _hides(shape: Shape | None, value: Any) -> bool:
    if shape is None:
        return False
    if shape.secret:
        return bool(value == MASK)
    if isinstance(value, Mapping):
        return any(_hides(shape.member(name), inner) for name, inner in value.items())
    if isinstance(value, list):
        return any(_hides(shape.item(), inner) for inner in value)
    return False


class FieldsShape:
    """The shape that a list of `ConfigField` gives to an object."""

    secret = False

    def __init__(self, fields: Sequence[ConfigField]) -> None:
        self._members: dict[str, Shape] = {field.name: _FieldShape(field) for field in fields}

    def member(self, name: str) -> Shape | None:
        """The field of that name."""
        return self._members.get(name)

    def item(self) -> Shape | None:
        """None: an object is no list."""
        return None


class _FieldShape:
    def __init__(self, field: ConfigField) -> None:
        self.secret = field.type == "password"
        self._item = FieldsShape(field.fields) if field.fields else None

    def member(self, name: str) -> Shape | None:
        return None

    def item(self) -> Shape | None:
        return self._item


class SchemaShape:
    """The shape that a JSON Schema gives to a value: all subschemas that could apply to it, taken together."""

    def __init__(self, nodes: list[Mapping[str, Any]], root: Mapping[str, Any], cache: _Cache) -> None:
        self._nodes = nodes
        self._root = root
        self._cache = cache
        self.secret = any(node.get("format") == "password" or node.get("writeOnly") is True for node in nodes)

    @classmethod
    def of(cls, nodes: Sequence[Any], root: Mapping[str, Any], cache: _Cache | None = None) -> SchemaShape:
        """The shape for subschemas of `root`."""
        cache = {} if cache is None else cache
        applying = applicable(nodes, root)
        key = tuple(map(id, applying))
        if key not in cache:
            cache[key] = cls(applying, root, cache)
        return cache[key]

    def member(self, name: str) -> Shape | None:
        """What could apply to the value under `name`."""
        found: list[Any] = []
        for node in self._nodes:
            properties = node.get("properties")
            if isinstance(properties, Mapping) and name in properties:
                found.append(properties[name])
            else:
                found.append(node.get("additionalProperties"))
                found.append(node.get("unevaluatedProperties"))
            patterns = node.get("patternProperties")
            if isinstance(patterns, Mapping):
                found.extend(patterns.values())
        return self._inner(found)

    def item(self) -> Shape | None:
        """What could apply to the values of a list."""
        found: list[Any] = []
        for node in self._nodes:
            found.extend(node.get(word) for word in ("items", "contains", "unevaluatedItems"))
            prefix = node.get("prefixItems")
            if isinstance(prefix, list):
                found.extend(prefix)
        return self._inner(found)

    def _inner(self, nodes: list[Any]) -> Shape | None:
        nodes = [node for node in nodes if isinstance(node, Mapping)]
        return SchemaShape.of(nodes, self._root, self._cache) if nodes else None


_Cache = dict[tuple[int, ...], SchemaShape]

_ALSO = ("allOf", "anyOf", "oneOf")
_ALSO_ONE = ("if", "then", "else", "not")


def applicable(nodes: Sequence[Any], root: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The subschemas and all that they refer to or combine, each once."""
    found: dict[int, Mapping[str, Any]] = {}
    waiting = list(reversed(nodes))
    while waiting:
        node = waiting.pop()
        if not isinstance(node, Mapping) or id(node) in found:
            continue
        found[id(node)] = node
        for word in _ALSO:
            if isinstance(node.get(word), list):
                waiting.extend(node[word])
        waiting.extend(node.get(word) for word in _ALSO_ONE)
        dependent = node.get("dependentSchemas")
        if isinstance(dependent, Mapping):
            waiting.extend(dependent.values())
        waiting.extend(_resolve(node.get(word), root) for word in ("$ref", "$dynamicRef"))
    return list(found.values())


def _resolve(reference: Any, root: Mapping[str, Any]) -> Any:
    """What a reference within the same schema points to, else None."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    target: Any = root
    for part in reference[1:].split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(target, list) and name.isdecimal() and int(name) < len(target):
            target = target[int(name)]
        elif isinstance(target, Mapping):
            target = target.get(name)
        else:
            return None
    return target
