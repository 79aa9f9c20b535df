"""`plugbay source`, `revisions`, `diff` and `rollback`: a plugin's text, what it was before, and back to that."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from service.cli.arguments import PLUGIN_ID, SHORT_REVISION, complete_file, complete_revision
from service.cli.command import over_api
from service.cli.language import say
from service.cli.listing import Listing
from service.cli.output import Output, clock, state_text
from service.cli.plan import place_of
from service.cli.progress import installing
from service.cli.task_text import readable
from service.client import Client, ClientError
from service.client.shapes import RevisionFile

STANDARD_STREAM = "-"
_VERSION_MAX_CHARS = 20

_DIFF_STYLES = {"+++": "bold", "---": "bold", "@@": "cyan", "+": "green", "-": "red"}


@click.command(
    short_help=say("输出或写回插件的源代码", "Print the source of a plugin, or put it back."),
    help=say(
        "输出插件的源代码，或用 --put 写回。\n\n"
        "\b\nplugbay source T/NAME > file.py\nplugbay source T/NAME --put file.py\n\n"
        "写回时先加载：加载失败则不写入，原来的代码继续服务",
        "Print the source of a plugin, or put it back.\n\n"
        "\b\nplugbay source T/NAME > file.py\nplugbay source T/NAME --put file.py\n\n"
        "What is put back is loaded first: if that fails, nothing is written and the old code serves on.",
    ),
)
@click.argument("plugin", metavar="T/NAME", type=PLUGIN_ID)
@click.option(
    "--put",
    "file",
    metavar="FILE",
    shell_complete=complete_file,
    help=say("写回此文件（- 为标准输入）", "Put this file back, - for standard input."),
)
@click.option(
    "--path",
    metavar="PATH",
    help=say("插件包内的其他文件（相对路径）", "Another file of its package, by its relative path."),
)
@click.option(
    "--revision",
    metavar="REV",
    shell_complete=complete_revision,
    help=say("输出此版本", "Print this revision of it."),
)
@click.option(
    "--over",
    metavar="SHA256",
    help=say("仅当现有内容的哈希为此值时写回", "Put it back only over the content with this hash."),
)
@over_api
async def source(
    client: Client,
    output: Output,
    *,
    plugin: tuple[str, str],
    file: str | None,
    path: str | None,
    revision: str | None,
    over: str | None,
) -> None:
    """The bytes as they are, and nothing else, to standard output."""
    if file is not None:
        if revision is not None:
            raise click.UsageError(
                say("--put 与 --revision 不能同时给出", "--put and --revision do not go together")
            )
        await _put(client, output, plugin, file, path, over)
        return
    if over is not None:
        raise click.UsageError(say("--over 只与 --put 一起使用", "--over goes with --put"))
    if revision is not None:
        told = await client.revision(*plugin, revision)
        one = _file_of(told.get("files") or [], path, await client.plugin(*plugin))
        if output.as_json:
            output.json({"revision": told.get("revision"), **one})
        else:
            await asyncio.to_thread(_write, str(one.get("text", "")).encode("utf-8", "replace"))
        return
    content, sha256 = await client.source(*plugin, path)
    if output.as_json:
        output.json({"path": path, "sha256": sha256, "text": content.decode("utf-8", "replace")})
    else:
        await asyncio.to_thread(_write, content)


async def _put(
    client: Client, output: Output, plugin: tuple[str, str], file: str, path: str | None, over: str | None
) -> None:
    content = await asyncio.to_thread(_read, file)
    name = "/".join(plugin)
    action = client.put_source(*plugin, content, path=path, over=over)
    answer = await installing(
        client, output, say(f"正在加载 {name}…", f"Loading {name}…"), action, plugin=name
    )
    output.answer(answer, serving_line(answer))


@click.command(
    help=say("列出插件服务过的版本，新的在前", "List the revisions that have served, newest first.")
)
@click.argument("plugin", metavar="T/NAME", type=PLUGIN_ID)
@over_api
async def revisions(client: Client, output: Output, *, plugin: tuple[str, str]) -> None:
    """A row a revision; the one that the files hold is marked."""
    listed = await client.revisions(*plugin)
    if output.as_json:
        output.json({"revisions": listed})
        return
    if not listed:
        output.console.print(say("还没有服务过的版本", "No revision of it has served yet"))
        return
    heads = [
        "",
        say("版本", "revision"),
        say("插件版本", "version"),
        say("服务于", "served"),
        say("来源", "from"),
    ]
    rows = [
        [
            Text("●" if one.get("current") else "", style="green"),
            Text(str(one["revision"])[:SHORT_REVISION]),
            Text(readable(one.get("version"))[:_VERSION_MAX_CHARS]),
            Text(clock(one.get("at"))),
            Text(place_of(one.get("origin")), style="dim"),
        ]
        for one in listed
    ]
    output.console.print(Listing(heads, rows, elastic=len(heads) - 1))


@click.command(
    short_help=say("比较插件的两个版本", "Compare two revisions of a plugin."),
    help=say(
        "比较版本 A 与版本 B。默认 B 为文件现在的内容，A 为 rollback 会回到的版本",
        "Compare revision A with B. By default B is what the files hold now, and A what rollback would go back to.",
    ),
)
@click.argument("plugin", metavar="T/NAME", type=PLUGIN_ID)
@click.argument("old", metavar="[A]", required=False, shell_complete=complete_revision)
@click.argument("new", metavar="[B]", required=False, shell_complete=complete_revision)
@over_api
async def diff(
    client: Client, output: Output, *, plugin: tuple[str, str], old: str | None, new: str | None
) -> None:
    """As `diff -u` has it, in colour where somebody looks."""
    old = old or await _before(client, plugin)
    answer = await client.diff(*plugin, old, new)
    if output.as_json:
        output.json(answer)
        return
    text = str(answer.get("diff") or "")
    if not text:
        output.note(say("没有区别", "There is no difference"))
        return
    for line in text.splitlines():
        style = next((style for mark, style in _DIFF_STYLES.items() if line.startswith(mark)), "")
        output.console.print(Text(line, style=style), soft_wrap=True)


@click.command(
    short_help=say("回到插件的旧版本", "Go back to an earlier revision."),
    help=say(
        "\b\n回到插件的旧版本；默认为此前服务的那一个，\n文件损坏时则为最后服务的那一个。\n"
        "版本见 plugbay revisions，写出开头至少 6 位即可",
        "Go back to an earlier revision of a plugin; without one, to that which served before, or where the file is "
        "broken to that which last served. plugbay revisions lists them; the first 6 digits of one will do.",
    ),
)
@click.argument("plugin", metavar="T/NAME", type=PLUGIN_ID)
@click.argument("revision", metavar="[REVISION]", required=False, shell_complete=complete_revision)
@over_api
async def rollback(client: Client, output: Output, *, plugin: tuple[str, str], revision: str | None) -> None:
    """Puts it in place, and says what serves then."""
    name = "/".join(plugin)
    revision = revision or await _before(client, plugin)
    text = say(f"正在回退 {name}…", f"Going back with {name}…")
    answer = await installing(client, output, text, client.roll_back(*plugin, revision), plugin=name)
    output.answer(answer, serving_line(answer))


async def _before(client: Client, plugin: tuple[str, str]) -> str:
    """The revision to go back to: of a plugin whose file does not load the last that served, else the one before."""
    view, listed = await asyncio.gather(client.plugin(*plugin), client.revisions(*plugin))
    is_broken = view.get("state") in ("degraded", "failed")
    for one in listed:
        if is_broken or not one.get("current"):
            return str(one["revision"])
    name = "/".join(plugin)
    raise ClientError(
        say(
            f"{name} 没有更早的版本；见 plugbay revisions {name}",
            f"{name} has no earlier revision; see plugbay revisions {name}",
        )
    )


def serving_line(plugin: Mapping[str, Any]) -> Text:
    """`search/demo 1.2.0  active  revision 0123456789ab`."""
    line = Text.assemble(f"{plugin.get('id')} {readable(plugin.get('version'))}  ", state_text(plugin))
    if revision := plugin.get("revision"):
        line.append(say("  版本 ", "  revision ") + str(revision)[:SHORT_REVISION], "dim")
    return line


def _file_of(files: Sequence[RevisionFile], path: str | None, plugin: Mapping[str, Any]) -> RevisionFile:
    """The file of a revision that is asked for, or the plugin's own."""
    own = str(plugin.get("file") or "")
    wanted = [own, f"{own}/__init__.py"] if path is None else [path, f"{own}/{path}", f"plugins/{path}"]
    for one in files:
        if one.get("path") in wanted:
            return one
    if path is None and len(files) == 1:
        return files[0]
    names = say("、", ", ").join(str(one.get("path")) for one in files)
    raise ClientError(
        say(
            f"该版本有这些文件：{names}；用 --path 指定",
            f"The revision has these files: {names}; name one with --path",
        )
    )


def _read(file: str) -> bytes:
    try:
        if file == STANDARD_STREAM:
            return sys.stdin.buffer.read()
        return Path(file).expanduser().read_bytes()
    except OSError as error:
        raise click.BadParameter(
            say(f"无法读取 {file}，请检查路径和权限", f"{file} cannot be read: {error.strerror}"),
            param_hint="--put",
        ) from error


def _write(content: bytes) -> None:
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
