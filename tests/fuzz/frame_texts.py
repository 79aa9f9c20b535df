"""Frames as no client and no worker would send them: JSON-RPC, the frames of WebSockets, those of the wire."""

from __future__ import annotations

import json
from random import Random
from struct import pack
from typing import Any

from tests.fuzz.config_texts import json_value, spoilt

METHODS = (
    "subscribe",
    "unsubscribe",
    "ping",
    "rpc.discover",
    "",
    "Ping",
    "ping ",
    "\0",
    "\u202e",
    "x" * 5000,
    "例",
)
TOPICS = (
    *(
        "**",
        "plugins/**",
        "tasks/*",
        "logs/*/*",
        "*",
        "",
        "/",
        "//",
        "a//b",
        "**/**",
        "***",
        "a/**/b",
        "*a",
        "../x",
        "\0",
    ),
    *("x" * 3000, "/".join("a" * 300), "/".join(["**"] * 40), "\u202e", "例", "heartbeat", " plugins/** "),
)
IDS = (
    *(
        0,
        1,
        -1,
        1.5,
        1.0,
        -0.0,
        2**31,
        2**53,
        2**63,
        2**64,
        10**40,
        1e300,
        1e-300,
        "",
        "a",
        "\0",
        "\u202e",
        "例" * 99,
    ),
    *(None, None, True, False, [], {}, [1], "x" * 5000, "1"),
)
SEQS = (
    "0",
    "1",
    "41",
    "-1",
    "01",
    "1.0",
    " 1",
    "",
    "9" * 18,
    "9" * 19,
    "9" * 400,
    "１",
    "x",
    1,
    None,
    [],
    {},
)
RAW = (
    *(
        "",
        " ",
        "null",
        "1",
        '"x"',
        "[]",
        "{}",
        "[[]]",
        "[{}]",
        "[1,2,3]",
        "nul",
        "{",
        "[",
        '"',
        "\\",
        "NaN",
        "-",
        "1e999",
    ),
    *(
        '{"jsonrpc":"2.0"}',
        '{"jsonrpc":2.0,"method":"ping","id":1}',
        '{"jsonrpc":"1.0","method":"ping","id":1}',
    ),
    *('{"jsonrpc":"2.0","method":5,"id":1}', '{"jsonrpc":"2.0","method":"ping","params":5,"id":1}'),
    *('{"jsonrpc":"2.0","method":"ping","id":1,"id":2}', '{"jsonrpc":"2.0","method":"ping","id":"\\ud800"}'),
    *('{"jsonrpc":"2.0","id":1,"result":{}}', '{"jsonrpc":"2.0","method":"ping","id":1e999}', "\ufeff{}"),
    *(
        '{"jsonrpc":"2.0","method":"ping","id":1} x',
        '{"jsonrpc":"2.0","method":"ping","id":1,}',
        "// x",
        "'x'",
    ),
    *(
        "[" * 5000,
        '{"a":' * 5000,
        "[" * 30_000 + "]" * 30_000,
        " " * 60_000 + "1",
        "9" * 5000,
        "x" * 64 * 1024,
    ),
    *("x" * 65 * 1024, "x" * 200_000, '{"jsonrpc":"2.0","method":"ping","id":' + "9" * 5000 + "}"),
)


def request(chance: Random) -> dict[str, Any]:
    """One that is right, or nearly so."""
    found: dict[str, Any] = {"jsonrpc": "2.0", "method": chance.choices(METHODS[:3], (5, 2, 3))[0]}
    if chance.random() < 0.15:
        found["method"] = chance.choice(METHODS)
    if chance.random() < 0.85:
        found["id"] = chance.choice(IDS)
    if found["method"] != "ping" or chance.random() < 0.2:
        params: dict[str, Any] = {
            "topics": [chance.choice(TOPICS) for _ in range(chance.choice((0, 1, 1, 2, 40)))]
        }
        if chance.random() < 0.3:
            params["since"] = {
                "epoch": chance.choice(("k1", "", "x" * 100, 5, None)),
                "seq": chance.choice(SEQS),
            }
        found["params"] = params
        if chance.random() < 0.2:
            found["params"] = chance.choice(
                (list(params.values()), json_value(chance), {**params, "more": 1}, params["topics"])
            )
    if chance.random() < 0.1:
        found[chance.choice(("jsonrpc", "method", "params", "id", "other"))] = json_value(chance)
    if chance.random() < 0.05:
        del found[chance.choice(tuple(found))]
    return found


