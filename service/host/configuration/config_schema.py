"""A plugin's configuration against its schema: defaults, checks, hiding of passwords, what is missing.

A schema is a list of `ConfigField`, or a JSON Schema from which such a list was made.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from service.errors import ConfigInvalid
from service.host.configuration import config_secrets, json_schema
from service.host.configuration.config_secrets import MASK, applicable
from service.host.configuration.config_values import FieldCheck, Wrong, boolean, is_unset, number
from service.host.configuration.entries import plain
from service.host.configuration.json_schema import fields_from_json_schema
from service.model.plugin import ConfigField, Manifest
from service.model.text import Text

__all__ = [
    "MASK",
    "Checked",
    "check",
    "fields_from_json_schema",
    "mask",
    "missing",
    "saying_missing",
    "with_defaults",
]


@dataclass(frozen=True, slots=True)
class Checked:
    """Values that may be stored; `warnings` names the keys that the schema does not know."""

    values: dict[str, Any]
    warnings: list[str]


def with_defaults(schema: Sequence[ConfigField], stored: Mapping[str, Any]) -> dict[str, Any]:
    """What the plugin gets as `self.config`: the stored values over the defaults, as a copy of its own.

    A value that is an empty string or null counts as not set; keys that begin with `_` are the server's.
    """
    config = {field.name: copy.deepcopy(field.default) for field in schema if not is_unset(field.default)}
    known = {field.name: field for field in schema}
    for name, value in stored.items():
        field = known.get(name)
        if name.startswith("_") or (field is not None and is_unset(value)):
            continue
        if field is not None and field.type == "list" and field.fields and isinstance(value, list):
            fields = field.fields
            config[name] = [
                with_defaults(fields, entry) if isinstance(entry, Mapping) else copy.deepcopy(entry)
                for entry in value
            ]
        else:
            config[name] = copy.deepcopy(value)
    return config


async def check(manifest: Manifest, values: Mapping[str, Any], stored: Mapping[str, Any]) -> Checked:
    """Decide what of `values` is to be stored.

    Args:
        manifest: the plugin's; its JSON Schema counts where it has one.
        values: what a client sent.
        stored: what is stored now, for passwords that come back as `********`.

    Raises:
        ConfigInvalid: with every wrong field.
    """
    reserved = [name for name in values if name.startswith("_")]
    sent = plain(values)
    shape = config_secrets.shape_of(manifest)
    try:
        sent = config_secrets.restore(
            shape, sent, stored, shown=with_defaults(manifest.config_schema, stored)
        )
    except config_secrets.Ambiguous as error:
        text = Text(
            zh="列表条目有增减，无法确定隐藏的密码属于哪一项，请重新输入密码",
            en="entries were added or removed, so it is not clear whose hidden password this is; enter it again",
        )
        raise _invalid([(error.path, text)]) from None
    if manifest.config_json_schema is not None:
        checked = await _check_json(manifest.config_json_schema, _fields_of(manifest), sent)
    else:
        fields = FieldCheck()
        kept = fields.object(manifest.config_schema, sent, "")
        if fields.errors:
            raise _invalid(fields.errors)
        checked = Checked(kept, fields.unknown)
    return Checked(checked.values, checked.warnings + reserved)


def mask(manifest: Manifest, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as clients may see them: passwords as `********`."""
    hidden: dict[str, Any] = config_secrets.hide(config_secrets.shape_of(manifest), dict(values))
    return hidden


def missing(schema: Sequence[ConfigField], values: Mapping[str, Any]) -> list[str]:
    """The required fields that have neither a value nor a default, such as `token` or `servers[0].host`."""
    return _missing(schema, with_defaults(schema, values), "")


def saying_missing(manifest: Manifest, values: Mapping[str, Any]) -> Manifest:
    """The manifest with what is missing of these values, which no generation can say while none runs."""
    return msgspec.structs.replace(manifest, config_missing=missing(manifest.config_schema, values))


def _missing(schema: Sequence[ConfigField], config: Mapping[str, Any], path: str) -> list[str]:
    found = []
    for field in schema:
        where = f"{path}.{field.name}" if path else field.name
        value = config.get(field.name)
        if field.required and (is_unset(value) or value == []):
            found.append(where)
        elif field.fields and isinstance(value, list):
            for index, entry in enumerate(value):
                if isinstance(entry, Mapping):
                    found.extend(_missing(field.fields, entry, f"{where}[{index}]"))
    return found


def _fields_of(manifest: Manifest) -> list[ConfigField]:
    return manifest.config_schema or fields_from_json_schema(manifest.config_json_schema or {})


async def _check_json(
    schema: Mapping[str, Any], fields: Sequence[ConfigField], sent: Mapping[str, Any]
) -> Checked:
    kinds = {field.name: field.type for field in fields}
    values = {
        name: _as_from_form(kinds.get(name), value) for name, value in sent.items() if not is_unset(value)
    }
    result = await json_schema.validate(schema, values)
    if result.errors:
        raise _invalid(result.errors)
    warnings = _unknown(schema, values)
    if result.schema_error is not None:
        warnings.append(f"config_schema: {result.schema_error}")
    return Checked(values, warnings)


def _as_from_form(kind: str | None, value: Any) -> Any:
    if not isinstance(value, str) or kind not in ("number", "boolean"):
        return value
    try:
        return number(value) if kind == "number" else boolean(value)
    except Wrong:
        return value


def _unknown(schema: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    known: set[str] = set()
    for node in applicable([schema], schema):
        # A schema for other keys is knowing them; whose pattern fits is not decided in this process.
        if node.get("patternProperties") or isinstance(node.get("additionalProperties"), Mapping):
            return []
        properties = node.get("properties")
        if isinstance(properties, Mapping):
            known.update(properties)
    return [name for name in values if name not in known]


def _invalid(errors: Sequence[tuple[str, Text]]) -> ConfigInvalid:
    return ConfigInvalid([{"field": path, "message": text} for path, text in errors])
