"""What stands in the way of a plugin's dependencies, read from what uv says, with the package and the remedy.

uv's own sentences are passed on as they are, in English, within the message and whole beside it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from service.errors import LoadFailed
from service.host.dependencies.declaration import failed
from service.model.text import Text

UNRESOLVABLE = "dependencies_unresolvable"
NOT_FOUND = "dependency_not_found"
YANKED = "dependency_yanked"
UNSUPPORTED = "dependency_unsupported"
BUILD_REFUSED = "dependency_build_refused"
HASH_MISMATCH = "dependency_hash_mismatch"
REFUSED = "dependency_refused"
UNREACHABLE = "registry_unreachable"
TIMEOUT = "dependencies_timeout"
DISK_FULL = "dependencies_disk_full"
FAILED = "dependencies_failed"

# Answered as a gateway that did not deliver; everything else is the plugin's to mend.
WAITED_IN_VAIN = frozenset({UNREACHABLE, TIMEOUT})

_MAX_DETAIL_CHARS = 8 * 1024
_MAX_WORDS_CHARS = 1000
_MAX_NAMED = 8

_CREDENTIALS = re.compile(r"//[^/@\s]+@")
_SECRETS = re.compile(r"(?i)\b(token|password|secret|api[-_]?key|signature)=[^&\s)`]+")
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_NAME = r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)"
_SAYS_NOTHING = (
    "Using CPython",
    "Using Python",
    "Resolved ",
    "Prepared ",
    "Installed ",
    "Downloading ",
    "warning:",
)

# In this order: the first whose pattern is found is what stands in the way.
_SIGNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (DISK_FULL, (r"No space left on device", r"\(os error (?:28|122)\)", r"Disk quota exceeded")),
    (HASH_MISMATCH, (rf"Hash mismatch for `{_NAME}",)),
    (REFUSED, (rf"Package `{_NAME}` was included as a URL dependency",)),
    (
        UNREACHABLE,
        (
            r"\((?:401 Unauthorized)\)",
            r"returned a 40[137] ",
            r"HTTP status server error",
            r"\((?:401|403|407|408|425|429) ",
            r"error sending request",
            r"client error \(Connect\)",
            r"network timeout",
            r"operation timed out",
            r"connection (?:closed|reset)",
            r"error decoding response body",
            r"the network was disabled",
        ),
    ),
    (
        BUILD_REFUSED,
        (rf"{_NAME}(?:==\S+)? has no usable wheels", rf"Wheels are required for `{_NAME}`"),
    ),
    (
        UNSUPPORTED,
        (
            rf"{_NAME}(?:==\S+)? has no wheels with a matching",
            rf"{_NAME}(?:[=<>!~]\S*)? depends on Python",
            rf"Wheels are available for `{_NAME}`",
        ),
    ),
    (YANKED, (rf"{_NAME}==\S+ was yanked", rf"`{_NAME}==[^`]+` is yanked")),
    (
        NOT_FOUND,
        (
            rf"{_NAME} was not found in the",
            rf"there (?:is|are) no versions? of {_NAME}\S* and you require",
            rf"only {_NAME}[<>=!~]\S* is available and you require",
            rf"Failed to download `{_NAME}(?:==[^`]*)?`[\s\S]*404 Not Found",
        ),
    ),
    (UNRESOLVABLE, (r"No solution found",)),
)
_SIGNS_COMPILED = tuple((code, tuple(re.compile(one) for one in patterns)) for code, patterns in _SIGNS)
_ANY_NAME = (
    re.compile(rf"/simple/{_NAME}/"),
    re.compile(rf"Failed to \w+ `{_NAME}(?:==[^`]*)?`"),
    re.compile(rf"Failed to install: \S+ \({_NAME}=="),
)


@dataclass(frozen=True, slots=True)
class Remedy:
    """What is wrong, in a few words before the packages are named, and what to do."""

    zh: str
    en: str
    do_zh: str
    do_en: str


_REMEDIES = {
    UNRESOLVABLE: Remedy(
        "依赖互相冲突，无法同时满足",
        "These dependencies cannot be satisfied together",
        "请放宽或更正其中的版本要求",
        "relax or correct the versions that it requires",
    ),
    NOT_FOUND: Remedy(
        "软件源中没有这个依赖或这个版本",
        "The registry does not have this dependency or this version of it",
        "请核对名称和版本",
        "check its name and version",
    ),
    YANKED: Remedy(
        "依赖的这个版本已被作者撤回（yanked）",
        "This version of a dependency was yanked by its authors",
        "请改用其他版本",
        "require another version",
    ),
    UNSUPPORTED: Remedy(
        "依赖没有适用于本机平台或 Python 版本的 wheel",
        "A dependency has no wheel for this platform or this version of Python",
        "请改用支持本机的版本或其他库",
        "require a version that supports it, or another library",
    ),
    BUILD_REFUSED: Remedy(
        "依赖只有源代码包，安装时会运行其构建脚本，不允许",
        "A dependency is offered as source only; building it would run its code, which is not allowed",
        "请改用提供 wheel 的版本，或由管理员设置 dependencies.allow_builds",
        "require a version that has wheels, or have the administrator set dependencies.allow_builds",
    ),
    HASH_MISMATCH: Remedy(
        "下载的依赖与软件源公布的哈希不一致，已丢弃",
        "What was downloaded is not what the registry's hash says and was thrown away",
        "请稍后重试，或检查软件源和代理",
        "try again later, or check the registry and the proxies on the way to it",
    ),
    REFUSED: Remedy(
        "依赖自己要求从某个地址安装另一个包，不允许",
        "A dependency asks for a package from an address of its own, which is not allowed",
        "请改用只依赖软件源的版本",
        "require a version that depends on the registry only",
    ),
    UNREACHABLE: Remedy(
        "无法从软件源取得依赖",
        "The package registry did not deliver",
        "请检查网络、镜像设置（UV_DEFAULT_INDEX 或 uv.toml）和凭据，然后重新加载",
        "check the network, the mirror (UV_DEFAULT_INDEX or uv.toml) and its credentials, then reload",
    ),
    TIMEOUT: Remedy(
        "依赖没有在限定时间内装好",
        "The dependencies were not ready in time",
        "请稍后重新加载，或提高 dependencies.timeout_s",
        "reload later, or raise dependencies.timeout_s",
    ),
    DISK_FULL: Remedy(
        "磁盘空间不足，无法安装依赖",
        "There is no room on the disk for the dependencies",
        "请清理磁盘（plugbay env prune、uv cache clean）后重新加载",
        "make room (plugbay env prune, uv cache clean), then reload",
    ),
    FAILED: Remedy(
        "依赖安装失败",
        "The dependencies could not be installed",
        "请按 uv 的说明处理后重新加载",
        "see to what uv says, then reload",
    ),
}


class Problem(Exception):
    """Dependencies that cannot be had. `code` is one of this module's; `packages` are those in the way."""

    def __init__(
        self,
        code: str,
        packages: Sequence[str],
        *,
        words: str = "",
        detail: str | None = None,
        remedy: Remedy | None = None,
    ) -> None:
        told = remedy or _REMEDIES[code]
        named = ", ".join(packages[:_MAX_NAMED]) + (" …" if len(packages) > _MAX_NAMED else "")
        middle = f" ({words})" if words else ""
        self.text = Text(
            zh=f"{told.zh}：{named}{f'（{words}）' if words else ''}；{told.do_zh}",
            en=f"{told.en}: {named}{middle}; {told.do_en}",
        )
        super().__init__(self.text.en)
        self.code = code
        self.packages = tuple(packages)
        self.detail = detail

    def as_load_failure(self, file: str | None, generation: int | None) -> LoadFailed:
        """The same for one plugin's load."""
        return failed(self.code, self.text, file, None, generation, traceback=self.detail)