def text(chance: Random) -> str:
    """A text frame."""
    match chance.choices(("request", "batch", "raw", "spoilt"), (10, 4, 3, 3))[0]:
        case "raw":
            return chance.choice(RAW)
        case "batch":
            items = [request(chance) for _ in range(chance.choice((1, 2, 3, 50, 51)))]
            mixed = [json_value(chance) if chance.random() < 0.2 else one for one in items]
            return json.dumps(mixed, allow_nan=True)
        case "spoilt":
            return spoilt(chance, json.dumps(request(chance)), often=0.9).decode("utf-8", "replace")
        case _:
            return (
                json.dumps(request(chance), ensure_ascii=chance.random() < 0.5)
                .encode("utf-8", "replace")
                .decode()
            )


def masked(
    first: int, payload: bytes, size: int | None = None, mask: bytes = b"\1\2\3\4", masks: int = 0x80
) -> bytes:
    """One WebSocket frame of a client.

    Args:
        first: its first byte: whether it is the last, reserved bits, and its kind.
        payload: what is in it.
        size: the size that it tells, where that is another.
        mask: four bytes.
        masks: the bit that says that it is masked; 0 breaks the protocol.
    """
    told = len(payload) if size is None else size
    if told < 126:
        head = pack("!BB", first, masks | told)
    elif told < 65536:
        head = pack("!BBH", first, masks | 126, told)
    else:
        head = pack("!BBQ", first, masks | 127, told)
    if not masks:
        return head + payload
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def frames(chance: Random) -> bytes:
    """What a client writes to a WebSocket: frames in order, some of which no client may send."""
    parts: list[bytes] = []
    for _ in range(chance.choice((1, 1, 2, 4, 10))):
        payload = text(chance).encode("utf-8", "replace")[: chance.choice((0, 10, 125, 126, 70_000, 300_000))]
        first = chance.choice(
            (0x81, 0x81, 0x81, 0x82, 0x01, 0x00, 0x80, 0x89, 0x8A, 0x88, 0x09, 0xC1, 0xA1, 0x83, 0x8B, 0xFF)
        )
        match chance.randrange(12):
            case 0:
                parts += fragments(chance, payload)
            case 1:
                parts.append(masked(0x88, pack("!H", chance.choice(CLOSE_CODES)) + payload[:60]))
            case 2:
                parts.append(
                    masked(0x88, chance.choice((b"", b"\3", b"\3\xe8\xff\xfe", b"\3\xe8" + b"x" * 200)))
                )
            case 3:
                parts.append(
                    masked(
                        0x81,
                        chance.choice((b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"x\xf0\x9f", b"\xef\xbf\xbe")),
                    )
                )
            case 4:
                parts.append(masked(first, payload[:200], masks=0))
            case 5:
                parts.append(
                    masked(first, payload[:200], size=chance.choice((0, 1, 127, 65_535, 2**31, 2**62, 2**63)))
                )
            case 6:
                parts.append(chance.randbytes(chance.choice((1, 2, 14, 200))))
            case 7 | 8:
                parts.append(masked(chance.choice((0x89, 0x8A)), payload[: chance.choice((0, 1, 125, 126))]))
            case _:
                parts.append(
                    masked(first, payload, mask=chance.choice((b"\0\0\0\0", b"\xff" * 4, b"\1\2\3\4")))
                )
    return b"".join(parts)


CLOSE_CODES = (
    0,
    999,
    1000,
    1001,
    1002,
    1004,
    1005,
    1006,
    1007,
    1011,
    1015,
    1016,
    2999,
    3000,
    4000,
    4999,
    5000,
    65_535,
)


