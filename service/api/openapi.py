"""The API document: OpenAPI 3.1, made from the route table, the handlers' docstrings and the message structs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec

from service.api.door import TOKEN_FREE_PATHS
from service.api.messages import Problem
from service.api.problems import KINDS, PROBLEM_TYPE
from service.api.route import Query, Route

_REF = "#/components/schemas/{name}"
_PATH_PARAMETER = re.compile(r"{(\w+)}")
_PATH_PARAMETERS: dict[str, tuple[dict[str, Any], str]] = {
    "type": ({"type": "string", "enum": ["search", "download", "parser"]}, "The plugin's type."),
    "name": (
        {"type": "string", "minLength": 1, "maxLength": 255},
        "The plugin's name, or the stem of its file.",
    ),
    "plugin": (
        {"type": "string", "minLength": 1, "maxLength": 255},
        "The search plugin's name, or the stem of its file.",
    ),
    "id": ({"type": "string", "minLength": 1, "maxLength": 64}, "The task's id."),
    "revision": (
        {"type": "string", "minLength": 6, "maxLength": 64},
        "The revision, or as much of its beginning as no other of the plugin has.",
    ),
    "change": (
        {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[ -~]+$"},
        "The change's id.",
    ),
}

# What every route may answer, and what every route with a body or parameters may.
_EVERYWHERE = (
    "token_required",
    "token_wrong",
    "origin_refused",
    "plugin_refused",
    "uri_too_long",
    "host_refused",
    "headers_too_large",
    "internal",
)
_WITH_INPUT = ("request_invalid",)
_WITH_BODY = ("request_timeout", "too_large", "media_type_unsupported")

_DESCRIPTION = """\
Plugbay hosts search, download and parser plugins and changes them while it runs.

Errors are problems (RFC 9457); their `code` never changes. Texts are Chinese, or English where `Accept-Language`
prefers it. No token is needed where everything about a connection is loopback.
"""


def build_openapi(routes: Iterable[Route], *, version: str) -> dict[str, Any]:
    """Make the document.

    Args:
        routes: the route table.
        version: the server's version.
    """
    routes = list(routes)
    types: list[Any] = [Problem]
    for route in routes:
        types += [type for type in (route.body, route.upload, *route.response) if type is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    schema_of = {_key(type): schema for type, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schema_of)
    _mend_upload(components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Plugbay", "version": version, "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [{}, {"bearer": []}, {"cookie": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "The server's token."},
                "cookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "plugbay_session",
                    "description": "Set by `GET /?token=`; its name ends with a part that each server chooses.",
                },
            },
            "parameters": {
                "AcceptLanguage": {
                    "name": "Accept-Language",
                    "in": "header",
                    "description": "The language of messages: Chinese, or English where it is preferred.",
                    "schema": {"type": "string", "default": "zh"},
                }
            },
        },
    }


def _operation(route: Route, schema_of: dict[Any, Any]) -> dict[str, Any]:
    summary, _, description = (inspect.getdoc(route.handler) or "").partition("\n")
    operation: dict[str, Any] = {"operationId": route.operation, "tags": [route.tag], "summary": summary}
    if description.strip():
        operation["description"] = description.strip()
    if route.path in TOKEN_FREE_PATHS:
        operation["security"] = []
    operation["parameters"] = [
        *(_path_parameter(name) for name in _PATH_PARAMETER.findall(route.path)),
        *(_parameter(query, "query") for query in route.query),
        *(_parameter(header, "header") for header in route.headers),
        {"$ref": "#/components/parameters/AcceptLanguage"},
    ]
    if route.body is not None:
        content = {route.body_media_type: {"schema": schema_of[_key(route.body)]}}
        if route.upload is not None:
            content["multipart/form-data"] = {"schema": schema_of[_key(route.upload)]}
        operation["requestBody"] = {"required": route.body_required, "content": content}
    operation["responses"] = {str(route.status): _success(route, schema_of)} | _errors(route, schema_of)
    return operation


def _path_parameter(name: str) -> dict[str, Any]:
    schema, description = _PATH_PARAMETERS[name]
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def _parameter(parameter: Query, place: str) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": place,
        "required": parameter.required,
        "description": parameter.description,
        "schema": parameter.schema,
    }


def _success(route: Route, schema_of: dict[Any, Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": HTTPStatus(route.status).phrase}
    if route.response:
        answers = [schema_of[_key(type)] for type in route.response]
        schema = answers[0] if len(answers) == 1 else {"oneOf": answers}
        success["content"] = {route.media_type: {"schema": schema}}
    elif route.media_type:
        success["content"] = {route.media_type: {"schema": {"type": "string"}}}
    return success


def _errors(route: Route, schema_of: dict[Any, Any]) -> dict[str, Any]:
    codes = [*route.errors, *_EVERYWHERE]
    if route.body is not None or route.query or "{type}" in route.path:
        codes += _WITH_INPUT
    if route.body is not None:
        codes += _WITH_BODY
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(KINDS[code].status, []).append(code)
    return {
        str(status): {
            "description": "; ".join(f"`{code}`: {KINDS[code].title.en}" for code in by_status[status]),
            "content": {PROBLEM_TYPE: {"schema": schema_of[_key(Problem)]}},
        }
        for status in sorted(by_status)
    }


def _mend_upload(components: dict[str, Any]) -> None:
    """A file in a form is raw bytes with a name of its own, not base64 beside a name."""
    upload = components.get("Upload")
    if upload is not None:
        for name in ("file", "requirements"):
            upload["properties"][name] = {"type": "string", "format": "binary"}
        upload["properties"].pop("filename", None)
        # A form has no null: what is not given is left out.
        for name, schema in upload["properties"].items():
            kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
            if len(kinds) == 1:
                upload["properties"][name] = kinds[0]


def _key(type: Any) -> str:
    """Types such as `dict[str, Any]` are not the same object each time they are written."""
    return f"{getattr(type, '__module__', '')}.{type!r}"