def problem_of(output: str, requirements: Sequence[str]) -> Problem:
    """What uv's words mean.

    Args:
        output: what uv wrote to its standard error.
        requirements: what was asked for; named where uv names nothing.
    """
    output = masked(output)
    code, packages = _sign_of(output)
    if not packages:
        packages = _names_in(output, requirements)
    return Problem(code, packages, words=_words(output), detail=output.strip()[-_MAX_DETAIL_CHARS:])


def yanked_of(output: str) -> Problem | None:
    """A yanked version that uv took, with a warning only, because it is pinned; None where there is none."""
    found = re.findall(rf"`{_NAME}==([^`]+)` is yanked(?: \(reason: \"(.*)\"\))?", masked(output))
    if not found:
        return None
    words = "; ".join(
        f"{name}=={version} is yanked: {reason or 'no reason given'}" for name, version, reason in found
    )
    names = list(dict.fromkeys(name for name, _, _ in found))
    return Problem(YANKED, names, words=words[:_MAX_WORDS_CHARS])


def late(requirements: Sequence[str], seconds: float, output: str) -> Problem:
    """The time is over."""
    return Problem(
        TIMEOUT,
        names_of(requirements),
        words=f"{seconds:g} s",
        detail=masked(output).strip()[-_MAX_DETAIL_CHARS:] or None,
    )


