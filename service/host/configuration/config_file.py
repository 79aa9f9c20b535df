"""`config/plugins.json` as bytes: reading it with suspicion, parsing it strictly, keeping a bad one aside.

Everything here blocks and is called in a thread. The file is edited by people, so it may be half-written, a
folder, a pipe, or not JSON at all; each of these becomes a `Reading` with a `problem`, never an exception.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.host import atomic
from service.model.text import Text

MAX_BYTES = 16 * 1024 * 1024
KEPT_ASIDE = 20
PRIVATE_MODE = 0o600

Entries = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Reading:
    """What one look at the file gave.

    `data` is None where there is no file or it cannot be read. Either `entries` or `problem` is set.
    """

    data: bytes | None
    entries: Entries | None
    problem: Text | None = None

    @property
    def absent(self) -> bool:
        """Whether there is no file at all."""
        return self.data is None and self.problem is None


class _Refused(ValueError):
    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


def look(path: Path) -> Reading:
    """Read and parse the file; an absent one counts as empty."""
    name = shown(path)
    try:
        data = _read(path, name)
    except FileNotFoundError:
        return Reading(None, {})
    except _Refused as refused:
        return Reading(None, None, refused.text)
    except OSError as error:
        reason = error.strerror or str(error)
        return Reading(
            None,
            None,
            Text(
                zh=f"无法读取 {name}（{reason}），仍使用上次有效的配置；请检查该文件及其权限",
                en=f"{name} cannot be read ({reason}); the last good values stay. "
                "Check the file and its permissions",
            ),
        )
    try:
        return Reading(data, parse(data, name))
    except _Refused as refused:
        return Reading(data, None, refused.text)


def parse(data: bytes, name: str) -> Entries:
    """The entries in `data`; `name` is how errors call the file.

    Raises:
        ValueError: with a `text` that names cause, place and remedy.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refused(name, f"第 {line} 行不是 UTF-8 文本", f"line {line} is not UTF-8") from None
    if not text.strip():
        raise _refused(
            name, "文件是空的（没有配置时请写 {}）", "the file is empty (write {} for no configuration)"
        )
    try:
        value = json.loads(
            text, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_unique_keys
        )
        # Escapes such as \ud800 parse, but can be neither stored nor sent on.
        json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise _refused(
            name,
            f"第 {error.lineno} 行第 {error.colno} 列不是有效的 JSON（{error.msg}）",
            f"line {error.lineno}, column {error.colno} is not JSON ({error.msg})",
        ) from None
    except RecursionError:
        raise _refused(name, "嵌套层数过多", "it is nested too deeply") from None
    except UnicodeEncodeError:
        raise _refused(name, "含有无效的 Unicode 转义", "it has an invalid Unicode escape") from None
    except _Refused as refused:
        raise _refused(name, refused.text.zh, refused.text.en) from None
    except ValueError as error:
        raise _refused(name, f"数值无效（{error}）", f"it has an invalid number ({error})") from None
    if not isinstance(value, dict):
        raise _refused(
            name,
            f"最外层应为对象 {{…}}，实际是{kind_zh(value)}",
            f"the outermost value has to be an object {{…}}, not {kind_en(value)}",
        )
    for key, entry in value.items():
        wrong = entry_problem(entry)
        if wrong is not None:
            raise _refused(name, f"“{key}” {wrong.zh}", f'"{key}" {wrong.en}')
    return value


def entry_problem(entry: object) -> Text | None:
    """What is wrong with the entry of one plugin; the sentence goes on after the entry's key."""
    if not isinstance(entry, Mapping):
        return Text(
            zh=f"应为对象 {{…}}，实际是{kind_zh(entry)}",
            en=f"has to be an object {{…}}, not {kind_en(entry)}",
        )
    if "_enabled" in entry and not isinstance(entry["_enabled"], bool):
        return Text(
            zh=f"的 _enabled 应为 true 或 false，实际是{kind_zh(entry['_enabled'])}",
            en=f"has an _enabled that has to be true or false, not {kind_en(entry['_enabled'])}",
        )
    if "_granted" in entry and not isinstance(entry["_granted"], Mapping):
        return Text(
            zh=f"的 _granted 应为对象 {{…}}，实际是{kind_zh(entry['_granted'])}",
            en=f"has a _granted that has to be an object {{…}}, not {kind_en(entry['_granted'])}",
        )
    return None


