"""What the plan of an import shows: what differs, and no password."""

from __future__ import annotations

from typing import Any

import pytest

from service.host.configuration import import_plan
from service.host.configuration.config_schema import MASK
from service.model.identity import PluginType
from service.model.plugin import ConfigField, Manifest

FIELDS = [ConfigField(name="host"), ConfigField(name="key", type="password")]
MANIFEST = Manifest(type=PluginType.SEARCH, name="demo", config_schema=FIELDS)


class Stored:
    def __init__(self, entries: dict[str, dict[str, Any]]) -> None:
        self._entries = entries

    def entry(self, key: str) -> dict[str, Any]:
        return self._entries.get(key, {})

    def values(self, key: str) -> dict[str, Any]:
        return {name: value for name, value in self.entry(key).items() if not name.startswith("_")}

    def has(self, key: str) -> bool:
        return key in self._entries


async def fields_of(
    entry: dict[str, Any], stored: dict[str, Any], manifest: Manifest | None = MANIFEST
) -> dict[str, tuple[Any, Any]]:
    kept, manifests = Stored({"search:demo": stored}), {"search:demo": manifest}
    fitting = await import_plan.fit({"search:demo": entry}, manifests, kept)
    [change] = import_plan.plan(fitting, manifests, kept).changes
    return {name: (old, new) for name, old, new in change.fields}


async def test_what_a_newer_schema_has_no_more_is_told_by_its_name() -> None:
    stored = {"host": "a", "key": "k1", "old_password": "p1", "colour": "red"}
    entry = {"host": "a", "key": "k2", "old_password": "p2", "colour": "blue"}
    assert await fields_of(entry, stored) == {
        "key": (MASK, MASK),
        "old_password": (MASK, MASK),
        "colour": ("red", "blue"),
    }


@pytest.mark.parametrize(
    "name",
    [
        "PASSWORD",
        "pass",
        "proxy_pass",
        "pwd",
        "api-key",
        "apiKey",
        "private_key",
        "SESSDATA",
        "Cookie",
        "密码",
    ],
)
async def test_where_there_is_no_schema_names_tell_what_is_secret(name: str) -> None:
    fields = await fields_of({"site": {name: "new"}}, {"site": {name: "old"}}, None)
    assert fields == {"site": ({name: MASK}, {name: MASK})}


@pytest.mark.parametrize("name", ["keyword", "bypass", "passive", "author", "hotkey"])
async def test_what_only_sounds_like_a_secret_is_shown(name: str) -> None:
    assert await fields_of({name: "new"}, {name: "old"}, None) == {name: ("old", "new")}