def of_disk(error: OSError, requirements: Sequence[str]) -> Problem:
    """What the operating system said, no room on the disk among it."""
    import errno

    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return Problem(DISK_FULL if full else FAILED, names_of(requirements), words=error.strerror or str(error))


def planned_build(problem: Problem) -> Problem:
    """A package that would be built where builds are allowed: an install does it, a plan runs nothing."""
    return Problem(
        BUILD_REFUSED,
        problem.packages,
        detail=problem.detail,
        remedy=Remedy(
            "依赖只有源代码包，安装时会构建它；计划不运行任何代码，因此无法预知结果",
            "A dependency is offered as source only; an install would build it, but a plan runs nothing "
            "and cannot foresee what comes of that",
            "如信任这个包，请直接安装",
            "install without a plan if you trust it",
        ),
    )


def names_of(requirements: Sequence[str]) -> list[str]:
    """The names of packages in requirements, each once."""
    return list(dict.fromkeys(canonicalize_name(Requirement(one).name) for one in requirements))


def masked(text: str) -> str:
    """The text without the credentials that addresses in it may hold."""
    text = _ANSI.sub("", text)
    return _SECRETS.sub(r"\1=…", _CREDENTIALS.sub("//…@", text))


def _sign_of(output: str) -> tuple[str, list[str]]:
    said = "\n".join(line for line in output.split("\n") if not line.startswith("warning:"))
    for code, patterns in _SIGNS_COMPILED:
        found: dict[str, None] = {}
        seen = False
        for pattern in patterns:
            for match in pattern.finditer(said):
                seen = True
                if match.re.groups:
                    found[canonicalize_name(match[1])] = None
        if seen:
            return code, list(found)
    return FAILED, []


def _names_in(output: str, requirements: Sequence[str]) -> list[str]:
    found = {canonicalize_name(match[1]): None for pattern in _ANY_NAME for match in pattern.finditer(output)}
    if found:
        return list(found)
    asked = names_of(requirements)
    return [name for name in asked if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", output)] or asked


def _words(output: str) -> str:
    words = ""
    for line in output.split("\n"):
        stripped = line.strip()
        if not stripped or line.startswith(_SAYS_NOTHING) or stripped.startswith(("+ ", "- ")):
            continue
        between = ": " if stripped.startswith("cause: ") else "; " if stripped.startswith("hint: ") else " "
        for label in ("error: ", "cause: "):
            stripped = stripped.removeprefix(label)
        words += between + stripped if words else stripped
    words = words.rstrip(".:")
    return words if len(words) <= _MAX_WORDS_CHARS else words[:_MAX_WORDS_CHARS] + "…"
