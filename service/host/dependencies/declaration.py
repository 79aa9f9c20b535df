"""What a plugin needs besides the standard library: what it declares, and what of it is there.

It is declared in the file's PEP 723 block, or beside it in a requirements file. A hand-run `pip install` into the
server's environment counts at once, so nothing here remembers longer than the environment stays as it is.
"""

from __future__ import annotations

from typing import Any

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from service.errors import LoadFailed
from service.host.dependencies import requirements as reqs
from service.host.dependencies import script_metadata
from service.host.dependencies.installed import Finding, check
from service.model.plugin import LoadError, Stage
from service.model.text import Text
from service.worker.compat.signs import imports_base_plugin


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """What a plugin declares.

    `dependencies` are PEP 508 requirements, normalised. `plugbay` is `[tool.plugbay]`, types checked, unknown keys
    kept. `notes` are for the author: they fail nothing.
    """

    requires_python: str | None = None
    dependencies: list[str] = []
    plugbay: dict[str, Any] = {}
    notes: list[Text] = []


def declared(
    source: bytes,
    requirements: bytes | None = None,
    *,
    file: str | None = None,
    requirements_file: str | None = None,
    generation: int | None = None,
) -> Declared:
    """Read what a plugin declares, in time proportional to its size.

    One of the original application, which imports `base_plugin`, takes `httpx` for granted, so that is added.

    Args:
        source: the plugin's file (of a package, its `__init__.py`).
        requirements: the requirements file beside it, where there is one.
        file: the plugin's path relative to home, for errors; `requirements_file` likewise.
        generation: for errors.

    Raises:
        LoadFailed: at stage `dependencies`: `metadata_invalid` or `dependency_refused`, with file and line.
    """
    try:
        scan = script_metadata.scan(source)
    except script_metadata.BadBlock as error:
        raise failed(error.code, error.text, file, error.line, generation) from None
    block = scan.block or script_metadata.Block({}, 1, ())
    try:
        _check_block(block)
        found = _checked(
            [reqs.Line(name, block.line_of(name)) for name in block.data.get("dependencies", [])]
        )
    except (reqs.BadRequirement, script_metadata.BadBlock) as error:
        raise failed(error.code, error.text, file, error.line, generation) from None
    try:
        found |= _checked(reqs.lines_of(requirements or b""))
    except reqs.BadRequirement as error:
        raise failed(error.code, error.text, requirements_file or file, error.line, generation) from None
    notes = []
    if scan.unclosed_line is not None:
        notes.append(
            Text(
                zh=f"第 {scan.unclosed_line} 行的 # /// script 块没有以单独一行 # /// 结束，已按 PEP 723 忽略",
                en=f"The # /// script block on line {scan.unclosed_line} is not closed by a line # /// and is "
                "ignored, as PEP 723 says",
            )
        )
    if imports_base_plugin(source) and not any(reqs.parse(one).name.lower() == "httpx" for one in found):
        found["httpx"] = None
    return Declared(
        requires_python=block.data.get("requires-python"),
        dependencies=list(found),
        plugbay=block.data.get("tool", {}).get("plugbay", {}),
        notes=notes,
    )


def examine(declaration: Declared) -> list[Finding]:
    """Each declared requirement that applies here, against the server's environment. Reads the disk."""
    return check(declaration.requires_python, declaration.dependencies)


def unsatisfied(declaration: Declared) -> list[str]:
    """Those that the server's environment does not satisfy, each with what is installed. Reads the disk."""
    return [str(finding) for finding in examine(declaration) if not finding.satisfied]


def require_satisfied(
    declaration: Declared, *, file: str | None = None, generation: int | None = None
) -> None:
    """Do nothing where everything declared is there. Reads the disk.

    Raises:
        LoadFailed: at stage `dependencies`, `dependencies_unsatisfied`, naming each and what is installed.
    """
    if not declaration.dependencies and declaration.requires_python is None:
        return
    findings = [f for f in examine(declaration) if not f.satisfied]
    if not findings:
        return
    zh = "、".join(
        f"{f.requirement}（{f'已安装 {f.installed}' if f.installed else '未安装'}）" for f in findings
    )
    en = ", ".join(
        f"{f.requirement} ({f'{f.installed} installed' if f.installed else 'not installed'})"
        for f in findings
    )
    raise failed(
        "dependencies_unsatisfied",
        Text(
            zh=f"依赖不满足（括号内为已安装的版本）：{zh}；请在服务器的 Python 环境中安装后重新加载",
            en=f"Dependencies are not satisfied (what is installed in brackets): {en}; "
            "install them into the server's environment, then reload",
        ),
        file,
        None,
        generation,
    )


def failed(code: str, text: Text, file: str | None, line: int | None, generation: int | None) -> LoadFailed:
    """The load error of stage `dependencies`."""
    return LoadFailed(
        LoadError(
            stage=Stage.DEPENDENCIES,
            code=code,
            type="",
            message=text.zh,
            file=file,
            line=line,
            column=None,
            traceback=None,
            generation=generation,
            messages=text,
        )
    )


def _checked(lines: list[reqs.Line]) -> dict[str, None]:
    """The requirements, normalised, each once and in their order."""
    found: dict[str, None] = {}
    if len(lines) > reqs.MAX_REQUIREMENTS:
        raise reqs.too_many(len(lines))
    for line in lines:
        try:
            found[str(reqs.parse(line.text))] = None
        except reqs.BadRequirement as error:
            error.line = line.number
            raise
    return found


def _check_block(block: script_metadata.Block) -> None:
    data = block.data
    names = data.get("dependencies", [])
    tool = data.get("tool", {})
    plugbay = tool.get("plugbay", {}) if isinstance(tool, dict) else {}
    if "requires-python" in data and not _is_specifier(data["requires-python"]):
        raise _wrong(block, "requires-python", '版本范围，例如 ">=3.11"', 'a version range such as ">=3.11"')
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _wrong(block, "dependencies", "字符串数组", "an array of strings")
    if not isinstance(tool, dict):
        raise _wrong(block, "tool", "表", "a table")
    if not isinstance(plugbay, dict):
        raise _wrong(block, "plugbay", "表", "a table")
    if not _is_network(plugbay.get("network", True)):
        raise _wrong(block, "network", " true、false 或端口数组", "true, false or an array of ports")
    for key in ("read", "write"):
        if not _is_folders(plugbay.get(key, [])):
            raise _wrong(block, key, "文件夹数组", "an array of folders")
    interface = plugbay.get("min_interface", 1)
    if type(interface) is not int and not isinstance(interface, str):
        raise _wrong(block, "min_interface", "版本号", "a version")


def _wrong(block: script_metadata.Block, key: str, zh: str, en: str) -> script_metadata.BadBlock:
    return script_metadata.BadBlock(
        Text(
            zh=f"# /// script 块中的 {key} 应为{zh}；请修正它",
            en=f"{key} in the # /// script block has to be {en}; mend it",
        ),
        block.line_of(key),
    )


def _is_network(value: object) -> bool:
    return isinstance(value, bool) or (
        isinstance(value, list) and all(type(port) is int and 0 < port < 65536 for port in value)
    )


def _is_folders(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(folder, str) and folder and "\0" not in folder for folder in value
    )


def _is_specifier(text: object) -> bool:
    if not isinstance(text, str) or len(text) > 200:
        return False
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        return False
    return True
