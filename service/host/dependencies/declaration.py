"""What a plugin needs besides the standard library: what it declares, and what of it is there.

It is declared in the file's PEP 723 block, or beside it in a requirements file. A hand-run `pip install` into the
server's environment counts at once, so nothing here remembers longer than the environment stays as it is.
"""

from __future__ import annotations

import difflib
import itertools
import platform
from collections.abc import Sequence
from typing import Any

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from service.errors import LoadFailed
from service.host.dependencies import requirements as reqs
from service.host.dependencies import script_metadata
from service.host.dependencies.installed import Finding, check
from service.model.plugin import LoadError, Stage
from service.model.text import Text
from service.sdk import INTERFACE_VERSION
from service.worker.compat.signs import imports_base_plugin

_KEYS = ("dependencies", "requires-python", "tool")
_PLUGBAY_KEYS = ("min_interface", "network", "read", "write")
_NEAR = 0.75
_MAX_NOTES = 20
_MAX_KEY_CHARS = 60


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
    notes = _notes_on_keys(block)
    if scan.misspelt_line is not None:
        notes.append(
            Text(
                zh=f"第 {scan.misspelt_line} 行：这不是 # /// script 块的开头，此块不起作用；请写作 # /// script",
                en=f"line {scan.misspelt_line}: this begins no # /// script block, so what it declares counts for "
                "nothing; write it as # /// script",
            )
        )
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


def require_suitable(
    declaration: Declared, *, file: str | None = None, generation: int | None = None
) -> None:
    """Do nothing where this Python and this version of the plugin interface are what the plugin was written for.

    Raises:
        LoadFailed: at stage `dependencies`: `python_unsuitable` or `interface_too_old`.
    """
    wanted, running = declaration.requires_python, platform.python_version()
    if wanted is not None and not SpecifierSet(wanted).contains(running, prereleases=True):
        raise failed(
            "python_unsuitable",
            Text(
                zh=f"插件要求 Python {wanted}，服务器运行的是 {running}；请改用合适的 Python 运行服务器，"
                "或放宽插件的 requires-python",
                en=f"The plugin requires Python {wanted} and the server runs on {running}; run it on a Python that "
                "suits, or relax the plugin's requires-python",
            ),
            file,
            None,
            generation,
        )
    least = declaration.plugbay.get("min_interface")
    if least is not None and Version(str(least)) > Version(str(INTERFACE_VERSION)):
        raise failed(
            "interface_too_old",
            Text(
                zh=f"插件要求插件接口 {least} 或更高，本服务器提供的是 {INTERFACE_VERSION}；请升级 Plugbay，"
                "或降低 min_interface",
                en=f"The plugin needs version {least} of the plugin interface or newer, and this server offers "
                f"{INTERFACE_VERSION}; upgrade Plugbay, or lower min_interface",
            ),
            file,
            None,
            generation,
        )


def failed(
    code: str,
    text: Text,
    file: str | None,
    line: int | None,
    generation: int | None,
    *,
    traceback: str | None = None,
) -> LoadFailed:
    """The load error of stage `dependencies`. `traceback` is what the installer said, whole."""
    return LoadFailed(
        LoadError.of_server(
            Stage.DEPENDENCIES, code, text, file=file, line=line, traceback=traceback, generation=generation
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
    if not _is_version(plugbay.get("min_interface", 1)):
        raise _wrong(block, "min_interface", "版本号", "a version")


def _notes_on_keys(block: script_metadata.Block) -> list[Text]:
    """One for each key that nobody reads; `[tool.plugbay]` may have others, so there only for what is nearly ours."""
    tools = block.data.get("tool", {})
    notes = [
        _unknown_key(block, key, _KEYS, "# /// script")
        for key in itertools.islice(block.data, _MAX_NOTES)
        if key not in _KEYS
    ]
    for table, keys, known in (
        ("[tool]", tools, ("plugbay",)),
        ("[tool.plugbay]", tools.get("plugbay", {}), _PLUGBAY_KEYS),
    ):
        notes += [
            _unknown_key(block, key, known, table)
            for key in itertools.islice(keys, _MAX_NOTES)
            if key not in known and _near(key, known)
        ]
    return notes


def _near(key: str, known: Sequence[str]) -> str | None:
    shapes = {one.replace("_", "-"): one for one in known}
    shape = key[:_MAX_KEY_CHARS].lower().replace("_", "-")
    near = difflib.get_close_matches(shape, shapes, 1, _NEAR)
    return shapes[near[0]] if near else None


def _unknown_key(block: script_metadata.Block, key: str, known: Sequence[str], table: str) -> Text:
    line = block.line_of(key)
    shown = key[:_MAX_KEY_CHARS].replace(";", " ").replace("；", " ")
    near = _near(key, known)
    names = ", ".join(known)
    return Text(
        zh=f"第 {line} 行：{table} 中没有键 {shown}，它不起作用；"
        + (f"是否想写 {near}？" if near else f"可用的键有 {names}"),
        en=f"line {line}: {table} knows no key {shown}, which counts for nothing; "
        + (f"did you mean {near}?" if near else f"it knows {names}"),
    )


def _wrong(block: script_metadata.Block, key: str, zh: str, en: str) -> script_metadata.BadBlock:
    return script_metadata.BadBlock(
        Text(
            zh=f"# /// script 块中的 {key} 应为{zh}；请修正它",
            en=f"{key} in the # /// script block has to be {en}; mend it",
        ),
        block.line_of(key),
    )


def _is_version(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    try:
        Version(str(value))
    except (InvalidVersion, ValueError):  # such as inf, or an integer of too many digits
        return False
    return True


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