def encode(entries: Mapping[str, Any]) -> bytes:
    """The file's content, laid out for people to edit.

    Raises:
        ValueError, TypeError: a value that JSON does not have.
    """
    return (json.dumps(entries, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode()


def mode_of(path: Path) -> int:
    """The permission bits that a new version keeps. A new file is private, because passwords are in it."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        return PRIVATE_MODE


def keep_aside(path: Path, data: bytes) -> Path | None:
    """Put a bad file's content beside it as `plugins.json.corrupt-…`, once for each content.

    Returns:
        Where it is, or None where it could not be written.
    """
    digest = hashlib.sha256(data).hexdigest()[:8]
    prefix = f"{path.name}.corrupt-"
    try:
        kept = sorted(entry.name for entry in os.scandir(path.parent) if entry.name.startswith(prefix))
        for name in kept:
            if name.endswith(f"-{digest}"):
                return path.with_name(name)
        target = path.with_name(f"{prefix}{time.strftime('%Y%m%d-%H%M%S')}-{digest}")
        atomic.write_now(target, data, mode=PRIVATE_MODE)
    except OSError:
        return None
    # An editor that saves by itself every second must not fill the disk.
    for name in kept[: max(0, len(kept) + 1 - KEPT_ASIDE)]:
        with contextlib.suppress(OSError):
            os.unlink(path.with_name(name))
    return target


def shown(path: Path) -> str:
    """How people know the file: its folder and its name."""
    return f"{path.parent.name}/{path.name}"


def kind_en(value: object) -> str:
    """The JSON type of a value, in English."""
    return _KINDS.get(type(value), ("", type(value).__name__))[1]


def kind_zh(value: object) -> str:
    """The JSON type of a value, in Chinese."""
    return _KINDS.get(type(value), (type(value).__name__, ""))[0]


_KINDS: dict[type, tuple[str, str]] = {
    dict: ("对象", "an object"),
    list: ("数组", "an array"),
    str: ("字符串", "a string"),
    int: ("数字", "a number"),
    float: ("数字", "a number"),
    bool: ("布尔值", "a boolean"),
    type(None): ("空值 null", "null"),
}


def _read(path: Path, name: str) -> bytes:
    # O_NONBLOCK: opening a pipe that nobody writes to must not hang.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        kind = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(kind):
            what = ("文件夹", "a folder") if stat.S_ISDIR(kind) else ("特殊文件", "a special file")
            raise _Refused(
                Text(
                    zh=f"{name} 是{what[0]}，不是文件，仍使用上次有效的配置；请移走它",
                    en=f"{name} is {what[1]}, not a file; the last good values stay. Move it away",
                )
            )
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(data) > MAX_BYTES:
        limit = MAX_BYTES // (1024 * 1024)
        raise _Refused(
            Text(
                zh=f"{name} 超过 {limit} MiB，仍使用上次有效的配置；请缩小该文件",
                en=f"{name} is larger than {limit} MiB; the last good values stay. Make it smaller",
            )
        )
    return data


def _refused(name: str, zh: str, en: str) -> _Refused:
    return _Refused(
        Text(
            zh=f"{name} 有误：{zh}。仍使用上次有效的配置；请修正并保存该文件",
            en=f"{name} is not in force: {en}. The last good values stay; mend the file and save it",
        )
    )


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(digits)
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            # The last would win silently, and the next write would lose the first for good.
            raise _Refused(Text(zh=f"“{key}” 出现了两次", en=f'"{key}" stands there twice'))
        found[key] = value
    return found
