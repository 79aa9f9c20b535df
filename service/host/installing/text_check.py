"""Whether bytes that came from somewhere are the text of a Python file at all."""

from __future__ import annotations

import tokenize
from io import BytesIO

from service.errors import LoadFailed
from service.model.plugin import LoadError, Stage
from service.model.text import Text

# Decoders take time in proportion to their input; some of Python's do not, so only these are used.
_ENCODINGS = (
    "gb",
    "big5",
    "shift",
    "euc",
    "iso-",
    "iso8859",
    "cp",
    "windows",
    "latin",
    "koi8",
    "hz",
    "ascii",
    "utf-8",
)


def source_encoding(source: bytes) -> str | None:
    """The encoding that a Python file declares, `utf-8` where it declares none, None where it cannot be used."""
    try:
        # The declaration is on one of the first two lines; a line without end is none.
        encoding, _ = tokenize.detect_encoding(BytesIO(source[:4096]).readline)
    except (SyntaxError, LookupError):
        encoding = "utf-8" if _declares_nothing(source) else ""
    return encoding if encoding.lower().startswith(_ENCODINGS) else None


def ensure_text(content: bytes, *, file: str | None) -> None:
    """Do nothing where `content` is text. Takes time in proportion to its size: call it in a thread.

    Args:
        content: what was fetched or uploaded.
        file: how the error calls it.

    Raises:
        LoadFailed: at stage `fetch`, `not_text`, saying what it is instead.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _not_text(file, "是 UTF-16 文本，请以 UTF-8 保存", "it is UTF-16, save it as UTF-8")
    nul = content.find(b"\0")
    if nul >= 0:
        place = _place(content, nul)
        raise _not_text(
            file, f"是二进制数据（第 {nul} 字节为 NUL）", f"it is binary, byte {nul} is NUL", place
        )
    if content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n\x0c").startswith(b"<"):
        raise _not_text(
            file,
            "是网页而不是 Python 文件，请使用原始文件（raw）的地址",
            "it is a web page and no Python file, use the address of the raw file",
            (1, 1),
        )
    encoding = source_encoding(content)
    if encoding is None:
        raise _not_text(
            file,
            "声明了无法使用的编码，请以 UTF-8 保存",
            "it declares an unusable encoding, save it as UTF-8",
            (1, 1),
        )
    try:
        content.decode(encoding)
    except UnicodeDecodeError as error:
        line, column = _place(content, error.start)
        raise _not_text(
            file,
            f"第 {line} 行不是 {encoding} 文本，请以 UTF-8 保存",
            f"line {line} is not {encoding}, save it as UTF-8",
            (line, column),
        ) from None


def _declares_nothing(source: bytes) -> bool:
    # `detect_encoding` also complains of lines that are not UTF-8 where none is declared; the place is found later.
    return not any(b"coding" in line for line in source[:4096].split(b"\n", 2)[:2])


def _place(content: bytes, index: int) -> tuple[int, int]:
    """The line and the column of a byte, both from 1; the column counts bytes, as what they stand for is not known."""
    return content.count(b"\n", 0, index) + 1, index - content.rfind(b"\n", 0, index)


def _not_text(
    file: str | None, zh: str, en: str, place: tuple[int | None, int | None] = (None, None)
) -> LoadFailed:
    name = file or "plugin"
    text = Text(zh=f"{name} 不是 Python 源文件：{zh}", en=f"{name} is no Python source: {en}")
    return LoadFailed(
        LoadError.of_server(Stage.FETCH, "not_text", text, file=file, line=place[0], column=place[1])
    )
