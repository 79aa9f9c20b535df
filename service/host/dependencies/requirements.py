"""Requirements as plugins may state them: names with versions, extras and markers, and nothing else.

An option, a path or an address would let a plugin's text decide where code comes from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from packaging.markers import InvalidMarker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion

from service.model.text import Text

MAX_FILE_BYTES = 64 * 1024
MAX_REQUIREMENTS = 200
MAX_REQUIREMENT_CHARS = 1000

_COMMENT = re.compile(r"(?:^|[ \t])#.*$")
_OPTION = re.compile(r"(?:^|[ \t])(--?[A-Za-z][\w-]*)")
_ADDRESS = re.compile(r"://|(?:^|[@ \t])(?:file|https?|ftps?):", re.IGNORECASE)
_VCS = re.compile(r"(?:^|[@ \t])(?:git|hg|svn|bzr)\+", re.IGNORECASE)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_CREDENTIALS = re.compile(r"//[^/@\s]*@")
_ARCHIVE = re.compile(r"\.(?:whl|zip|tar|tgz|tar\.(?:gz|bz2|xz)|egg)(?:$|[ \t;#])", re.IGNORECASE)


class BadRequirement(ValueError):
    """A requirement that is not taken.

    `code` is `dependency_refused` for what is never allowed, `metadata_invalid` for what cannot be understood.
    """

    def __init__(self, text: Text, *, code: str, line: int | None = None) -> None:
        super().__init__(text.en)
        self.text = text
        self.code = code
        self.line = line


@dataclass(frozen=True, slots=True)
class Line:
    """One requirement of a file and the line that it begins on."""

    text: str
    number: int


def parse(text: str) -> Requirement:
    """One requirement, checked.

    Raises:
        BadRequirement: it is an option, a path, an address, or no requirement at all.
    """
    stripped = text.strip()
    shown = _CREDENTIALS.sub("//…@", stripped if len(stripped) <= 120 else stripped[:120] + "…")
    if len(stripped) > MAX_REQUIREMENT_CHARS:
        raise _invalid(shown, "太长", "it is too long")
    _refuse_what_is_no_name(stripped, shown)
    try:
        requirement = Requirement(stripped)
    except InvalidRequirement as error:
        reason = str(error).split("\n", 1)[0]
        raise _invalid(shown, reason, reason) from None
    except RecursionError:
        raise _invalid(shown, "嵌套层数过多", "it is nested too deeply") from None
    if requirement.url is not None:
        raise _refused(shown, "直接引用地址（name @ url）", "a direct reference (name @ url)")
    applies(requirement)
    if not _can_be_written(requirement):
        raise _invalid(shown, "环境标记中的文字无法使用", "a text in its marker cannot be used")
    return requirement


def _can_be_written(requirement: Requirement) -> bool:
    """Whether it is the same when it is read again: a marker's text may be one that has no way to be written."""
    try:
        return str(Requirement(str(requirement))) == str(requirement)
    except InvalidRequirement:
        return False


def applies(requirement: Requirement, extra: str = "") -> bool:
    """Whether the requirement's marker holds here.

    Raises:
        BadRequirement: the marker cannot be evaluated.
    """
    if requirement.marker is None:
        return True
    try:
        return requirement.marker.evaluate({"extra": extra})
    except (
        InvalidMarker,
        UndefinedComparison,
        UndefinedEnvironmentName,
        InvalidVersion,
        RecursionError,
    ) as error:
        raise _invalid(
            str(requirement), f"环境标记无法求值：{error}", f"its marker cannot be evaluated: {error}"
        ) from None


def lines_of(content: bytes) -> list[Line]:
    """The requirements of a file: comments, blank lines and continuations resolved.

    Raises:
        BadRequirement: it is too large, holds too many, or is no text.
    """
    if len(content) > MAX_FILE_BYTES:
        limit = MAX_FILE_BYTES // 1024
        raise BadRequirement(
            Text(
                zh=f"依赖文件超过 {limit} KiB；请缩短它", en=f"it is larger than {limit} KiB; make it shorter"
            ),
            code="metadata_invalid",
        )
    found: list[Line] = []
    joined = ""
    begun = 0
    for number, raw in enumerate(re.split(r"\r\n|\r|\n", _decoded(content)), 1):
        comment = raw.lstrip().startswith("#")
        if not joined:
            begun = number
        if raw.endswith("\\") and not comment:
            joined += raw[:-1] + " "
            continue
        whole = _COMMENT.sub("", joined + ("" if comment else raw)).strip()
        joined = ""
        if whole:
            found.append(Line(whole, begun))
    rest = _COMMENT.sub("", joined).strip()
    if rest:
        found.append(Line(rest, begun))
    if len(found) > MAX_REQUIREMENTS:
        raise too_many(len(found))
    return found


def too_many(count: int) -> BadRequirement:
    """The error for more requirements than anybody needs."""
    return BadRequirement(
        Text(
            zh=f"声明了 {count} 个依赖，最多 {MAX_REQUIREMENTS} 个；请删减",
            en=f"{count} requirements are declared, {MAX_REQUIREMENTS} at most are allowed; remove some",
        ),
        code="metadata_invalid",
    )


def _refuse_what_is_no_name(stripped: str, shown: str) -> None:
    # A marker may hold any text in quotes, a slash or a dash included.
    head = _QUOTED.sub("''", stripped)
    option = _OPTION.search(head)
    if option:
        raise _refused(shown, f"pip 选项 {option[1]}", f"the option {option[1]}")
    if _VCS.search(head):
        raise _refused(shown, "版本库地址", "a version-control address")
    if _ADDRESS.search(head):
        raise _refused(shown, "地址", "an address")
    if head.startswith((".", "/", "~/", "\\")) or "\\" in head or "/" in head or _ARCHIVE.search(head):
        raise _refused(shown, "路径", "a path")


def _refused(shown: str, zh: str, en: str) -> BadRequirement:
    return BadRequirement(
        Text(
            zh=f"不接受依赖“{shown}”：{zh}不允许使用；只能写包名以及版本、extras 和环境标记",
            en=f'"{shown}" is not taken: {en} is not allowed; write a name with versions, extras and markers only',
        ),
        code="dependency_refused",
    )


def _invalid(shown: str, zh: str, en: str) -> BadRequirement:
    return BadRequirement(
        Text(
            zh=f"依赖“{shown}”无法识别：{zh}；请按 PEP 508 书写，例如 httpx>=0.27",
            en=f'"{shown}" is not a requirement: {en}; write it as PEP 508 says, such as httpx>=0.27',
        ),
        code="metadata_invalid",
    )


def _decoded(content: bytes) -> str:
    # Redirecting `pip freeze` in PowerShell gives UTF-16.
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        pass
    # Names are ASCII; comments in another encoding harm nobody.
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.split(b"#", 1)[0].isascii():
            raise BadRequirement(
                Text(
                    zh=f"第 {number} 行不是 UTF-8 文本；请以 UTF-8 保存该文件",
                    en=f"line {number} is not UTF-8; save the file as UTF-8",
                ),
                code="metadata_invalid",
                line=number,
            )
    return content.decode("latin-1")
