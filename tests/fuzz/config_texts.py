"""Settings and stored configuration as nobody would write them: TOML, JSON and environments, right, odd and broken."""

from __future__ import annotations

import json
import typing
from random import Random
from typing import Any

from service.settings import Settings

HOSTILE = (
    *(
        "",
        " ",
        "\0",
        "\u202e",
        "\ud800",
        "x" * 5000,
        "../..",
        "<img src=x onerror=alert(1)>",
        "%s%n",
        "${HOME}",
        "例",
    ),
    *(
        "true",
        "false",
        "null",
        "0",
        "-1",
        "1e999",
        "nan",
        "inf",
        "０",
        "1_000",
        "0x10",
        "[]",
        "{}",
        '"',
        "'",
        ",",
        ",,",
    ),
    *(
        "127.0.0.1",
        "::",
        "[::1]",
        "localhost:99999",
        "a b",
        "*.example.org",
        "http://x",
        "https://a@b",
        "http://[",
        "*",
    ),
)
NUMBERS = (0, 1, -1, 2**31, 2**63, 2**64, 10**30, 0.1, -0.0, 1e308, 5e-324, 65535, 65536, 86400, 86401)
SECTIONS = tuple(typing.get_type_hints(Settings))
KEYS = tuple(
    (name, key) for name, one in typing.get_type_hints(Settings).items() for key in one.__struct_fields__
)
IDS = (
    *(
        "search:fuzz",
        "search:first",
        "search:absent",
        "download:x",
        "parser:x",
        "search:",
        ":x",
        ":",
        "",
        "x",
        "a:b:c",
    ),
    *(
        "search/fuzz",
        "Search:fuzz",
        "search:../x",
        "search:\0",
        "search:\u202e",
        "search:" + "x" * 300,
        "__proto__",
    ),
)
MEMBERS = (
    "_enabled",
    "_granted",
    "_other",
    "host",
    "secret",
    "on",
    "mode",
    "sites",
    "",
    "\0",
    "__proto__",
    "x" * 200,
)
# Where a member has a type of its own, what fits it and what nearly does.
FITTING = {
    "_enabled": (True, False, None, 0, "false"),
    "_granted": (
        {},
        {"network": True},
        {"network": [80]},
        {"read": ["/"]},
        {"write": ["/etc"], "network": "x"},
        [],
        1,
    ),
    "on": (True, "true", 1),
    "mode": ("a", "b", "c", ["a"]),
    "sites": ([], [{"port": 1}], [{"port": "x"}], [5], {"port": 1}),
}
TOML_VALUES = (
    *(
        "true",
        "false",
        "[]",
        "{}",
        "nan",
        "-inf",
        "1979-05-27",
        "07:32:00",
        "'x'",
        '"""x"""',
        "0o17",
        "1e3",
        "9" * 5000,
    ),
    *(
        '"info"',
        '"json"',
        "[" * 600,
        '{"search/x" = {call_s = 5}}',
        '{"search/x" = {call_s = "x"}}',
        '{"x" = {}}',
    ),
)
ENCODINGS = ("utf-8", "utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1", "gbk")


def json_value(chance: Random, depth: int = 0) -> Any:
    """Any value that JSON has, and some that it has not quite."""
    kind = chance.randrange(8 if depth < 4 else 5)
    match kind:
        case 0:
            return chance.choice((None, True, False))
        case 1:
            return chance.choice(NUMBERS)
        case 2:
            return chance.choice((float("nan"), float("inf"), 1e16))
        case 3 | 4:
            return chance.choice(HOSTILE)
        case 5:
            return [json_value(chance, depth + 1) for _ in range(chance.randrange(4))]
        case _:
            return {chance.choice(HOSTILE): json_value(chance, depth + 1) for _ in range(chance.randrange(4))}


def plugins_json(chance: Random) -> bytes:
    """The content of `config/plugins.json`."""
    entries: dict[str, Any] = {}
    for _ in range(chance.choice((0, 1, 1, 2, 4, 12))):
        entry = {}
        for _ in range(chance.randrange(5)):
            member = chance.choice(MEMBERS)
            fitting = FITTING.get(member)
            entry[member] = (
                chance.choice(fitting) if fitting and chance.random() < 0.8 else json_value(chance)
            )
        entries[chance.choice(IDS)] = entry if chance.random() < 0.9 else json_value(chance)
    value = entries if chance.random() < 0.95 else json_value(chance)
    text = json.dumps(value, ensure_ascii=chance.random() < 0.5, indent=chance.choice((None, 2)))
    return spoilt(chance, text)


def service_toml(chance: Random) -> bytes:
    """The content of `config/service.toml`."""
    lines: list[str] = []
    for _ in range(chance.choice((0, 1, 1, 1, 2, 5))):
        section, key = chance.choice(KEYS)
        if chance.random() < 0.1:
            section = chance.choice(
                (*SECTIONS, "Server", "limits.plugins", 'limits.plugins."search/x"', "x", "", "a.b")
            )
        if chance.random() < 0.1:
            key = chance.choice((key.upper(), key + "s", key.replace("_", "-"), f'"{key}"', "x", "", "a.b"))
        lines += [f"[{section}]", f"{key} = {toml_value(chance)}"]
    return spoilt(chance, "\n".join([*lines, ""]), often=0.15)


def toml_value(chance: Random) -> str:
    """A value as TOML writes it, or nearly so."""
    text = json.dumps(chance.choice(HOSTILE))
    number = repr(chance.choice(NUMBERS))
    return chance.choice(
        (text, number, number, f"[{text}]", f"[{text}, {number}]", f"{{a = {number}}}", *TOML_VALUES)
    )


def environment(chance: Random) -> dict[str, str]:
    """Variables, most of which are settings."""
    found: dict[str, str] = {}
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        section, key = chance.choice(KEYS)
        name = f"PLUGBAY_{section.upper()}__{key.upper()}"
        if chance.random() < 0.15:
            odd = (
                "PLUGBAY_",
                "PLUGBAY___",
                "PLUGBAY_X__Y",
                f"{name}__X",
                f"{name}_",
                name.lower(),
                "PLUGBAY_URL",
            )
            name = chance.choice(odd)
        value = chance.choice(HOSTILE) if chance.random() < 0.6 else repr(chance.choice(NUMBERS))
        if chance.random() < 0.1:
            value = json.dumps(json_value(chance))
        # The kernel gives no NUL in a variable.
        found[name] = value.replace("\0", "")
    return found


def spoilt(chance: Random, text: str, often: float = 0.3) -> bytes:
    """A text as bytes; at times cut, with some changed, in another encoding, nested or repeated without end."""
    content = text.encode(chance.choice(ENCODINGS) if chance.random() < often else "utf-8", "replace")
    if chance.random() >= often:
        return content
    at = chance.randrange(len(content) + 1)
    match chance.randrange(8):
        case 0:
            return content[:at]
        case 1:
            return content[:at] + chance.randbytes(chance.choice((1, 2, 8))) + content[at:]
        case 2:
            return content[:at] + content[at + chance.choice((1, 2, 9)) :]
        case 3:
            return chance.randbytes(chance.choice((0, 1, 100)))
        case 4:
            return b"[" * 100_000 + content
        case 5:
            return b'{"a":' * 5000 + b"1" + b"}" * 5000
        case 6:
            return content + chance.choice((b"\0", b"\n\n", b" ", b"x", content, b"\xff", b"// x", b"# x"))
        case _:
            return (
                content[:at]
                + chance.choice((b"1" * 5000, b"\\ud800", b"\\u0000", b",,", b"1e999", b"NaN"))
                + content[at:]
            )
