"""JSON-RPC 2.0 from its specification, by itself: what may be said in answer to a frame, and what may not."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

# 5.1: these are taken; -32000 to -32099 are a server's own.
PREDEFINED = {-32700, -32600, -32601, -32602, -32603}
PARSE_ERROR, INVALID_REQUEST = -32700, -32600


class Breach(AssertionError):
    """Something is not as the specification has it."""


def check_answers(frame: str, answers: Sequence[str]) -> None:
    """See that these frames, and no others, may answer a frame.

    Raises:
        Breach: they may not, and by which section.
    """
    decoded = [json.loads(answer) for answer in answers]
    try:
        value = strictly(frame)
    except (ValueError, RecursionError):
        [answer] = _exactly(1, decoded, "4.2, 5.1: what is no JSON has one error with the id null")
        _error(answer, {PARSE_ERROR})
        return
    if _is_unlucky(value) and len(decoded) == 1 and isinstance(decoded[0], dict):
        _error(decoded[0], {PARSE_ERROR})
        return
    if not isinstance(value, list):
        wanted = [value] if _wants_answer(value) else []
        _exactly(len(wanted), decoded, "4.1: a notification has no answer, a request has one")
        for request, answer in zip(wanted, decoded, strict=True):
            _answer(request, answer)
        return
    if not value or isinstance(decoded[0] if decoded else [], dict):
        [answer] = _exactly(1, decoded, "6: a batch that cannot be taken has one error")
        _error(answer, {INVALID_REQUEST, PARSE_ERROR})
        return
    wanted = [one for one in value if _wants_answer(one)]
    if not wanted:
        _exactly(0, decoded, "6: a batch of notifications has no answer, not an empty one")
        return
    [batch] = _exactly(1, decoded, "6: a batch is answered by one array")
    if not isinstance(batch, list):
        raise Breach(f"6: {batch} is no array")
    _exactly(len(wanted), batch, "6: each request of a batch has one answer, and no notification has any")
    # In any order; a request whose id is null is matched last, as an error may have that id too.
    left = list(batch)
    for request in sorted(wanted, key=lambda one: _is_request(one) and one["id"] is None):
        found = next((one for one in left if _fits(request, one)), None)
        if found is None:
            raise Breach(f"6: nothing of {left} answers {request}")
        left.remove(found)


def check_response(value: Any) -> None:
    """5: the members of a response.

    Raises:
        Breach
    """
    if not isinstance(value, dict) or value.get("jsonrpc") != "2.0" or "id" not in value:
        raise Breach(f"5: {value} has no jsonrpc or no id")
    if len(value) != 3 or ("result" in value) == ("error" in value):
        raise Breach(f"5: {value} has to have either result or error, and nothing else")
    if isinstance(value["id"], bool) or not isinstance(value["id"], str | int | float | None):
        raise Breach(f"4: {value['id']!r} can be no id")
    if "error" in value:
        error = value["error"]
        if not isinstance(error, dict) or set(error) - {"data"} != {"code", "message"}:
            raise Breach(f"5.1: {error} is no error object")
        if type(error["code"]) is not int or not isinstance(error["message"], str) or not error["message"]:
            raise Breach(f"5.1: code or message of {error}")
        if -32768 <= error["code"] <= -32000 and not (
            error["code"] in PREDEFINED or -32099 <= error["code"] <= -32000
        ):
            raise Breach(f"5.1: the code of {error} is reserved")


def strictly(text: str) -> Any:
    """The value of a text, by RFC 8259 and no more.

    Raises:
        ValueError, RecursionError
    """
    return json.loads(text, parse_constant=_refuse)


def _refuse(name: str) -> Any:
    raise ValueError(name)


def _is_request(value: Any) -> bool:
    """4: whether it is a request or a notification."""
    if (
        not isinstance(value, dict)
        or value.get("jsonrpc") != "2.0"
        or not isinstance(value.get("method"), str)
    ):
        return False
    if not isinstance(value.get("params", {}), list | dict):
        return False
    id = value.get("id")
    return not isinstance(id, bool) and isinstance(id, str | int | float | None)


def _wants_answer(value: Any) -> bool:
    return not _is_request(value) or "id" in value


def _answer(request: Any, answer: Any) -> None:
    check_response(answer)
    if not _is_request(request):
        _error(answer, {INVALID_REQUEST})
    elif not _same_id(request["id"], answer["id"]):
        raise Breach(f"5: the id of {answer} is not that of {request}")


def _fits(request: Any, answer: Any) -> bool:
    try:
        _answer(request, answer)
    except Breach:
        return False
    return True


def _same_id(asked: Any, told: Any) -> bool:
    if isinstance(asked, float) or isinstance(told, float):
        return isinstance(asked, int | float) and isinstance(told, int | float) and math.isclose(asked, told)
    return type(asked) is type(told) and bool(asked == told)


def _error(answer: Any, codes: set[int]) -> None:
    check_response(answer)
    if "error" not in answer or answer["error"]["code"] not in codes or answer["id"] is not None:
        raise Breach(f"5: {answer} has to be an error with the id null and one of the codes {codes}")


def _exactly(count: int, found: list[Any], rule: str) -> list[Any]:
    if len(found) != count:
        raise Breach(f"{rule}; there are {len(found)}: {str(found)[:500]}")
    return found


def _is_unlucky(value: Any) -> bool:
    """Whether it holds what JSON can write and not every reader can take: half a surrogate pair, 1e999."""
    text = json.dumps(value)
    return "Infinity" in text or any("\\ud800" <= part[:6] <= "\\udfff" for part in _escapes(text))


def _escapes(text: str) -> list[str]:
    return ["\\" + part for part in text.split("\\")[1:]]
