"""A plugin that is uploaded as `multipart/form-data`: every field of it bounded in size."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from aiohttp import BodyPartReader, web

from service.api.body import BROKEN_BODY, UPLOAD_TIMEOUT_S, decode_json, too_large, too_slow, unreadable
from service.api.keys import BODY_LIMITS
from service.api.messages import PluginName, Request, Sha256
from service.api.problems import RequestInvalid
from service.host.installing.fetch import REQUIREMENTS_MAX_BYTES
from service.model.identity import PluginType
from service.model.text import Text

FIELDS_MAX = 16
TEXT_FIELD_MAX_BYTES = 64 * 1024
FILE_NAME_MAX_LENGTH = 255
_CHUNK_BYTES = 64 * 1024

_FLAGS = frozenset({"replace", "keep", "dry_run", "grant"})
_FLAG_VALUES = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False, "": False}


class Upload(Request, frozen=True, kw_only=True):
    """An uploaded plugin file, its requirements file where it has one, and how to install it."""

    file: bytes
    requirements: bytes | None = None
    filename: PluginName | None = None
    plugin_type: PluginType
    sha256: Sha256 | None = None
    replace: bool = False
    keep: bool = False
    dry_run: bool = False
    grant: bool = False


async def read_upload(request: web.Request) -> Upload:
    """Read an upload.

    Raises:
        RequestInvalid: it is broken, or a field is missing, unknown, given twice or wrong.
        RequestRefused: it is too large, or does not arrive in time.
    """
    limit = request.app[BODY_LIMITS].upload_bytes
    if (request.content_length or 0) > limit + FIELDS_MAX * TEXT_FIELD_MAX_BYTES:
        raise too_large(limit)
    try:
        async with asyncio.timeout(UPLOAD_TIMEOUT_S):
            fields = await _read_fields(request, limit)
    except TimeoutError:
        raise too_slow() from None
    except (*BROKEN_BODY, ValueError, AssertionError, RuntimeError) as error:
        # aiohttp's multipart reader says so of a broken boundary, header or coding.
        raise unreadable(error) from error
    if "file" not in fields:
        raise _wrong("file", "缺失", "is missing")
    try:
        return msgspec.convert(fields, Upload)
    except msgspec.ValidationError:
        # Decoding as JSON gives the error that names the field in both languages.
        shown = {**fields, "file": "", "requirements": None}
        return decode_json(msgspec.json.encode(shown), Upload)


async def _read_fields(request: web.Request, file_limit: int) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    reader = await request.multipart()
    while (part := await reader.next()) is not None:
        if not isinstance(part, BodyPartReader):
            raise RequestInvalid(
                Text(zh="multipart 不能嵌套", en="A multipart body must not hold another"), field="file"
            )
        name = part.name or ""
        if name in fields or len(fields) > FIELDS_MAX:
            raise _wrong(name[:64], "出现了多次", "is given more than once")
        if name == "requirements":
            fields[name] = await _read_part(part, REQUIREMENTS_MAX_BYTES)
        elif name == "file":
            fields["file"] = await _read_part(part, file_limit)
            fields["filename"] = _file_name(part.filename)
        elif name in Upload.__struct_fields__ and name != "filename":
            fields[name] = _value(name, await _read_part(part, TEXT_FIELD_MAX_BYTES))
        else:
            raise _wrong(name[:64], "不是已知字段", "is unknown")
    return fields


async def _read_part(part: BodyPartReader, limit: int) -> bytes:
    coding = part.headers.get("Content-Transfer-Encoding", "binary").lower()
    if coding not in ("binary", "8bit", "7bit") or "Content-Encoding" in part.headers:
        raise _wrong((part.name or "")[:64], "不能另行编码", "must not be encoded in any way")
    content = bytearray()
    while chunk := await part.read_chunk(_CHUNK_BYTES):
        content += chunk
        if len(content) > limit:
            raise too_large(limit)
    return bytes(content)


def _file_name(name: str | None) -> str | None:
    """The name that the file shall have. One with path characters is refused, not repaired."""
    if name is None or not name:
        return None
    if len(name) > FILE_NAME_MAX_LENGTH or not name.isprintable() or "/" in name or "\\" in name:
        raise _wrong(
            "file", "的文件名不能含有路径或控制字符", "has path or control characters in its file name"
        )
    return name


def _value(name: str, content: bytes) -> Any:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise _wrong(name, "不是 UTF-8 编码", "is not valid UTF-8") from None
    if name in _FLAGS:
        flag = _FLAG_VALUES.get(text.strip().lower())
        if flag is None:
            raise _wrong(name, "必须是 true 或 false", "must be true or false")
        return flag
    return text.strip() or None


def _wrong(name: str, zh: str, en: str) -> RequestInvalid:
    return RequestInvalid(Text(zh=f"字段 {name} {zh}", en=f"The field {name} {en}"), field=name)
