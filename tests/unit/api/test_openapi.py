from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from service import __version__
from service.api.openapi import build_openapi
from service.api.problems import KINDS
from service.api.routes import ROUTES
from tests.unit.api.fakes import Api


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return build_openapi(ROUTES, version=__version__)


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        found = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return found.union(*(references(item) for item in value.values()), set())
    if isinstance(value, list):
        return set().union(*(references(item) for item in value), set())
    return set()


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in references(document):
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_every_schema_is_one(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_operation_is_named_once_and_described(document: dict[str, Any]) -> None:
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names)) == len(ROUTES)
    for operation in operations:
        assert operation["summary"]
        assert operation["summary"].isascii()
        assert any(status.startswith(("1", "2")) for status in operation["responses"])
        assert {"401", "403", "421", "500"} <= set(operation["responses"])


def test_every_parameter_of_a_path_is_described(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        wanted = {part[1:-1] for part in path.split("/") if part.startswith("{")}
        for operation in operations.values():
            given = {one["name"] for one in operation["parameters"] if one.get("in") == "path"}
            assert given == wanted


def test_every_code_of_the_table_is_known() -> None:
    for route in ROUTES:
        assert set(route.errors) <= set(KINDS)


async def test_every_route_of_the_router_is_in_the_document(api: Api, document: dict[str, Any]) -> None:
    served = {
        (route.method.lower(), route.resource.canonical)
        for route in api.app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    described = {(method, path) for path, operations in document["paths"].items() for method in operations}
    assert described <= served
    assert {path for _, path in served - described} == {"/{path}"}, "only the dashboard is not described"


async def test_it_is_served(api: Api, document: dict[str, Any]) -> None:
    response = await api.client.get("/api/openapi.json")
    assert json.loads(await response.text()) == document


async def test_answers_are_as_described(api: Api, document: dict[str, Any]) -> None:
    api.caller.answers["plain", "parse_url"] = b'[{"name":"n","url":"u"}]'
    api.caller.answers["page", "can_parse"] = b"false"
    asked: list[tuple[str, str, str, Any]] = [
        ("get", "/api/plugins", "/api/plugins", None),
        ("get", "/api/plugins/{type}/{name}", "/api/plugins/search/broken", None),
        ("get", "/api/plugins/{type}/{name}", "/api/plugins/search/none", None),
        ("get", "/api/plugins/{type}/{name}/logs", "/api/plugins/search/demo/logs", None),
        ("put", "/api/plugins/{type}/{name}/config", "/api/plugins/search/demo/config", {}),
        (
            "post",
            "/api/plugins/install",
            "/api/plugins/install",
            {"url": "http://x/y", "plugin_type": "search"},
        ),
        ("post", "/api/plugins/reload", "/api/plugins/reload", {}),
        ("get", "/api/plugins/template", "/api/plugins/template?plugin_type=search&name=new", None),
        (
            "post",
            "/api/plugins/delete",
            "/api/plugins/delete",
            {"plugin_type": "search", "plugin_name": "demo"},
        ),
        ("post", "/api/config/import", "/api/config/import", {"config": {}}),
        ("post", "/api/config/import", "/api/config/import", {"config": {}, "dry_run": True}),
        ("get", "/api/plugins/{type}/{name}/files", "/api/plugins/search/demo/files", None),
        ("get", "/api/plugins/{type}/{name}/revisions", "/api/plugins/search/demo/revisions", None),
        ("get", "/api/plugins/{type}/{name}/diff", "/api/plugins/search/demo/diff?from=aaaaaa", None),
        (
            "post",
            "/api/plugins/{type}/{name}/rollback",
            "/api/plugins/search/demo/rollback",
            {"revision": "aaaaaa"},
        ),
        ("post", "/api/plugins/{type}/{name}/update", "/api/plugins/search/demo/update", {}),
        ("post", "/api/plugins/check", "/api/plugins/check", {"url": "http://x/y", "plugin_type": "search"}),
        ("get", "/api/plugins/outdated", "/api/plugins/outdated", None),
        ("get", "/api/changes", "/api/changes", None),
        ("post", "/api/changes/{change}/undo", "/api/changes/c2/undo", None),
        ("get", "/api/environments", "/api/environments", None),
        ("post", "/api/environments/prune", "/api/environments/prune", None),
        ("post", "/api/parse", "/api/parse", {"url": "http://x"}),
        ("get", "/api/config/export", "/api/config/export", None),
        ("get", "/livez", "/livez", None),
        ("get", "/readyz", "/readyz", None),
    ]
    for method, path, target, body in asked:
        response = await api.client.request(method, target, json=body)
        described = document["paths"][path][method]["responses"][str(response.status)]
        schema = described["content"][response.content_type]["schema"]
        Draft202012Validator(schema | {"components": document["components"]}).validate(
            json.loads(await response.text())
        )
