"""Whether a module holds one plugin that keeps the interface, and what that plugin says of itself."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from service.sdk import ConfigField, DownloadPlugin, ParserPlugin, Plugin, SearchPlugin
from service.worker import json_schema
from service.worker.compat import bases as originals
from service.worker.faults import ContractBroken

BASES: dict[str, type[Plugin]] = {
    "search": SearchPlugin,
    "download": DownloadPlugin,
    "parser": ParserPlugin,
}

# What each type must have and what it may have: the method and the names its call passes.
REQUIRED: dict[str, dict[str, int]] = {
    "search": {"search": 1},
    "download": {"download": 1},
    "parser": {"parse_url": 1},
}
_OPTIONAL: dict[str, dict[str, int]] = {
    "search": {"get_video_info": 1},
    "download": {
        "get_progress": 1,
        "cancel": 1,
        "pause": 1,
        "resume": 1,
        "discard": 1,
        "get_downloads": 0,
        "get_web_ui_url": 0,
    },
    "parser": {"can_parse": 1},
}
_LIFECYCLE = {"get_config_schema": 0, "set_config": 1, "start": 0, "stop": 0, "self_check": 0}
# How many arguments each method is called with, by type.
ARITIES = {kind: {**REQUIRED[kind], **_OPTIONAL[kind], **_LIFECYCLE} for kind in REQUIRED}
INTERFACE_METHODS = {kind: list(ARITIES[kind]) for kind in REQUIRED}
FIELD_TYPES = ("text", "password", "number", "boolean", "select", "list")


def find_class(module: ModuleType, plugin_type: str) -> type[Plugin]:
    """The one class of that type that the module itself defines.

    Raises:
        ContractBroken: there is none, or more than one.
    """
    base = BASES[plugin_type]
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, base)
        and value is not base
        and (value.__module__ == module.__name__ or value.__module__.startswith(module.__name__ + "."))
    ]
    found = list(dict.fromkeys(found))
    # A base that another candidate derives from is a step on the way, if it lacks what a plugin must have.
    candidates = [one for one in found if not _is_abstract_step(one, found, plugin_type)]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        names = ", ".join(f"{one.__name__} ({_line_of(one) or '?'})" for one in candidates)
        raise ContractBroken(
            "several_plugin_classes",
            f"文件中有多个 {base.__name__} 的子类：{names}，请只保留一个",
            f"The file defines several classes derived from {base.__name__}: {names}; keep one",
            _line_of(candidates[1]),
        )
    others = [
        name
        for name, other in BASES.items()
        if name != plugin_type
        and any(
            isinstance(value, type)
            and issubclass(value, other)
            and value is not other
            and value.__module__ == module.__name__
            for value in vars(module).values()
        )
    ]
    hint_zh = f"；它是 {others[0]} 插件，请移到 plugins/{others[0]}/" if others else ""
    hint_en = f"; it holds a {others[0]} plugin, which belongs in plugins/{others[0]}/" if others else ""
    if origin := _namesake(module, base):
        hint_zh = f"；它的 {base.__name__} 来自 {origin}，不是本程序的；删除那个文件，或改从 service.sdk 导入"
        hint_en = (
            f"; its {base.__name__} is another one, of {origin}: remove that file, or import service.sdk's"
        )
    raise ContractBroken(
        "no_plugin_class",
        f"文件中没有从 {base.__name__} 派生的类{hint_zh or '，请定义一个'}",
        f"The file defines no class derived from {base.__name__}{hint_en or '; define one'}",
        1,
    )


def _namesake(module: ModuleType, base: type) -> str | None:
    """Where a class of the module got a base from that is only called like ours, as from a copy of the original's."""
    return next(
        (
            other.__module__
            for value in vars(module).values()
            if isinstance(value, type) and value.__module__ == module.__name__
            for other in value.__mro__[1:]
            if other.__name__ == base.__name__ and other.__module__ != module.__name__
        ),
        None,
    )


def _is_abstract_step(one: type, found: list[type], plugin_type: str) -> bool:
    derived = any(other is not one and issubclass(other, one) for other in found)
    return derived and (
        inspect.isabstract(one) or not all(hasattr(one, name) for name in REQUIRED[plugin_type])
    )


def _line_of(value: Any) -> int | None:
    try:
        return inspect.getsourcelines(value)[1] or None
    except (OSError, TypeError, IndexError, SyntaxError):
        return None


