"""Validation is kind to old clients, exact about wrong types, and never runs a stranger's pattern in the server."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from service.errors import ConfigInvalid
from service.host.configuration import json_schema
from service.host.configuration.config_schema import (
    MASK,
    check,
    fields_from_json_schema,
    mask,
    missing,
    with_defaults,
)
from service.model.identity import PluginType
from service.model.plugin import ConfigField, Manifest

FIELDS = [
    ConfigField(name="host", default="localhost"),
    ConfigField(name="port", type="number", default=80),
    ConfigField(name="tls", type="boolean"),
    ConfigField(name="password", type="password", required=True),
    ConfigField(name="quality", type="select", options=[480, 720, {"value": "best", "label": "最好"}]),
    ConfigField(
        name="servers",
        type="list",
        fields=[
            ConfigField(name="name", required=True),
            ConfigField(name="weight", type="number", default=1),
            ConfigField(name="key", type="password"),
        ],
    ),
    ConfigField(name="words", type="list"),
]

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["token"],
    "additionalProperties": False,
    "properties": {
        "token": {"type": "string", "format": "password", "title": "令牌", "minLength": 3},
        "port": {"type": "integer", "minimum": 1, "maximum": 65535, "default": 8080},
        "proxy": {"$ref": "#/$defs/proxy"},
        "mode": {"oneOf": [{"const": "fast", "title": "快"}, {"const": "safe"}]},
        "level": {"enum": ["low", "high", None]},
        "accounts": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["user"],
                "properties": {"user": {"type": "string"}, "secret": {"type": "string", "writeOnly": True}},
            },
        },
        "on": {"type": ["boolean", "null"]},
    },
    "$defs": {
        "proxy": {"type": "object", "properties": {"pass": {"format": "password"}, "url": {"type": "string"}}}
    },
}


def manifest(fields: list[ConfigField] | None = None, schema: dict[str, Any] | None = None) -> Manifest:
    return Manifest(
        type=PluginType.SEARCH, name="demo", config_schema=fields or [], config_json_schema=schema
    )


PLAIN = manifest(FIELDS)
JSON = manifest(fields_from_json_schema(SCHEMA), SCHEMA)


async def wrong(subject: Manifest, values: dict[str, Any], stored: dict[str, Any] | None = None) -> list[str]:
    with pytest.raises(ConfigInvalid) as caught:
        await check(subject, values, stored or {})
    for error in caught.value.fields["errors"]:
        assert error["message"].zh
        assert error["message"].en
    return [error["field"] for error in caught.value.fields["errors"]]


def test_stored_values_lie_over_defaults() -> None:
    stored = {
        "port": "",
        "tls": None,
        "host": "h",
        "_enabled": False,
        "more": [1],
        "servers": [{"name": "a"}, 5],
    }
    config = with_defaults(FIELDS, stored)
    assert config == {"host": "h", "port": 80, "more": [1], "servers": [{"name": "a", "weight": 1}, 5]}
    config["more"].append(2)
    assert stored["more"] == [1]


async def test_forms_may_send_strings_and_nothing() -> None:
    sent = {
        "port": " 8080 ",
        "tls": "True",
        "host": "",
        "password": None,
        "quality": "720",
        "servers": [{"name": "a", "weight": "2.5", "key": ""}],
        "words": ["x", 1],
    }
    checked = await check(PLAIN, sent, {})
    assert checked.values == {
        "port": 8080,
        "tls": True,
        "quality": 720,
        "servers": [{"name": "a", "weight": 2.5}],
        "words": ["x", 1],
    }
    assert checked.warnings == []


async def test_unknown_keys_are_kept_and_named_and_the_servers_own_are_not_taken() -> None:
    checked = await check(PLAIN, {"old": "", "_enabled": False, "servers": [{"name": "a", "x": 1}]}, {})
    assert checked.values == {"old": "", "servers": [{"name": "a", "x": 1}]}
    assert checked.warnings == ["old", "servers[0].x", "_enabled"]


async def test_every_wrong_field_is_named_once() -> None:
    values = {
        "host": 5,
        "port": "eighty",
        "tls": 1,
        "password": ["x"],
        "quality": "worst",
        "servers": [{"name": 1, "weight": True}, "x", {"name": "ok", "key": {}}],
        "words": "x",
    }
    assert await wrong(PLAIN, values) == [
        "host",
        "port",
        "tls",
        "password",
        "quality",
        "servers[0].name",
        "servers[0].weight",
        "servers[1]",
        "servers[2].key",
        "words",
    ]


@pytest.mark.parametrize(
    "value", [True, "nan", "inf", "1_000", "１２", "0x10", "1e999", "", [], {}, float("nan"), "9" * 5000]
)
async def test_what_is_no_number(value: Any) -> None:
    if value == "":
        assert (await check(PLAIN, {"port": value}, {})).values == {}
    else:
        assert await wrong(PLAIN, {"port": value}) == ["port"]


@pytest.mark.parametrize(
    ("value", "stored"), [("-1.5e3", -1500.0), (".5", 0.5), ("+7", 7), (3, 3), (2.5, 2.5)]
)
async def test_what_is_a_number(value: Any, stored: float) -> None:
    found = (await check(PLAIN, {"port": value}, {})).values["port"]
    assert found == stored
    assert type(found) is type(stored)


async def test_choices_are_exact_about_types() -> None:
    subject = manifest([ConfigField(name="q", type="select", options=[1, "2", False])])
    assert (await check(subject, {"q": "1"}, {})).values == {"q": 1}
    assert (await check(subject, {"q": "false"}, {})).values["q"] is False
    assert await wrong(subject, {"q": True}) == ["q"]
    assert await wrong(subject, {"q": 2}) == ["q"]
    assert await wrong(subject, {"q": [1]}) == ["q"]


async def test_passwords_are_hidden_and_come_back() -> None:
    stored = {
        "password": "s3cret",
        "servers": [{"name": "a", "key": "ka"}, {"name": "b", "key": "kb"}],
        "other": MASK,
    }
    shown = mask(PLAIN, stored)
    assert "s3cret" not in str(shown)
    assert "ka" not in str(shown)
    assert shown["password"] == MASK
    assert (await check(PLAIN, shown, stored)).values == stored
    assert mask(PLAIN, {"password": ""}) == {"password": ""}
    assert (await check(PLAIN, {"password": MASK}, {})).values == {}
    assert (await check(PLAIN, {"password": "new"}, stored)).values == {"password": "new"}


async def test_hidden_passwords_follow_their_entry() -> None:
    stored = {"servers": [{"name": "a", "key": "ka"}, {"name": "b", "key": "kb"}]}
    a, b = mask(PLAIN, stored)["servers"]
    assert (await check(PLAIN, {"servers": [b, a]}, stored)).values == {"servers": stored["servers"][::-1]}
    assert (await check(PLAIN, {"servers": [b]}, stored)).values == {"servers": [stored["servers"][1]]}
    edited = {"servers": [{**a, "name": "c"}, b]}
    assert (await check(PLAIN, edited, stored)).values["servers"][0] == {"name": "c", "key": "ka"}
    assert await wrong(PLAIN, {"servers": [{**b, "name": "c"}]}, stored) == ["servers[0]"]
    # Clients are shown the defaults of an entry, too, and send them back.
    first, second = mask(PLAIN, with_defaults(FIELDS, stored))["servers"]
    assert (await check(PLAIN, {"servers": [second]}, stored)).values["servers"][0]["key"] == "kb"
    turned = (await check(PLAIN, {"servers": [second, first]}, stored)).values["servers"]
    assert turned == [{"name": "b", "key": "kb", "weight": 1}, {"name": "a", "key": "ka", "weight": 1}]
    twins = {"servers": [{"name": "a", "key": "k1"}, {"name": "a", "key": "k2"}]}
    assert await wrong(PLAIN, {"servers": [a]}, twins) == ["servers[0]"]


def test_missing_names_what_has_no_value() -> None:
    assert missing(FIELDS, {"servers": [{"name": ""}, {"name": "x"}]}) == ["password", "servers[0].name"]
    assert missing(FIELDS, {"password": "x"}) == []
    assert missing([ConfigField(name="a", required=True, default="d")], {"a": ""}) == []
    assert missing([ConfigField(name="a", type="boolean", required=True)], {"a": False}) == []
    assert missing([ConfigField(name="a", type="list", required=True)], {"a": []}) == ["a"]


def test_a_json_schema_becomes_fields() -> None:
    fields = {field.name: field for field in fields_from_json_schema(SCHEMA)}
    assert fields["token"] == ConfigField(name="token", label="令牌", type="password", required=True)
    assert fields["port"].type == "number"
    assert fields["port"].default == 8080
    assert fields["mode"].type == "select"
    assert fields["mode"].options == ["fast", "safe"]
    assert fields["level"].options == ["low", "high"]
    assert fields["accounts"].type == "list"
    assert [(field.name, field.type, field.required) for field in fields["accounts"].fields or []] == [
        ("user", "text", True),
        ("secret", "password", False),
    ]
    assert fields["on"].type == "boolean"


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"properties": []},
        {"properties": {"a": 5, "b": None, "c": True, "": {}}},
        {"required": "a", "properties": {"a": {"type": 5, "enum": 7, "items": [], "default": None}}},
        {"$ref": "#"},
        {"properties": {"a": {"$ref": "#/properties/a"}, "b": {"$ref": "#/nowhere/0"}, "c": {"$ref": 5}}},
        {
            "$defs": {"n": {"type": "array", "items": {"$ref": "#"}}},
            "properties": {"n": {"$ref": "#/$defs/n"}},
        },
        {"allOf": [True, {"allOf": [{"properties": {"x": {"type": "string"}}}]}]},
    ],
)
def test_odd_schemas_do_not_raise(schema: dict[str, Any]) -> None:
    fields = fields_from_json_schema(schema)
    values = {"a": [{"n": "x"}], "n": [{"n": [{}]}], "x": "y"}
    assert mask(manifest(fields, schema), values) == values
    assert with_defaults(fields, values)


async def test_values_are_checked_against_a_json_schema() -> None:
    values = {"token": "abc", "port": "9000", "on": "true", "mode": "fast", "level": "", "old": 1}
    checked = await check(JSON, values, {})
    assert checked.values == {"token": "abc", "port": 9000, "on": True, "mode": "fast", "old": 1}
    assert checked.warnings == ["old"]
    assert (await check(JSON, {}, {})).values == {}, "what is missing fails calls, not the configuration"
    bad = {"token": "x", "port": 0, "mode": "slow", "accounts": [{"secret": 1}], "proxy": {"url": 1}}
    assert sorted(await wrong(JSON, bad)) == [
        "accounts[0].secret",
        "accounts[0].user",
        "mode",
        "port",
        "proxy.url",
        "token",
    ]


async def test_errors_do_not_repeat_values() -> None:
    for subject, values in ((PLAIN, {"password": ["hunter2"]}), (JSON, {"token": ["hunter2"]})):
        with pytest.raises(ConfigInvalid) as caught:
            await check(subject, values, {})
        assert "hunter2" not in str(caught.value.fields)
        assert "hunter2" not in caught.value.text.zh + caught.value.text.en


async def test_passwords_of_a_json_schema() -> None:
    stored = {
        "token": "abcd",
        "proxy": {"pass": "pw", "url": "u"},
        "accounts": [{"user": "a", "secret": "sa"}],
    }
    shown = mask(JSON, stored)
    assert shown == {
        "token": MASK,
        "proxy": {"pass": MASK, "url": "u"},
        "accounts": [{"user": "a", "secret": MASK}],
    }
    assert (await check(JSON, shown, stored)).values == stored


def test_where_a_pattern_would_decide_a_value_counts_as_secret() -> None:
    subject = manifest([], {"patternProperties": {"^(a+)+$": {"format": "password"}}})
    assert mask(subject, {"aaaa": "x", "n": 1}) == {"aaaa": MASK, "n": MASK}


async def test_a_pattern_without_end_stalls_nobody() -> None:
    schema = {"properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    started = time.monotonic()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    result = await json_schema.validate(schema, {"a": "a" * 60 + "!"}, timeout_s=0.5)
    ticking.cancel()
    assert [path for path, _ in result.errors] == [""]
    assert "0.5" in result.errors[0][1].zh
    assert time.monotonic() - started < 5
    assert ticks > 10


async def test_cancelling_a_check_ends_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[asyncio.subprocess.Process] = []
    real = asyncio.create_subprocess_exec

    async def remember(*given: Any, **named: Any) -> asyncio.subprocess.Process:
        made.append(await real(*given, **named))
        return made[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", remember)
    schema = {"properties": {"a": {"pattern": "^(a+)+$"}}}
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await json_schema.validate(schema, {"a": "a" * 60 + "!"})
    assert made[0].returncode is not None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": 5},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"properties": {"a": {"pattern": "("}}},
        {"$ref": "#"},
    ],
)
async def test_a_useless_schema_is_a_warning_and_fetches_nothing(schema: dict[str, Any]) -> None:
    checked = await check(manifest([], schema), {"a": "x"}, {})
    assert checked.values == {"a": "x"}
    assert any(warning.startswith("config_schema:") for warning in checked.warnings)
