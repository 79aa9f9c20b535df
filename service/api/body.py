"""Request bodies: bounded in size, time and depth, decoded into structs; what is wrong is named by its field."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar
from urllib.parse import parse_qs

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from service.api.keys import BODY_LIMITS
from service.api.messages import FORMATS
from service.api.problems import RequestInvalid
from service.errors import RequestRefused
from service.model.misfit import fault_of, misfit_of
from service.model.text import Text

T = TypeVar("T")

BODY_TIMEOUT_S = 30.0
UPLOAD_TIMEOUT_S = 120.0

# What aiohttp raises where the transfer or content coding of a body is broken.
BROKEN_BODY = (HttpProcessingError, web.RequestPayloadError)

# Deeper than any real configuration, far from the interpreter's recursion limit.
MAX_DEPTH = 32
_FORM_FIELDS_MAX = 8

# `text/plain` is what a browser's fetch() sends with a string, `octet-stream` what some clients say for "no type".
_JSON_TYPES = frozenset({"application/json", "text/json", "text/plain", "application/octet-stream"})

_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


class BodyLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How large a body may be, in bytes."""

    json_bytes: int
    upload_bytes: int


async def read_json(request: web.Request, type: type[T]) -> T:
    """Read the body as JSON of the given type.

    Raises:
        RequestInvalid: it is no JSON, or does not fit; `field` names the member.
        RequestRefused: it is too large (`too_large`), or of another media type, or too slow.
    """
    body = await read_body(request)
    if not body:
        raise RequestInvalid(Text(zh="缺少请求内容，应为 JSON", en="The body is missing; it must be JSON"))
    return decode_json(body, type)


async def read_optional_json(request: web.Request, type: type[T]) -> T | None:
    """The same for a route whose body may be left out: None where it is empty."""
    body = await read_body(request)
    return decode_json(body, type) if body.strip() else None


async def read_body(request: web.Request) -> bytes:
    """Read a JSON body's bytes, at most as many as the limit allows."""
    if not request.body_exists:
        return b""
    if "Content-Type" in request.headers:
        media_type = request.content_type
        if media_type not in _JSON_TYPES and not media_type.endswith("+json"):
            raise unsupported_media_type("application/json")
    return await _read(request, request.app[BODY_LIMITS].json_bytes, BODY_TIMEOUT_S)


async def read_text(request: web.Request) -> bytes:
    """Read a body that is text, as it is; what kind of text is the handler's to say.

    Raises:
        RequestInvalid: it is broken.
        RequestRefused: it is larger than an upload may be, or JSON or a form of parts, or too slow.
    """
    if not request.body_exists:
        return b""
    # What curl calls a body whose type it was not told is let through, too.
    if request.content_type == "application/json" or request.content_type.startswith("multipart/"):
        raise unsupported_media_type("text/plain")
    return await _read(request, request.app[BODY_LIMITS].upload_bytes, UPLOAD_TIMEOUT_S)


async def read_form(request: web.Request, max_bytes: int) -> dict[str, list[str]]:
    """Read the fields of an urlencoded form.

    Raises:
        RequestInvalid: it is broken.
        RequestRefused: it is too large, or too slow.
    """
    body = await _read(request, max_bytes, BODY_TIMEOUT_S)
    try:
        return parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=_FORM_FIELDS_MAX)
    except ValueError as error:
        raise unreadable(error) from error


async def _read(request: web.Request, limit: int, timeout_s: float) -> bytes:
    if (request.content_length or 0) > limit:
        raise too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            while chunk := await request.content.readany():
                body += chunk
                if len(body) > limit:
                    raise too_large(limit)
    except TimeoutError:
        raise too_slow() from None
    except BROKEN_BODY as error:
        raise unreadable(error) from error
    return bytes(body)


def decode_json(body: bytes, type: type[T]) -> T:
    """Decode JSON into a type, saying in both languages what does not fit.

    Raises:
        RequestInvalid: as for `read_json`.
    """
    try:
        value: T = _decoder(type).decode(body)
    except msgspec.ValidationError as error:
        raise _misfit(str(error), type) from None
    except UnicodeDecodeError:
        raise RequestInvalid(Text(zh="请求内容不是 UTF-8 编码", en="The body is not valid UTF-8")) from None
    except RecursionError:
        raise _too_deep() from None
    except (msgspec.DecodeError, ValueError) as error:
        fault = fault_of(str(error), body)
        raise RequestInvalid(
            Text(zh=f"请求内容不是有效的 JSON：{fault.zh}", en=f"The body is not valid JSON: {fault.en}")
        ) from None
    return value


def check_depth(value: Any) -> None:
    """Refuse free-form JSON that is nested deeper than anything that has to handle it later could bear."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for item in level for child in _children(item)]
        if not level:
            return
    raise _too_deep()


def too_large(limit: int) -> RequestRefused:
    """The error for a body above its limit, in bytes."""
    return RequestRefused(
        Text(
            zh=f"请求内容超过 {limit / 1024:g} KiB 的上限",
            en=f"The body is larger than the {limit / 1024:g} KiB that are allowed",
        ),
        code="too_large",
        limit=limit,
    )


def too_slow() -> RequestRefused:
    """The error for a body that does not arrive."""
    return RequestRefused(
        Text(zh="请求内容没有按时到达", en="The body did not arrive in time"), code="request_timeout"
    )


def unreadable(error: Exception) -> RequestInvalid:
    """The error for a body whose transfer or content coding is broken."""
    return RequestInvalid(
        Text(
            zh="请求内容无法读取：传输编码、压缩或 multipart 分段有误",
            en=f"The body cannot be read, its coding, compression or multipart form is broken: {error}",
        )
    )


def unsupported_media_type(expected: str) -> RequestRefused:
    """The error for a body of a media type that the route does not take."""
    return RequestRefused(
        Text(zh=f"Content-Type 应为 {expected}", en=f"Content-Type must be {expected}"),
        code="media_type_unsupported",
    )


def _decoder(type: Any) -> msgspec.json.Decoder[Any]:
    decoder = _decoders.get(type)
    if decoder is None:
        decoder = _decoders[type] = msgspec.json.Decoder(type)
    return decoder


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _too_deep() -> RequestInvalid:
    return RequestInvalid(Text(zh="JSON 嵌套过深", en="The JSON is nested too deeply"))


def _misfit(message: str, type: Any) -> RequestInvalid:
    misfit = misfit_of(message, type, FORMATS)
    path, must = misfit.path, misfit.must
    if not path:
        return RequestInvalid(Text(zh=f"请求内容{must.zh}", en=f"The body {must.en}"))
    return RequestInvalid(Text(zh=f"字段 {path} {must.zh}", en=f"The field {path} {must.en}"), field=path)
