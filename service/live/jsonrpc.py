"""JSON-RPC 2.0, as the WebSocket's control frames speak it: reading requests, writing responses. No I/O."""

from __future__ import annotations

from typing import Any

import msgspec

from service.model.misfit import fault_of
from service.model.text import Language, Text

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603

BATCH_MAX_LENGTH = 50

_TOO_DEEP = Text(zh="嵌套过深", en="it is nested too deeply")
_NOT_UTF8 = Text(zh="不是 UTF-8 编码", en="it is not UTF-8")

Id = str | int | float | None


class RpcError(Exception):
    """A request that cannot be carried out.

    Args:
        code: one of JSON-RPC's own.
        text: what is wrong and what would be right.
        data: further members for the client, JSON-encodable.
    """

    def __init__(self, code: int, text: Text, **data: Any) -> None:
        super().__init__(text.en)
        self.code = code
        self.text = text
        self.data = data


class Request(msgspec.Struct, frozen=True):
    """One call. `id` is UNSET for a notification, which is never answered."""

    method: str
    params: Any
    id: Id | msgspec.UnsetType


class Batch(msgspec.Struct, frozen=True):
    """Several calls in one frame; what is no call stands in its place as the error that answers it."""

    items: list[Request | RpcError]


def read(frame: bytes) -> Request | Batch:
    """Understand a frame.

    Raises:
        RpcError: it is no JSON, or no request, or a batch that is empty or too long. Its answer has the id null.
    """
    try:
        value = msgspec.json.decode(frame)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        if isinstance(error, UnicodeDecodeError):
            fault = _NOT_UTF8
        else:
            fault = _TOO_DEEP if isinstance(error, RecursionError) else fault_of(str(error), frame)
        raise RpcError(
            PARSE_ERROR,
            Text(zh=f"该帧不是有效的 JSON：{fault.zh}", en=f"The frame is not valid JSON: {fault.en}"),
        ) from None
    if not isinstance(value, list):
        return _request(value)
    if not 0 < len(value) <= BATCH_MAX_LENGTH:
        raise RpcError(
            INVALID_REQUEST,
            Text(
                zh=f"批量请求须含 1 到 {BATCH_MAX_LENGTH} 个请求",
                en=f"A batch has 1 to {BATCH_MAX_LENGTH} requests",
            ),
            limit=BATCH_MAX_LENGTH,
        )
    items: list[Request | RpcError] = []
    for item in value:
        try:
            items.append(_request(item))
        except RpcError as error:
            items.append(error)
    return Batch(items)


def result(id: Id, value: Any) -> bytes:
    """The response to a request that was carried out."""
    return msgspec.json.encode({"jsonrpc": "2.0", "id": id, "result": value})


def failure(id: Id, error: RpcError, language: Language) -> bytes:
    """The response to a request that was not."""
    body: dict[str, Any] = {"code": error.code, "message": error.text.in_language(language)}
    if error.data:
        body["data"] = error.data
    return msgspec.json.encode({"jsonrpc": "2.0", "id": id, "error": body})


def _request(value: Any) -> Request:
    if not isinstance(value, dict) or value.get("jsonrpc") != "2.0":
        raise _invalid_request()
    method, id = value.get("method"), value.get("id", msgspec.UNSET)
    if not isinstance(method, str) or isinstance(id, bool):
        raise _invalid_request()
    if not (id is None or id is msgspec.UNSET or isinstance(id, str | int | float)):
        raise _invalid_request()
    params = value.get("params", {})
    if not isinstance(params, dict | list):
        raise _invalid_request()
    return Request(method, params, id)


def _invalid_request() -> RpcError:
    return RpcError(
        INVALID_REQUEST,
        Text(
            zh='该帧不是 JSON-RPC 2.0 请求，应为 {"jsonrpc":"2.0","id":1,"method":"subscribe","params":{…}}',
            en='This is no JSON-RPC 2.0 request; send {"jsonrpc":"2.0","id":1,"method":"subscribe","params":{…}}',
        ),
    )
