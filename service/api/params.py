"""What a request names in its path and query: the plugin, a number, a yes or no, a text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from aiohttp import web

from service.api.keys import REGISTRY
from service.api.problems import RequestInvalid
from service.errors import PluginNotFound
from service.model.identity import PluginType
from service.model.text import Text

if TYPE_CHECKING:
    from service.host.plugin import Plugin

_TYPES = {type.value: type for type in PluginType}

# A file's stem may be longer than a name, but no file name is longer than this.
_NAME_MAX_LENGTH = 255
_SHOWN_MAX_LENGTH = 64
_TEXT_MAX_LENGTH = 255
_ID_MAX_LENGTH = 64
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def plugin_in_path(request: web.Request) -> Plugin:
    """The plugin that `{type}/{name}` of the path names.

    Raises:
        RequestInvalid: there is no such type.
        PluginNotFound: there is no such plugin.
    """
    match = request.match_info
    return find_plugin(request.app, plugin_type(match["type"], "type"), match["name"])


def revision_in_path(request: web.Request) -> str:
    """The revision that the path names; whether there is one is not looked at."""
    return _name_in_path(request, "revision")


def change_in_path(request: web.Request) -> str:
    """The change that the path names; whether there is one is not looked at."""
    return _name_in_path(request, "change")


def _name_in_path(request: web.Request, name: str) -> str:
    text = request.match_info[name]
    if len(text) <= _ID_MAX_LENGTH and text.isascii() and text.isprintable():
        return text
    raise _wrong(
        name,
        f"必须是不超过 {_ID_MAX_LENGTH} 个字符的 ASCII 文本",
        f"must be ASCII text of {_ID_MAX_LENGTH} characters at most",
    )


def plugin_type(text: str, field: str) -> PluginType:
    """Read a plugin's type; `field` is what the error calls it."""
    found = _TYPES.get(text)
    if found is None:
        raise RequestInvalid(
            Text(
                zh=f"{field} 必须是 search、download 或 parser",
                en=f"{field} must be search, download or parser",
            ),
            field=field,
        )
    return found


def find_plugin(app: web.Application, type: PluginType, name: str) -> Plugin:
    """Find a plugin by its name or its file's stem. What could be no name is not even looked up."""
    if len(name) > _NAME_MAX_LENGTH or not name.isprintable():
        shown = "".join(char if char.isprintable() else "?" for char in name[:_SHOWN_MAX_LENGTH])
        raise PluginNotFound(type.value, shown)
    return app[REGISTRY].find(type, name)


def text_in_query(request: web.Request, name: str) -> str:
    """A text that must be in the query, once, and not be empty."""
    values = request.query.getall(name, [])
    if len(values) != 1 or not values[0].strip():
        raise _wrong(name, "必须给出一次且不能为空", "must be given once and not be empty")
    return _clean(request, name, values[0])


def optional_text_in_query(request: web.Request, name: str) -> str | None:
    """A text of one line that may be in the query, once; None where it is not, or is empty."""
    values = request.query.getall(name, [])
    if not values or values == [""]:
        return None
    text = _clean(request, name, values[0])
    if len(values) > 1 or len(text) > _TEXT_MAX_LENGTH or _CONTROL.search(text):
        raise _wrong(
            name,
            f"只能给出一次，不超过 {_TEXT_MAX_LENGTH} 个字符，且不含控制字符",
            f"must be given once, in {_TEXT_MAX_LENGTH} characters at most and no control characters",
        )
    return text


def flag_in_query(request: web.Request, name: str) -> bool:
    """A yes or no that must be in the query: `true` or `false`."""
    values = [value.lower() for value in request.query.getall(name, [])]
    if values == ["true"]:
        return True
    if values == ["false"]:
        return False
    raise _wrong(name, "必须是 true 或 false", "must be true or false")


def number_in_query(request: web.Request, name: str, *, default: int, low: int, high: int) -> int:
    """A whole number in the query, or the default."""
    values = request.query.getall(name, [])
    if not values:
        return default
    text = values[0]
    if len(values) == 1 and len(text) <= 9 and text.isascii() and text.isdigit() and low <= int(text) <= high:
        return int(text)
    raise _wrong(name, f"必须是 {low} 到 {high} 的整数", f"must be a whole number from {low} to {high}")


def _clean(request: web.Request, name: str, value: str) -> str:
    try:
        value.encode()
        if "%" in value or "\ufffd" in value:
            # Escapes that are no UTF-8 (a terminal that speaks GBK) are left as they are by whoever decodes them.
            unquote_to_bytes(request.rel_url.raw_query_string).decode()
    except UnicodeError:
        raise _wrong(
            name,
            "不是 UTF-8 编码，请检查终端或程序的编码",
            "is not UTF-8; check the encoding of the terminal or program",
        ) from None
    return value


def _wrong(name: str, zh: str, en: str) -> RequestInvalid:
    return RequestInvalid(Text(zh=f"参数 {name} {zh}", en=f"The parameter {name} {en}"), field=name)
