"""Plugin files as nobody would write them, each made from a seed and a number: hostile ones, and real ones spoilt."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.fuzz.hostile_classes import CLASSES, MEMBERS
from tests.fuzz.hostile_code import HANGING, HARMLESS, KILLING, PLACES
from tests.fuzz.requirement_texts import requirement_lines, script_block

ROOT = Path(__file__).parents[2]
REAL = ("plugins", "tests/original_plugins", "service/scaffolds", "benchmarks/peers")
PAGES = ("docs/recipes.md", "docs/plugin-guide.md", "docs/quick-start.md", "docs/bundled-plugins.md")
TYPES = {"SearchPlugin": "search", "DownloadPlugin": "download", "ParserPlugin": "parser"}

# Tokens that are no neighbours of anything.
ODD = (
    "\u200b \ufeff \u202e \u2028 \x85 \x0c \x0b \x00 \x1a \t \r ﬁ ｅ １ ٣ 𝕏 é \U0010ffff ( ) [ ] { } ( ( ( "
    ": ; , . .. ... = := == -> * ** @ \\ ' \" ''' \"\"\" # lambda async await yield return import from "
    "class def del global nonlocal match case type if else for while with try except finally raise None "
    "True 0x 0b 1_ 1e 08 1j 0xfffffffffffffffffffff f' rb' u' b'\\xff' '\\ud800' '\\N{x}' __debug__ "
    "__class__ _plugin self"
).split(" ")
ENCODINGS = (
    *(
        "utf-8-sig utf-16 utf-16-le utf-32 utf-7 latin-1 gbk gb18030 big5 shift_jis euc-kr hz cp1252 cp037 koi8-r"
    ).split(),
    *("iso2022_jp mac_roman").split(),
)
COOKIES = (
    *ENCODINGS,
    *("rot13 hex zlib base64 bz2 uu unicode_escape raw_unicode_escape undefined mbcs oem utf8mb4 x").split(),
    *("utf-8\0 ../x utf_8 UTF-8 none charmap palmos iso-8859-1-unix latin-1-mac " + "a" * 300).split(" "),
)


class PluginText(NamedTuple):
    """A plugin file to be.

    Attributes:
        type: the folder that it goes to.
        content: its bytes.
        requirements: those of its requirements file; None where it has none.
        how: what was done to it, for whoever reads a failure.
        may_end: whether its process may end without a word.
    """

    type: str
    content: bytes
    requirements: bytes | None
    how: str
    may_end: bool


def plugin_text(seed: int, number: int, *, may_hang: bool = True) -> PluginText:
    """The text with that number; the same for the same seed.

    Args:
        seed: of the run.
        number: of the text.
        may_hang: whether it may be one that does not end by itself.
    """
    chance = Random(f"{seed} {number}")
    name = f"fuzz{number}"
    make = chance.choices((_with_pieces, _with_member, _of_class, _spoilt, _odd_bytes), (40, 20, 5, 25, 10))[
        0
    ]
    if make is _with_pieces:
        type_, text, how, may_end = _with_pieces(chance, name, may_hang)
    else:
        type_, text, how, may_end = make(chance, name)
    if chance.random() < 0.15:
        block = script_block(chance)
        text = block.encode("utf-8", "surrogatepass") + text
        how += f"; with the block {block[:300]!r}"
    requirements = None
    if chance.random() < 0.05:
        requirements = requirement_lines(chance)
        how += f"; with the requirements {requirements[:300]!r}"
    return PluginText(type_, text, requirements, f"text {number} of seed {seed}: {how}", may_end)


def sound_plugin(name: str, type_: str = "search", says: str = "fine") -> str:
    """A plugin with nothing wrong, of any type."""
    cls, method = {
        "search": (
            "SearchPlugin",
            'async def search(self, keyword, **kwargs): return [{"title": self.version}]',
        ),
        "download": ("DownloadPlugin", "async def download(self, task): return True"),
        "parser": ("ParserPlugin", 'def parse_url(self, url): return [{"name": self.version, "url": url}]'),
    }[type_]
    return (
        f"from service.sdk import {cls}\n\n\nclass Sound({cls}):\n    name = {name!r}\n    version = {says!r}\n"
        f'    description = "sound"\n    supported_protocols = ["fuzz"]\n\n    {method}\n'
    )


_Made = tuple[str, bytes, str, bool]


def _with_pieces(chance: Random, name: str, may_hang: bool = True) -> _Made:
    """A sound plugin with hostile statements where they can stand."""
    parts: dict[str, list[str]] = {place: [] for place in PLACES}
    told, may_end = [], False
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        lists = (HARMLESS, KILLING, HANGING) if may_hang else (HARMLESS, KILLING)
        pieces = chance.choices(lists, (80, 17, 3)[: len(lists)])[0]
        piece, place = chance.choice(pieces), chance.choice(PLACES)
        parts[place].append(piece)
        told.append(f"{place}: {piece}")
        may_end |= pieces is KILLING
    return "search", _assembled(name, parts).encode("utf-8", "surrogatepass"), "; ".join(told), may_end


def _with_member(chance: Random, name: str) -> _Made:
    """A sound plugin of which one or two members are odd."""
    members = chance.sample(MEMBERS, chance.choice((1, 1, 2)))
    parts: dict[str, list[str]] = {place: [] for place in PLACES}
    parts["class"] = members
    type_ = chance.choices(("search", "download", "parser"), (8, 1, 1))[0]
    text = sound_plugin(name, type_) + "".join(_indented(member, 4) for member in members)
    return type_, text.encode("utf-8", "surrogatepass"), "; ".join(members), False


def _of_class(chance: Random, name: str) -> _Made:
    """A sound plugin whose class has odd bases, or is made in an odd way."""
    before, _, bases = chance.choice(CLASSES).rpartition("|")
    text = sound_plugin(name).replace("class Sound(SearchPlugin)", f"{before}\nclass Sound({bases})")
    return "search", text.encode(), f"{before} | {bases}", False


def _spoilt(chance: Random, name: str) -> _Made:
    """A real plugin with a few tokens or lines changed."""
    type_, text = chance.choice(real_plugins())
    text = re.sub(r"""^(\s+name\s*=\s*)["'][^"']*["']""", rf'\1"{name}"', text, count=1, flags=re.MULTILINE)
    steps = chance.choices(
        (_other_token, _other_line, _other_indent, _grown), (6, 4, 2, 1), k=chance.randint(1, 5)
    )
    for step in steps:
        text = step(chance, text)
    told = f"a {type_} plugin with {', '.join(step.__name__[1:] for step in steps)}"
    return type_, text.encode("utf-8", "surrogatepass"), told, False


def _odd_bytes(chance: Random, name: str) -> _Made:
    """A plugin in another encoding, cut, or with bytes changed."""
    text = sound_plugin(name).replace('"sound"', '"声音 é"')
    match chance.randrange(6):
        case 0:
            encoding, cookie = chance.choice(ENCODINGS), chance.choice(COOKIES)
            head = chance.choice(("", "\n", "#!x\n", "\f", "\n\n", "'''", "\ufeff"))
            text = f"{head}# -*- coding: {cookie} -*-\n{text}"
            content, how = text.encode(encoding, "replace"), f"in {encoding}, said to be {cookie}"
        case 1:
            end = chance.choice(
                ("\r", "\r\n", "\n\r", "\x0b", "\x0c", "\u2028", "\x85", "\x1c", "\0", "\\\n")
            )
            content, how = text.replace("\n", end).encode(), f"lines end in {end!r}"
        case 2:
            content = text.encode()[: chance.randrange(len(text))]
            how = f"cut after {len(content)} bytes"
        case 3:
            spoilt = bytearray(text.encode())
            for _ in range(chance.choice((1, 2, 8, 64))):
                spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
            content, how = bytes(spoilt), "with bytes changed"
        case 4:
            content, how = chance.randbytes(chance.choice((0, 1, 3, 100, 5000))), "random bytes"
        case _:
            content, how = _large(chance, name)
    return "search", content, how, False


def _large(chance: Random, name: str) -> tuple[bytes, str]:
    """Deep, long or heavy text: what a parser takes its time or its stack for."""
    depth = chance.choice((80, 150, 1000, 20_000))
    how, text = chance.choice(
        (
            ("brackets", "x = " + "(" * depth + ")" * depth),
            ("lists", "x = " + "[" * depth + "]" * depth),
            ("signs", "x = " + "-" * depth + "1"),
            ("attributes", "x = a" + ".a" * depth),
            ("calls", "x = f" + "()" * depth),
            ("sums", "x = 1" + " + 1" * depth),
            ("blocks", "".join(" " * n + "if 1:\n" for n in range(min(depth, 300))) + " " * 300 + "pass"),
            ("strings", f"x = {'x' * depth * 50!r}"),
            ("digits", f"x = {'9' * depth}"),
            ("numbers", f"x = [{'1, ' * depth * 4}]"),
            ("lines", "x = 1\n" * depth * 4),
            ("names", "".join(f"n{n} = {n}\n" for n in range(depth))),
            ("lambdas", "x = " + "lambda: " * depth + "1"),
            ("f-strings", "x = f'" + "{1}" * depth + "'"),
            ("comments", "# plugins.search.x from . import y\n" * depth),
            ("imports", "from " + "." * depth + "a import b"),
            ("decorators", "@f\n" * depth + "def g(): pass"),
            ("elifs", "if 0: pass\n" + "elif 0: pass\n" * depth),
            ("parameters", f"def f({', '.join(f'a{n}' for n in range(depth))}): pass"),
            ("backslashes", "x = \\\n" * depth + "1"),
            ("joined", "x = " + "'a' " * depth),
            ("blocks of metadata", "# /// x\n# a = 1\n# ///\n" * depth),
            ("names of plugins", "x = 'plugins" + ".search" * depth + "'"),
        )
    )
    return f"{text}\n{sound_plugin(name)}".encode(), f"{depth} {how}"


def _assembled(name: str, parts: dict[str, list[str]]) -> str:
    """A plugin with these statements at these places."""
    methods = {
        "__init__": ("def __init__(self):", ""),
        "set_config": ("def set_config(self, config):", ""),
        "start": ("async def start(self):", ""),
        "self_check": ("async def self_check(self):", ""),
        "stop": ("async def stop(self):", ""),
        "search": ("async def search(self, keyword, **kwargs):", 'return [{"title": "odd"}]'),
    }
    text = "".join(_indented(piece, 0) for piece in parts["top"])
    text += f"from service.sdk import SearchPlugin\n\n\nclass Odd(SearchPlugin):\n    name = {name!r}\n"
    text += '    version = "1"\n    description = "odd"\n'
    text += "".join(_indented(piece, 4) for piece in parts["class"])
    for method, (head, last) in methods.items():
        if parts[method] or last:
            body = "".join(_indented(piece, 8) for piece in parts[method])
            text += f"\n    {head}\n{body}{_indented(last or 'pass', 8)}"
    return text + "\n\n" + "".join(_indented(piece, 0) for piece in parts["end"])


def _indented(piece: str, spaces: int) -> str:
    return "".join(f"{' ' * spaces}{line}\n" for line in piece.split("\n"))


def _other_token(chance: Random, text: str) -> str:
    tokens = re.findall(r"\w+|\s+|[^\w\s]", text)
    if not tokens:
        return text
    at = chance.randrange(len(tokens))
    match chance.randrange(4):
        case 0:
            del tokens[at]
        case 1:
            tokens.insert(at, chance.choice(ODD))
        case 2:
            tokens[at] = chance.choice(_vocabulary())
        case _:
            other = chance.randrange(len(tokens))
            tokens[at], tokens[other] = tokens[other], tokens[at]
    return "".join(tokens)


def _other_line(chance: Random, text: str) -> str:
    lines = text.split("\n")
    at = chance.randrange(len(lines))
    match chance.randrange(3):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, chance.choice(lines))
        case _:
            _, other = chance.choice(real_plugins())
            lines.insert(at, chance.choice(other.split("\n")))
    return "\n".join(lines)


def _other_indent(chance: Random, text: str) -> str:
    lines = text.split("\n")
    at = chance.randrange(len(lines))
    lines[at] = chance.choice((lines[at].lstrip(), " " + lines[at], "\t" + lines[at], "\u3000" + lines[at]))
    return "\n".join(lines)


def _grown(chance: Random, text: str) -> str:
    at, end = sorted(chance.choices(range(len(text) + 1), k=2))
    return text[:at] + text[at:end][:2000] * chance.choice((2, 3, 20)) + text[end:]


@functools.cache
def real_plugins() -> tuple[tuple[str, str], ...]:
    """The type and the text of every plugin that the project has: bundled, original, scaffolds, and of its pages."""
    texts = [path.read_text("utf-8") for folder in REAL for path in sorted((ROOT / folder).rglob("*.py"))]
    for page in PAGES:
        texts += re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text("utf-8"), re.M | re.S)
    found = []
    for text in texts:
        base = re.search(r"^class \w+\((?:\w+\.)?(SearchPlugin|DownloadPlugin|ParserPlugin)\b", text, re.M)
        if base is not None:
            found.append((TYPES[base[1]], text))
    return tuple(found)


@functools.cache
def _vocabulary() -> tuple[str, ...]:
    words = {word for _, text in real_plugins() for word in re.findall(r"\w+|[^\w\s]", text)}
    return tuple(sorted(words))
