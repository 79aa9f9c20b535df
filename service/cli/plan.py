"""What an install or an update would do, so that it is understood at a glance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.text import Text

from service.cli.hanging import Hanging
from service.cli.language import say
from service.cli.output import load_error_lines, message_of
from service.cli.permissions import permissions_text
from service.cli.task_text import readable, size_text

_INDENT = "  "
_COMMA = say("、", ", ")

Told = Mapping[str, Any]


def plan_text(plan: Told) -> RenderableType:
    """The answer of a plan, as lines."""
    return Group(*_lines(plan))


def has_failed(plan: Told) -> bool:
    """Whether it would be refused, or fail because of the plugin itself or of what it depends on."""
    return bool(plan.get("error") or plan.get("refused"))


def place_of(origin: object) -> str:
    """Where a plugin came from, in a line: its address, else how it came."""
    if isinstance(origin, Mapping):
        kind = str(origin.get("kind") or "")
        return readable(origin.get("url")) or _KINDS.get(kind, kind)
    return _KINDS.get(str(origin), readable(origin))


_KINDS = {
    "file": say("手工放入", "put there by hand"),
    "url": say("地址", "an address"),
    "upload": say("上传", "uploaded"),
    "bundled": say("自带", "bundled"),
}


def _lines(plan: Told) -> Iterator[RenderableType]:
    yield _head(plan.get("plugin") or {})
    yield from _dependencies(plan.get("dependencies") or {})
    conflicts = [one for one in plan.get("conflicts") or [] if one]
    for conflict in conflicts:
        yield _line("!", _conflict(conflict), "yellow")
    replaced = plan.get("replaces")
    if replaced and not conflicts:
        yield _line("↻", say(f"将覆盖 {_name(replaced)}", f"replaces {_name(replaced)}"), "yellow")
    if origins := plan.get("origin_changes"):
        yield _line("!", say("来源将会改变", "It would come from elsewhere than before"), "yellow")
        yield from origin_lines(origins)
    if refused := plan.get("refused"):
        yield _line("✗", readable(refused.get("message")), "red")
    permissions: Told = plan.get("permissions") or {}
    if asked := permissions_text(permissions.get("asked") or {}):
        yield _line("?", say("要求：", "asks for: ") + asked)
    if permissions.get("lacking"):
        lacks = permissions_text(permissions["lacking"], all_of_it=True)
        yield _line("!", say("尚未授予：", "not granted yet: ") + lacks, "yellow")
    yield from _provides(plan.get("provides") or {})
    yield from _verdict(plan)


def _head(plugin: Told) -> Text:
    name = "/".join(readable(plugin[part]) for part in ("type", "name") if plugin.get(part))
    head = Text(name or say("未知的插件", "an unknown plugin"), style="bold")
    if version := readable(plugin.get("version")):
        head.append(f" {version}")
    if file := readable(plugin.get("file")):
        head.append(f" → {file}", "dim")
    return head


def _dependencies(dependencies: Told) -> Iterator[RenderableType]:
    """A line a package with its size at the right, their total, and what need not be installed."""
    added: Sequence[Told] = dependencies.get("add") or []
    rows = [
        (f"{readable(one.get('name'))} {readable(one.get('version'))}".rstrip(), _size(one.get("size")))
        for one in added
    ]
    if len(added) > 1:
        rows.append((say(f"共 {len(added)} 个包", f"{len(added)} packages"), _total(added)))
    width = max((cell_len(name) for name, _ in rows), default=0)
    size_width = max((cell_len(size) for _, size in rows), default=0)
    for index, (name, size) in enumerate(rows):
        text = name + " " * (width - cell_len(name) + 2) + " " * (size_width - cell_len(size)) + size
        is_total = index == len(added)
        yield _line(" " if is_total else "+", text.rstrip(), "bold" if is_total else "green")
    if satisfied := dependencies.get("satisfied"):
        names = _COMMA.join(_satisfied(one) for one in satisfied)
        yield _line("=", say("已经具备：", "there already: ") + names, "dim")


def _satisfied(one: Told) -> str:
    name, version = readable(one.get("name")), readable(one.get("version"))
    return f"{name} ({version})" if version and version not in name else name


def _size(size: object) -> str:
    return size_text(size) if isinstance(size, int) else say("大小未知", "size unknown")


def _total(packages: Iterable[Told]) -> str:
    sizes = [one.get("size") for one in packages]
    known = sum(size for size in sizes if isinstance(size, int))
    return size_text(known) if all(isinstance(size, int) for size in sizes) else f"≥ {size_text(known)}"


def _name(one: object) -> str:
    return readable(one.get("id") if isinstance(one, Mapping) else one)


def _conflict(conflict: object) -> str:
    file = readable(conflict.get("file")) if isinstance(conflict, Mapping) else ""
    where = say(f"（{file}）", f" ({file})") if file else ""
    return say(
        f"{_name(conflict)} 已存在{where}，加上 --replace 才会覆盖",
        f"{_name(conflict)} is already there{where}; it is replaced with --replace only",
    )


def origin_lines(origins: Told) -> Iterator[RenderableType]:
    """From where to where."""
    for word, key in ((say("原来：", "so far: "), "recorded"), (say("现在：", "now:    "), "offered")):
        yield Hanging(f"    {word}", Text(place_of(origins.get(key))))


def _provides(provides: Told) -> Iterator[RenderableType]:
    for key, word in (
        ("methods", say("提供：", "provides: ")),
        ("supported_protocols", say("协议：", "protocols: ")),
    ):
        if names := provides.get(key):
            yield _line("·", word + _COMMA.join(map(readable, names)))
    fields = provides.get("config_schema") or []
    if fields:
        yield _line("·", say("配置：", "settings: ") + _COMMA.join(_field(one) for one in fields))


def _field(field: Told) -> str:
    required = say("（必填）", " (required)") if field.get("required") else ""
    return readable(field.get("name")) + required


def _verdict(plan: Told) -> Iterator[RenderableType]:
    error = plan.get("error")
    if error:
        told = error if isinstance(error, Mapping) else {"message": error}
        yield _line("✗", message_of(told), "red")
        if isinstance(error, Mapping):
            for block in load_error_lines(error):
                yield from _indented(block)
    yield Text(say("没有做任何更改", "Nothing was changed"), style="dim")


def _indented(block: RenderableType) -> Iterator[RenderableType]:
    """Each line of it below the text of the line before."""
    for line in block.split("\n") if isinstance(block, Text) else ():
        yield Hanging(Text.assemble(_INDENT, line[: len(_INDENT)]), line[len(_INDENT) :])


def _line(mark: str, text: str, style: str = "") -> RenderableType:
    """A mark, and a text whose further lines begin below its first."""
    return Hanging(
        Text(f"{_INDENT}{mark} ", style), Text(text, style if style in ("red", "dim", "bold") else "")
    )
