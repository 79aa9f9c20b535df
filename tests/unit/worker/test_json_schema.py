"""What is a JSON Schema and what is none, and where it is not."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from service.worker import contract
from service.worker.faults import ContractBroken
from service.worker.json_schema import Breach, require_schema


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "objekt"}, "type"),
        ({"type": []}, "type"),
        ({"properties": {"x": 3}}, "properties/x"),
        ({"properties": ["x"]}, "properties"),
        ({"properties": {"x": {"type": "strng"}}}, "properties/x/type"),
        ({"properties": {"x": {"pattern": "("}}}, "properties/x/pattern"),
        ({"patternProperties": {"(": {}}}, "patternProperties/("),
        ({"required": "x"}, "required"),
        ({"properties": {"x": {"required": True}}}, "properties/x/required"),
        ({"properties": {"x": {"enum": "ab"}}}, "properties/x/enum"),
        ({"properties": {"x": {"minimum": "1"}}}, "properties/x/minimum"),
        ({"properties": {"x": {"minLength": -1}}}, "properties/x/minLength"),
        ({"properties": {"x": {"items": "text"}}}, "properties/x/items"),
        ({"anyOf": [{}, 3]}, "anyOf/1"),
        ({"allOf": []}, "allOf"),
        ({"$defs": {"x": {"not": {"type": 5}}}}, "$defs/x/not/type"),
    ],
)
def test_what_is_none(schema: dict[str, Any], path: str) -> None:
    with pytest.raises(Breach) as caught:
        require_schema(schema)
    assert "/".join(caught.value.path) == path
    if "(" not in path and "(" not in str(schema):  # the library leaves patterns alone
        with pytest.raises(jsonschema.SchemaError):
            jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    "reference",
    ["#/$defs/nix", "#nix", "https://example.org/schema", "#/$defs/list/x", "other.json#/$defs/y"],
)
def test_a_reference_that_leads_to_nothing(reference: str) -> None:
    with pytest.raises(Breach, match="leads to nothing") as caught:
        require_schema({"$defs": {"list": {"enum": [1]}}, "properties": {"x": {"$ref": reference}}})
    assert caught.value.path == ("properties", "x", "$ref")


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"$ref": "#"},
        {"$defs": {"a/b c": {"type": "string"}}, "properties": {"x": {"$ref": "#/$defs/a~1b%20c"}}},
        {"$defs": {"y": {"$anchor": "y"}}, "properties": {"x": {"$ref": "#y"}}},
        {
            "$id": "https://example.org/s",
            "properties": {"x": {"$ref": "https://example.org/s#/properties/y"}, "y": {}},
        },
        {
            "type": ["object", "null"],
            "additionalProperties": False,
            "required": ["x"],
            "properties": {"x": True},
        },
        {
            "properties": {
                "x": {"type": "array", "items": {"type": "integer", "minimum": 0.5, "multipleOf": 0.1}}
            }
        },
        {"properties": {"x": {"default": {"type": 5}, "enum": [{"type": 5}], "const": {"type": 5}}}},
        {"properties": {"type": {"type": "string"}, "pattern": {"type": "string"}}},
    ],
)
def test_what_is_one(schema: dict[str, Any]) -> None:
    require_schema(schema)
    jsonschema.Draft202012Validator.check_schema(schema)


def test_one_that_holds_itself_comes_to_an_end() -> None:
    schema: dict[str, Any] = {"type": "object"}
    schema["properties"] = {"x": schema}
    require_schema(schema)


def test_a_plugin_with_such_a_schema_is_refused() -> None:
    class Given:
        def __init__(self, schema: Any) -> None:
            self.config_schema = schema

        def get_config_schema(self) -> None: ...

    with pytest.raises(ContractBroken) as caught:
        contract.schema_of(Given({"properties": {"x": 3}}))
    assert caught.value.code == "schema_invalid"
    assert "properties/x: 3 where a schema belongs" in caught.value.en
    assert contract.schema_of(Given({"properties": {"x": {}}})) == ([], {"properties": {"x": {}}})
