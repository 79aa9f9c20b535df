"""Reading the settings: the file, the environment, and what is wrong with either.

A setting is looked for in `PLUGBAY_SECTION__KEY` first, then in `config/service.toml`, then its default counts.
A wrong one is a `SettingsError` that names the setting, where it was set, the value and what is allowed.
"""

from __future__ import annotations

import difflib
import json
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from service.errors import PlugbayError
from service.model.identity import PluginType, is_valid_name
from service.model.text import Text
from service.settings import (
    Settings,
    allowed_for,
    is_list,
    is_optional,
    plain_type,
    sections_by_name,
    table_of,
    types_of,
)

ENVIRONMENT_PREFIX = "PLUGBAY_"
ENVIRONMENT_SEPARATOR = "__"
_SHOWN_MAX_LENGTH = 300


class SettingsError(PlugbayError):
    """A setting is wrong, so the server does not start."""

    code = "settings_invalid"


class _Setting(typing.NamedTuple):
    """One setting: its type, and the value that was given with the place that gave it."""

    section: str
    key: str
    type: Any
    value: Any
    source: str

    @property
    def name(self) -> str:
        return f"{self.section}.{self.key}"


def load_settings(home: Path, environ: Mapping[str, str]) -> Settings:
    """Reads `home/config/service.toml`, if there, and what `environ` overrides.

    Raises:
        SettingsError: the first setting that is wrong, unknown or unreadable.
    """
    path = home / "config" / "service.toml"
    given = _from_file(path) | _from_environment(environ)
    sections: dict[str, dict[str, Any]] = {}
    for setting in given.values():
        sections.setdefault(setting.section, {})[setting.key] = _checked(setting)
    settings = msgspec.convert(sections, Settings)
    limits = settings.limits
    if limits.crash_backoff_min_s > limits.crash_backoff_max_s:
        allowed = Text(
            zh=f"不大于 limits.crash_backoff_max_s（{limits.crash_backoff_max_s:g}）的秒数",
            en=f"seconds up to limits.crash_backoff_max_s ({limits.crash_backoff_max_s:g})",
        )
        source = next(given[name].source for name in _BACKOFF if name in given)
        raise _wrong("limits.crash_backoff_min_s", source, limits.crash_backoff_min_s, allowed)
    return settings


_BACKOFF = ("limits.crash_backoff_min_s", "limits.crash_backoff_max_s")


def _from_file(path: Path) -> dict[str, _Setting]:
    source = f"config/{path.name}"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except RecursionError as error:
        raise _unreadable(source, Text(zh="嵌套层数过多", en="it is nested too deeply")) from error
    except (
        OSError,
        ValueError,
    ) as error:  # no UTF-8, no TOML, or a number of more digits than Python converts
        raise _unreadable(source, Text(zh=str(error), en=str(error))) from error
    found: dict[str, _Setting] = {}
    for section, values in document.items():
        keys = types_of(_known_section(section, source))
        if not isinstance(values, dict):
            allowed = Text(zh=f"以 [{section}] 开头的一节", en=f"a section that begins with [{section}]")
            raise _wrong(section, source, values, allowed)
        for key, value in values.items():
            setting = _Setting(section, key, _known_key(section, key, keys, source), value, source)
            found[setting.name] = setting
    return found


def _unreadable(source: str, reason: Text) -> SettingsError:
    return SettingsError(
        Text(
            zh=f"无法读取 {source}：{reason.zh}。请修正该文件；删除它则使用默认设置",
            en=f"{source} cannot be read: {reason.en}. Mend it, or remove it to run with the defaults",
        )
    )


def _from_environment(environ: Mapping[str, str]) -> dict[str, _Setting]:
    found: dict[str, _Setting] = {}
    for variable, text in environ.items():
        section, separator, key = variable.removeprefix(ENVIRONMENT_PREFIX).partition(ENVIRONMENT_SEPARATOR)
        if not variable.startswith(ENVIRONMENT_PREFIX) or not separator:
            continue
        section, key = section.lower(), key.lower()
        keys = types_of(_known_section(section, variable))
        kind = _known_key(section, key, keys, variable)
        value: Any = text.strip()
        if is_list(kind):
            value = [part.strip() for part in text.split(",") if part.strip()]
        elif is_optional(kind) and not value:
            value = None
        else:
            value = _plain_value(value, kind)
        setting = _Setting(section, key, kind, value, variable)
        found[setting.name] = setting
    return found


