from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.live import jsonrpc
from service.live.jsonrpc import Batch, Request, RpcError
from service.model.text import Text

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)


def test_requests_and_notifications() -> None:
    request = jsonrpc.read(b'{"jsonrpc":"2.0","id":"x","method":"m","params":[1]}')
    assert request == Request("m", [1], "x")
    notification = jsonrpc.read(b'{"jsonrpc":"2.0","method":"m"}')
    assert notification == Request("m", {}, msgspec.UNSET)
    assert jsonrpc.read(b'{"jsonrpc":"2.0","id":null,"method":"m"}') == Request("m", {}, None)


def test_a_batch_keeps_what_is_wrong_in_its_place() -> None:
    batch = jsonrpc.read(b'[{"jsonrpc":"2.0","id":1,"method":"m"},5,{"jsonrpc":"2.0"}]')
    assert isinstance(batch, Batch)
    kinds = [item.code if isinstance(item, RpcError) else item.method for item in batch.items]
    assert kinds == ["m", jsonrpc.INVALID_REQUEST, jsonrpc.INVALID_REQUEST]


@given(st.binary(max_size=200))
def test_any_bytes_are_understood_or_refused(data: bytes) -> None:
    try:
        jsonrpc.read(data)
    except RpcError as error:
        assert error.code in (jsonrpc.PARSE_ERROR, jsonrpc.INVALID_REQUEST)


@given(_json)
def test_any_json_is_understood_or_refused(value: object) -> None:
    try:
        message = jsonrpc.read(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    except RpcError as error:
        assert error.code in (jsonrpc.PARSE_ERROR, jsonrpc.INVALID_REQUEST)
    else:
        assert isinstance(message, Request | Batch)


@pytest.mark.parametrize("id", [1, "x", None, 1.5])
def test_responses(id: jsonrpc.Id) -> None:
    assert json.loads(jsonrpc.result(id, {"a": 1})) == {"jsonrpc": "2.0", "id": id, "result": {"a": 1}}
    error = RpcError(-32602, Text(zh="错", en="wrong"), limit=5)
    assert json.loads(jsonrpc.failure(id, error, "zh")) == {
        "jsonrpc": "2.0",
        "id": id,
        "error": {"code": -32602, "message": "错", "data": {"limit": 5}},
    }
    assert json.loads(jsonrpc.failure(id, error, "en"))["error"]["message"] == "wrong"