def check_methods(cls: type[Plugin], plugin_type: str) -> list[str]:
    """The methods of the interface that the class has of its own, each checked to take what its call passes.

    Raises:
        ContractBroken: one is missing, is not callable or has a signature that the call does not fit.
    """
    base = BASES[plugin_type]
    for name in REQUIRED[plugin_type]:
        if getattr(cls, name, None) is None:
            raise ContractBroken(
                "method_missing",
                f"类 {cls.__name__} 缺少方法 {name}",
                f"Class {cls.__name__} lacks the method {name}",
                _line_of(cls),
            )
    if missing := originals.abstract_names(cls):
        names = ", ".join(missing)
        raise ContractBroken(
            "method_missing",
            f"类 {cls.__name__} 没有实现抽象方法：{names}",
            f"Class {cls.__name__} does not implement {names}",
            _line_of(cls),
        )
    present: list[str] = []
    for name, arity in ARITIES[plugin_type].items():
        method = getattr(cls, name, None)
        if method is None:
            continue
        if method is not getattr(base, name, None):
            try:
                _check_signature(cls, name, method, arity)
            except ContractBroken:
                if name in originals.NEWER_METHODS and originals.is_original(cls):
                    continue  # it means something else by that name
                raise
            present.append(name)
    return present


def _check_signature(cls: type, name: str, method: Any, arity: int) -> None:
    line = getattr(getattr(inspect.unwrap(method), "__code__", None), "co_firstlineno", None)
    if not callable(method):
        raise ContractBroken(
            "wrong_signature",
            f"{cls.__name__}.{name} 必须是方法",
            f"{cls.__name__}.{name} must be a method",
            line or _line_of(cls),
        )
    static = inspect.getattr_static(cls, name)
    bound = 0 if isinstance(static, staticmethod | classmethod) else 1
    try:
        signature = inspect.signature(method)
    except (ValueError, TypeError):
        return
    try:
        signature.bind(*([None] * (arity + bound)))
    except TypeError as error:
        wanted = ", ".join(["self", *(["…"] * arity)])
        raise ContractBroken(
            "wrong_signature",
            f"{cls.__name__}.{name}{signature} 的参数不符合接口 {name}({wanted})：{error}",
            f"{cls.__name__}.{name}{signature} does not take what it is called with, {name}({wanted}): {error}",
            line,
        ) from None


def describe(plugin: Any, plugin_type: str, methods: list[str]) -> dict[str, Any]:
    """The manifest of an instance, without its configuration.

    Raises:
        ContractBroken: the name is missing or is none.
    """
    cls = type(plugin)
    name = getattr(plugin, "name", None)
    if not isinstance(name, str) or not name:
        raise ContractBroken(
            "name_missing",
            f"类 {cls.__name__} 需要属性 name（字符串）",
            f"Class {cls.__name__} needs an attribute `name`, a string",
            _line_of(cls),
        )
    if not is_valid_name(name):
        raise ContractBroken(
            "name_invalid",
            f"名称 {name!r} 不可用：1 到 64 个字母、数字、_ 或 -",
            f"The name {name!r} cannot be used: 1 to 64 letters, digits, `_` or `-`",
            _line_of(cls),
        )
    manifest: dict[str, Any] = {
        "type": plugin_type,
        "name": name,
        "version": _text(getattr(plugin, "version", "")),
        "description": _text(getattr(plugin, "description", "")),
        "exclusive": bool(getattr(plugin, "exclusive", False)),
        "resumable": bool(getattr(plugin, "resumable", False)),
        "methods": methods,
    }
    if plugin_type == "download":
        manifest["supported_protocols"] = _protocols(cls, getattr(plugin, "supported_protocols", None))
    return manifest


def is_valid_name(name: str) -> bool:
    """The rule of names; `service.model.identity` has the same for the server."""
    import unicodedata

    return 0 < len(name) <= 64 and all(c in "_-" or unicodedata.category(c)[0] in "LNM" for c in name)


