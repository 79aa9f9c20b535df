"""Values given on a command line for a plugin's configuration, held against its schema as a server would."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from service.errors import ConfigInvalid
from service.host.configuration import config_schema
from service.model.plugin import Manifest
from service.model.text import Text
from service.workbench.problems import Found, Place
from service.workbench.reading import Reading

_AS_TYPED = ("text", "password", "select")


class Held(msgspec.Struct, frozen=True):
    """What became of the values: those that a server would store, and what is wrong with them."""

    values: dict[str, Any]
    problems: list[Found]


def guessed(texts: Mapping[str, str]) -> dict[str, Any]:
    """The values while the schema is not known yet: JSON where they are JSON."""
    return {name: _value(text, None) for name, text in texts.items()}


async def hold(texts: Mapping[str, str], manifest: Manifest, reading: Reading) -> Held:
    """Decide what of the texts a server would take.

    Args:
        texts: what was typed, by the name of the setting.
        manifest: the plugin's, with its schema.
        reading: the plugin, for the places of its fields.
    """
    kinds = {field.name: field.type for field in manifest.config_schema}
    values = {name: _value(text, kinds.get(name)) for name, text in texts.items()}
    known = [name for name in values if name in kinds]
    try:
        checked = await config_schema.check(manifest, values, {})
    except ConfigInvalid as invalid:
        found = [
            Found(
                code="config_invalid",
                message=_about(one),
                place=_place_of(_top(one["field"]), manifest, reading),
            )
            for one in invalid.fields["errors"]
        ]
        unknown = (
            [name for name in values if name not in known] if manifest.config_json_schema is None else []
        )
        return Held(values, [*found, *_unknown(unknown, manifest, reading)])
    unknown = [name for name in checked.warnings if name in values]
    return Held(checked.values, list(_unknown(unknown, manifest, reading)))


def _about(error: Mapping[str, Any]) -> Text:
    name, message = error["field"], error["message"]
    return Text(zh=f"配置项 {name} {message.zh}", en=f"Setting {name} {message.en}")


def _place_of(name: str, manifest: Manifest, reading: Reading) -> Place:
    if manifest.config_json_schema is not None:
        return reading.json_schema_place(("properties", name))
    return reading.schema_place(name)


def _top(path: str) -> str:
    return path.partition(".")[0].partition("[")[0]


def _unknown(names: list[str], manifest: Manifest, reading: Reading) -> Iterator[Found]:
    fields = [field.name for field in manifest.config_schema]
    for name in names:
        near = difflib.get_close_matches(name, fields, 1)
        if near:
            remedy = Text(zh=f"是否想写 {near[0]}？", en=f"did you mean {near[0]}?")
        elif fields:
            remedy = Text(zh=f"配置项有：{'、'.join(fields)}", en=f"it has: {', '.join(fields)}")
        else:
            remedy = Text(
                zh="此插件没有配置项；去掉 --set", en="the plugin has no settings; leave out the --set"
            )
        yield Found(
            code="config_invalid",
            severity="warning",
            message=Text(zh=f"插件没有配置项 {name}", en=f"The plugin has no setting {name}"),
            place=reading.schema_place(),
            help=remedy,
        )


def _value(text: str, kind: str | None) -> Any:
    if kind in _AS_TYPED or not text:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