def _plain_value(text: str, kind: Any) -> Any:
    """`text` as what `kind` is, where it can be read so; else the text, for the check to refuse."""
    plain = plain_type(kind)
    if plain is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if table_of(kind) is not None:
        try:
            return json.loads(text or "{}")
        except (ValueError, RecursionError):
            return text
    if plain in (int, float):
        try:
            return plain(text)
        except ValueError:
            return text
    return text


def _checked(setting: _Setting) -> Any:
    if (table := table_of(setting.type)) is not None:
        return _checked_tables(setting, table)
    try:
        return msgspec.convert(setting.value, setting.type)
    except (msgspec.ValidationError, ValueError, OverflowError, RecursionError) as error:
        # Besides what does not fit: bytes of a variable that are no text, and numbers beyond all bounds.
        shown = "********" if setting.key == "token" else setting.value
        raise _wrong(setting.name, setting.source, shown, allowed_for(setting.type)) from error


def _checked_tables(setting: _Setting, table: type[msgspec.Struct]) -> dict[str, dict[str, Any]]:
    """The tables of a setting that has one for each plugin."""
    if not isinstance(setting.value, dict):
        raise _wrong(setting.name, setting.source, setting.value, allowed_for(setting.type))
    keys, found = types_of(table), dict[str, dict[str, Any]]()
    for id, values in setting.value.items():
        if not _is_plugin(id):
            raise _wrong(setting.name, setting.source, id, _PLUGIN)
        name = f'{setting.name}."{id}"'
        if not isinstance(values, dict):
            raise _wrong(name, setting.source, values, allowed_for(setting.type))
        found[id] = {
            key: _checked(
                _Setting(name, key, _known_key(name, key, keys, setting.source), value, setting.source)
            )
            for key, value in values.items()
        }
    return found


_PLUGIN = Text(
    zh='插件的 类型/名称，如 "search/demo"，类型为 ' + "、".join(PluginType),
    en='TYPE/NAME of a plugin, such as "search/demo", TYPE being one of ' + ", ".join(PluginType),
)


def _is_plugin(id: str) -> bool:
    type, _, name = id.partition("/")
    return type in list(PluginType) and is_valid_name(name)


def _wrong(name: str, source: str, value: object, allowed: Text) -> SettingsError:
    name, source, shown = _shown(name), _shown(source), _shown(repr(value))
    return SettingsError(
        Text(
            zh=f"设置 {name}（来自 {source}）的值 {shown} 无效，允许：{allowed.zh}",
            en=f"Setting {name} (from {source}) is {shown}; allowed: {allowed.en}",
        ),
        setting=name,
    )


def _known_section(section: str, source: str) -> type[msgspec.Struct]:
    sections = sections_by_name()
    if section not in sections:
        raise _unknown(section, source, list(sections))
    return sections[section]


def _known_key(section: str, key: str, keys: Mapping[str, Any], source: str) -> Any:
    if key not in keys:
        raise _unknown(f"{section}.{key}", source, [f"{section}.{known}" for known in keys])
    return keys[key]


def _shown(text: str) -> str:
    """A text that can be printed anywhere: names and values may be any bytes, and of any length."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _SHOWN_MAX_LENGTH else text[:_SHOWN_MAX_LENGTH] + "…"


def _unknown(name: str, source: str, known: list[str]) -> SettingsError:
    name, source = _shown(name), _shown(source)
    near = difflib.get_close_matches(name, known, n=1)
    hint = near[0] if near else ", ".join(known)
    return SettingsError(
        Text(
            zh=f"没有名为 {name} 的设置（来自 {source}），是否想写 {hint}？",
            en=f"There is no setting {name} (from {source}); did you mean {hint}?",
        ),
        setting=name,
    )