def _protocols(cls: type, value: Any) -> list[str]:
    if isinstance(value, str) or not isinstance(value, list | tuple | set | frozenset):
        raise ContractBroken(
            "protocols_missing",
            f"类 {cls.__name__} 需要 supported_protocols，例如 ['http', 'https']",
            f"Class {cls.__name__} needs supported_protocols, such as ['http', 'https']",
            _line_of(cls),
        )
    return [str(item) for item in value]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def schema_of(plugin: Any) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """The plugin's configuration fields, and its JSON Schema where it gives one instead.

    Raises:
        ContractBroken: neither is what the interface asks for.
    """
    given = plugin.get_config_schema()
    line = line_of_schema(plugin)
    if isinstance(given, Mapping):
        return [], _json_schema(plugin, given, line)
    if given is None or (isinstance(given, list | tuple) and not given):
        own = getattr(plugin, "config_schema", None)
        if isinstance(own, Mapping):
            return [], _json_schema(plugin, own, None)
        given = own if isinstance(own, list | tuple) else []
    if not isinstance(given, list | tuple):
        raise ContractBroken(
            "schema_invalid",
            "get_config_schema 应返回 ConfigField 列表",
            "get_config_schema must return a list of ConfigField",
            line,
        )
    return [_field(item, line) for item in given], None


def line_of_schema(plugin: Any) -> int | None:
    """Where the method stands that gives a plugin's schema, if it has one."""
    line = getattr(getattr(type(plugin).get_config_schema, "__code__", None), "co_firstlineno", None)
    return line if type(line) is int else None


def _json_schema(plugin: Any, schema: Mapping[str, Any], line: int | None) -> dict[str, Any]:
    if not originals.is_original(type(plugin)):  # nobody read theirs
        try:
            json_schema.require_schema(schema)
        except json_schema.Breach as breach:
            path = "/".join(breach.path)
            raise ContractBroken(
                "schema_invalid",
                f"config_schema 不是 JSON Schema：{path}：{breach.zh}",
                f"config_schema is no JSON Schema: {path}: {breach.en}",
                line,
            ) from None
    return dict(schema)


def _field(item: Any, line: int | None) -> dict[str, Any]:
    dumped = item.model_dump() if isinstance(item, ConfigField) or hasattr(item, "model_dump") else item
    if not isinstance(dumped, Mapping) or not isinstance(dumped.get("name"), str) or not dumped["name"]:
        raise ContractBroken(
            "schema_invalid",
            f"配置项 {item!r} 不是带 name 的 ConfigField",
            f"The configuration field {item!r} is no ConfigField with a name",
            line,
        )
    kind = dumped.get("type") or "text"
    if kind not in FIELD_TYPES:
        known = ", ".join(FIELD_TYPES)
        raise ContractBroken(
            "schema_invalid",
            f"配置项 {dumped['name']} 的类型 {kind!r} 不可用，可选：{known}",
            f"Configuration field {dumped['name']} has type {kind!r}; choose one of {known}",
            line,
        )
    nested = dumped.get("fields")
    return {
        "name": dumped["name"],
        "label": _text(dumped.get("label")) or dumped["name"],
        "type": kind,
        "default": dumped.get("default"),
        "required": bool(dumped.get("required", False)),
        "options": list(dumped["options"]) if isinstance(dumped.get("options"), list | tuple) else None,
        "description": _text(dumped.get("description")),
        "fields": [_field(one, line) for one in nested] if nested else None,
    }


def effective_config(
    fields: list[dict[str, Any]], json_schema: Mapping[str, Any] | None, stored: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The stored values over the defaults, and the required names that have no value. An empty string is not set."""
    if json_schema is None:
        defaults = {one["name"]: one["default"] for one in fields if one["default"] is not None}
        required = [one["name"] for one in fields if one["required"]]
    else:
        properties = json_schema.get("properties")
        properties = properties if isinstance(properties, Mapping) else {}
        defaults = {
            name: one["default"]
            for name, one in properties.items()
            if isinstance(one, Mapping) and "default" in one
        }
        wanted = json_schema.get("required")
        required = [str(name) for name in wanted] if isinstance(wanted, list | tuple) else []
    config = {**defaults, **_set_values(fields, stored)}
    return config, [name for name in required if config.get(name) in ("", None)]


def _set_values(fields: list[dict[str, Any]], stored: Mapping[str, Any]) -> dict[str, Any]:
    """What is set, in the entries of lists over their own defaults."""
    inner = {one["name"]: one["fields"] for one in fields if one["fields"]}
    config: dict[str, Any] = {}
    for name, value in stored.items():
        if value in ("", None):
            continue
        if isinstance(value, list) and (nested := inner.get(name)):
            defaults = {one["name"]: one["default"] for one in nested if one["default"] is not None}
            value = [
                {**defaults, **_set_values(nested, one)} if isinstance(one, Mapping) else one for one in value
            ]
        config[name] = value
    return config