def fragments(chance: Random, payload: bytes) -> list[bytes]:
    """A message in pieces, pings in between; at times a piece is missing or of the wrong kind."""
    count = chance.choice((2, 3, 20))
    size = max(1, -(-len(payload) // count))
    pieces = [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]
    found: list[bytes] = []
    for index, piece in enumerate(pieces):
        last = index == len(pieces) - 1 and chance.random() < 0.9
        kind = 0 if index else 1
        if chance.random() < 0.05:
            kind = chance.choice((0, 1, 2))
        found.append(masked((0x80 if last else 0) | kind, piece))
        if chance.random() < 0.2:
            found.append(masked(0x89, b"between"))
    return found


HEADERS = (
    *(
        '{"t":"stage","stage":"start"}',
        '{"t":"stage","stage":5}',
        '{"t":"stage"}',
        '{"t":"nothing"}',
        "{}",
        "[]",
        "",
        "x",
    ),
    *(
        '{"t":"hello","protocol":1,"load_ms":1,"modules":[]}',
        '{"t":"hello","protocol":99,"load_ms":1,"modules":[]}',
    ),
    *(
        '{"t":"hello","protocol":1,"load_ms":1e999,"modules":[]}',
        '{"t":"hello","protocol":1,"load_ms":1,"modules":[5]}',
    ),
    *(
        '{"t":"failed","imports":[]}',
        '{"t":"failed","imports":["x"]}',
        '{"t":"failed"}',
        '{"t":"imports","modules":["a"]}',
    ),
    *('{"t":"result","id":1}', '{"t":"result","id":2}', '{"t":"result","id":-1}', '{"t":"result","id":"1"}'),
    *(
        '{"t":"result","id":99999999999999999999999999}',
        '{"t":"result","id":1.5}',
        '{"t":"result","id":null}',
    ),
    *(
        '{"t":"error","id":1}',
        '{"t":"error","id":3}',
        '{"t":"item","id":1}',
        '{"t":"item","id":2}',
        '{"t":"item","id":9}',
    ),
    *(
        '{"t":"note","id":3,"kind":"report"}',
        '{"t":"note","id":3,"kind":"checkpoint","n":1}',
        '{"t":"note","id":3,"kind":"x"}',
    ),
    *(
        '{"t":"note","id":3,"kind":"report","n":-1}',
        '{"t":"stopped"}',
        '{"t":"stopped","x":1}',
        '{"t":["hello"]}',
        '{"t":1}',
    ),
    *(
        '{"t":"result","id":1,"id":2}',
        '{"t":"result","id":1}x',
        '{"t":"\\ud800"}',
        "[" * 5000,
        '{"a":' * 5000,
        "null",
        "\0",
    ),
)
BODIES = (
    *(
        b"",
        b"null",
        b"{}",
        b"[]",
        b"5",
        b'"x"',
        b"[1,",
        b"\xff",
        b"NaN",
        b"[" * 5000,
        b'"\xed\xa0\x80"',
        b'{"a":1e999}',
        b"\0",
    ),
    *(
        b'{"type":"X","message":"m","traceback":null,"file":null,"line":1}',
        b'{"type":5,"message":[]}',
        b'"\\ud800"',
        b"[{}]",
    ),
    *(
        b'{"message":"' + b"x" * 200_000 + b'"}',
        b"x" * 1_100_000,
        b'{"progress":"x"}',
        b'{"progress":1e308,"speed":-1}',
    ),
)


def wire_stream(chance: Random) -> bytes:
    """What a worker writes to the server, in frames or not."""
    parts: list[bytes] = []
    for _ in range(chance.choice((1, 2, 3, 8, 40))):
        header = chance.choice(HEADERS).encode("utf-8", "replace")
        body = chance.choice(BODIES)
        if chance.random() < 0.1:
            header = spoilt(chance, header.decode(), often=1)
        if chance.random() < 0.05:
            parts.append(
                chance.choice(
                    (chance.randbytes(chance.choice((1, 8, 50))), b"\xff" * 8, bytes(8), bytes(800))
                )
            )
        else:
            parts.append(pack("!II", len(header), len(body)) + header + body)
    return b"".join(parts)
