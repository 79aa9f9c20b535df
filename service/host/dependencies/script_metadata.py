"""The PEP 723 block of a plugin, found by one pass over its bytes.

The specification's regular expression backtracks, and the bytes are a stranger's; this scanner takes time in
proportion to their number, and touches nothing but the block.
"""

from __future__ import annotations

import difflib
import itertools
import re
import tomllib
from dataclasses import dataclass
from typing import Any

from service.host.installing.text_check import source_encoding
from service.model.text import Text

MAX_BLOCK_BYTES = 64 * 1024
MAX_BLOCKS = 1000
_PIECE_BYTES = 64 * 1024

# The fixed text comes first and its place is checked afterwards, because `re` finds a fixed text fast.
_START = re.compile(
    rb"# /// (?:(?<=[\r\n]# /// )|(?<=\A# /// )|(?<=\A\xef\xbb\xbf# /// ))([a-zA-Z0-9-]+)(?:\r\n|\r|\n)"
)
# The end of a line that is followed by one that is no comment of a block, which is `#` alone or with a space after it.
_LAST_OF_RUN = re.compile(rb"(?:\n|\r(?!\n))(?!#(?:[ \r\n]|\Z))")
_END = re.compile(rb"(?:\A|(?<=[\r\n]))# ///(?=[\r\n]|\Z)")
# A line that may have been meant to begin the block; what stands between its marks is short.
_MEANT = re.compile(rb"(?m)^(#[ \t]{0,4}/{2,4}[ \t]{0,4}([A-Za-z]{4,9})[ \t]{0,4})\r?$")
_START_LINE = b"# /// script"
_WORD = "script"
_NEAR = 0.7
_LINE_BREAK = re.compile(rb"\r\n|\r|\n")
_TOML_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)")


class BadBlock(ValueError):
    """The block cannot be understood. `line` counts from 1 in the plugin's file."""

    code = "metadata_invalid"

    def __init__(self, text: Text, line: int) -> None:
        super().__init__(text.en)
        self.text = text
        self.line = line


@dataclass(frozen=True, slots=True)
class Block:
    """What the `script` block says, and where it begins."""

    data: dict[str, Any]
    line: int
    lines: tuple[str, ...]

    def line_of(self, text: str) -> int:
        """The line of the file on which `text` stands, the block's first where it is not found as it is."""
        for offset, line in enumerate(self.lines):
            if text in line:
                return self.line + 1 + offset
        return self.line


@dataclass(frozen=True, slots=True)
class Scan:
    """The block of a file, if any, and what PEP 723 says to ignore.

    Attributes:
        block: the block.
        unclosed_line: that of a block that is never closed.
        misspelt_line: where there is no block, that of a line that is nearly one that begins a block.
    """

    block: Block | None
    unclosed_line: int | None = None
    misspelt_line: int | None = None


def scan(source: bytes) -> Scan:
    """Find and parse the `script` block.

    Raises:
        BadBlock: it is not TOML, there are two, or it is larger than 64 KiB.
    """
    found: tuple[int, bytes] | None = None
    unclosed: int | None = None
    position = 0
    run = range(0)
    for _ in range(MAX_BLOCKS):
        start = _START.search(source, position)
        if start is None:
            break
        # A run of comments can have many blocks in it; where it ends is looked for once.
        run_end = run.stop if start.end() < run.stop else _end_of_run(source, start.end())
        run = range(start.end(), run_end)
        end = _last_end(source, run)
        is_script = start[1] == b"script"
        # Without an end in this run, no later start in it can have one either.
        position = run.stop if end is None else end.end()
        if not is_script:
            continue
        line = _line_number(source, start.start())
        if end is None:
            unclosed = unclosed or line
            continue
        if found is not None:
            raise BadBlock(
                Text(
                    zh=f"第 {line} 行又有一个 # /// script 块，第一个在第 {found[0]} 行；请只保留一个",
                    en=f"line {line} begins a second # /// script block, the first is on line {found[0]}; "
                    "keep one of them",
                ),
                line,
            )
        if end.start() - start.start() > MAX_BLOCK_BYTES:
            limit = MAX_BLOCK_BYTES // 1024
            raise BadBlock(
                Text(
                    zh=f"第 {line} 行的 # /// script 块超过 {limit} KiB；请缩短它",
                    en=f"the # /// script block on line {line} is larger than {limit} KiB; make it shorter",
                ),
                line,
            )
        found = line, source[start.end() : end.start()]
    else:
        raise BadBlock(
            Text(
                zh=f"有超过 {MAX_BLOCKS} 个 # /// 块；请删减",
                en=f"it has more than {MAX_BLOCKS} # /// blocks; remove some",
            ),
            1,
        )
    if found is None:
        return Scan(None, unclosed, _misspelt_line(source) if unclosed is None else None)
    line, content = found
    texts = tuple(_decoded(source, part)[2:] for part in _LINE_BREAK.split(content)[:-1])
    return Scan(Block(_parsed(texts, line), line, texts), unclosed)


def _misspelt_line(source: bytes) -> int | None:
    for meant in itertools.islice(_MEANT.finditer(source), MAX_BLOCKS):
        word = meant[2].decode("ascii").lower()
        if meant[1] != _START_LINE and difflib.SequenceMatcher(None, word, _WORD).ratio() >= _NEAR:
            return _line_number(source, meant.start())
    return None


def _end_of_run(source: bytes, start: int) -> int:
    """Where the comment lines end that begin at `start`; in pieces, as no other thread runs during one search."""
    for piece in range(start - 1, len(source), _PIECE_BYTES):
        # What tells of the last line takes three bytes behind its end.
        last = _LAST_OF_RUN.search(source, piece, min(piece + _PIECE_BYTES + 3, len(source)))
        if last is not None and last.end() <= piece + _PIECE_BYTES:
            return last.end()
    return len(source)


def _last_end(source: bytes, run: range) -> re.Match[bytes] | None:
    """The last line `# ///` in a run of comment lines; the first where the run is far too long for a block."""
    if len(run) > 2 * MAX_BLOCK_BYTES:
        return _END.search(source, run.start, run.stop)
    last = None
    for last in _END.finditer(source, run.start, run.stop):  # noqa: B007  # only the last one counts
        pass
    return last


def _line_number(source: bytes, position: int) -> int:
    before = source[:position]
    return before.count(b"\n") + before.count(b"\r") - before.count(b"\r\n") + 1


def _decoded(source: bytes, line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        pass
    return line.decode(source_encoding(source) or "utf-8", "replace")


def _parsed(lines: tuple[str, ...], start: int) -> dict[str, Any]:
    try:
        return tomllib.loads("\n".join(lines) + "\n")
    except tomllib.TOMLDecodeError as error:
        reason = str(error)
        place = _TOML_PLACE.search(reason)
        line = start + (int(place[1]) if place else len(lines))
        reason = _TOML_PLACE.sub("", reason).strip()
    except RecursionError:
        line, reason = start, "nested too deeply"
    except ValueError as error:
        # Such as a number of more digits than Python converts.
        line, reason = start, str(error)
    raise BadBlock(
        Text(
            zh=f"第 {line} 行：# /// script 块不是有效的 TOML（{reason}）；请修正它",
            en=f"line {line}: the # /// script block is not TOML ({reason}); mend it",
        ),
        line,
    )
