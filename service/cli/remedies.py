"""What to do about a refusal, in words of the command line: what the server says of it is for every kind of client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from service.cli.language import say
from service.client import ClientError

Problem = Mapping[str, Any]

# Members of a request, as the options and arguments that they come from.
_ARGUMENTS = {
    "file": "FILE",
    "filename": "FILE",
    "keyword": "WORDS",
    "limit": "--limit",
    "plugin_name": "T/NAME",
    "plugin_type": "--type",
    "plugins": "--plugin",
    "sha256": "--sha256",
    "title": "--title",
    "url": "URL",
}


def remedy_of(problem: Problem) -> str:
    """What to type instead; empty where the server's own words are enough."""
    code = str(problem.get("code") or "")
    remedy = _REMEDIES.get(code)
    if remedy is not None:
        return remedy(problem)
    argument = _ARGUMENTS.get(str(problem.get("field") or ""))
    if code == "request_invalid" and argument is not None:
        return say(f"对应的参数是 {argument}", f"On the command line that is {argument}")
    # Something in front of the server may ask for it in words of its own.
    return _TOKEN if problem.get("status") == 401 else ""


def words_of_failure(error: ClientError) -> str:
    """What an error says, and what to type where no server was reached."""
    return f"{error}{_UNREACHED.get(error.code, '')}"


def words_of(problem: Problem) -> str:
    """What is wrong, without what only a program that speaks HTTP can do about it."""
    code = str(problem.get("code") or "")
    own = _OWN_WORDS.get(code)
    if code == "origin_changed" and problem.get("offered"):
        own = say(
            f"现在由 {problem['offered']} 提供，此前是 {problem.get('recorded')}",
            f"It is served by {problem['offered']} now and was by {problem.get('recorded')}",
        )
    return own or str(problem.get("detail") or problem.get("title") or "")


def _plugin(problem: Problem) -> str:
    return str(problem.get("id") or "T/NAME")


_TOKEN = say(
    "用 --token 或 PLUGBAY_TOKEN 给出；在服务器的主目录中用 plugbay token show 查看",
    "Give it with --token or PLUGBAY_TOKEN; plugbay token show in the home of the server prints it",
)
_CHECK = say("；请检查 --url 或 PLUGBAY_URL", "; check --url or PLUGBAY_URL")
_UNREACHED = {
    "address_invalid": say("（--url 或 PLUGBAY_URL）", " (--url or PLUGBAY_URL)"),
    "connection_refused": say(
        "。\n用 plugbay serve 启动，或用 --url 或 PLUGBAY_URL 指定其他地址",
        ".\nStart one with: plugbay serve, or name another with --url or PLUGBAY_URL",
    ),
    "no_answer": _CHECK,
    "not_plugbay": _CHECK,
}
_REMEDIES: dict[str, Callable[[Problem], str]] = {
    "plugin_not_found": lambda _: say("用 plugbay list 查看全部插件", "plugbay list shows all plugins"),
    "plugin_exists": lambda _: say("加上 --replace 即可覆盖", "Add --replace to replace it"),
    "plugin_disabled": lambda problem: say(
        f"用 plugbay enable {_plugin(problem)} 启用", f"plugbay enable {_plugin(problem)} switches it on"
    ),
    "config_missing": lambda problem: say(
        f"用 plugbay config set {_plugin(problem)} {_assignments(problem)} 设置",
        f"Set it with: plugbay config set {_plugin(problem)} {_assignments(problem)}",
    ),
    "config_invalid": lambda _: say(
        "用 plugbay config get T/NAME 查看各项及其含义", "plugbay config get T/NAME shows the fields"
    ),
    "plugin_invalid": lambda _: _not_loaded(),
    "registry_unreachable": lambda _: say(
        "请检查服务器的网络；镜像由服务器环境中的 UV_DEFAULT_INDEX 指定；装过的依赖离线可用",
        "Check the network of the server; UV_DEFAULT_INDEX in its environment names a mirror. "
        "What was installed before needs no network",
    ),
    "dependencies_timeout": lambda _: say(
        "时限是服务器的设置 dependencies.timeout_s；已下载的不会再下载，可直接重试",
        "The limit is the setting dependencies.timeout_s of the server; try again: what has come is kept",
    ),
    "source_not_found": lambda _: say(
        "去掉 --path 即为插件自己的文件", "Without --path it is the plugin's own file"
    ),
    "name_changed": lambda _: say("用 plugbay install 另行安装", "Install it by itself with plugbay install"),
    "source_changed": lambda _: say(
        "先用 plugbay source T/NAME 取得现在的内容；去掉 --over 则直接覆盖",
        "Get what is there now with plugbay source T/NAME; without --over it is overwritten",
    ),
    "revision_not_found": lambda _: say(
        "用 plugbay revisions T/NAME 列出版本", "plugbay revisions T/NAME lists them"
    ),
    "locally_modified": lambda _: say(
        "加上 --replace 即可覆盖本地的修改；plugbay undo 可恢复",
        "Add --replace to give up what was edited here; plugbay undo brings it back",
    ),
    "origin_changed": lambda _: say(
        "确认可信后加上 --accept-origin", "Add --accept-origin if you trust where it comes from now"
    ),
    "no_origin": lambda _: say(
        "用 plugbay install URL --type T --replace 从新的地址安装",
        "Install it from an address with: plugbay install URL --type T --replace",
    ),
    "change_not_found": lambda _: say("用 plugbay history 列出更改", "plugbay history lists them"),
    "change_superseded": lambda _: say(
        "先撤销之后的更改（plugbay history）；若之后直接改过文件，用 plugbay rollback 回退到某个版本",
        "Undo what was done since first (plugbay history); after edits on disk, go back with plugbay rollback",
    ),
    "no_download_plugin": lambda _: say(
        "用 plugbay list 查看，plugbay enable 启用或 plugbay install 安装一个；或用 --plugin NAME 指定",
        "plugbay list shows those there are: enable or install one, or name one with --plugin NAME",
    ),
    "task_not_found": lambda _: say("用 plugbay tasks 列出任务", "plugbay tasks lists them"),
    "task_conflict": lambda _: say("用 plugbay tasks 查看任务状态", "plugbay tasks shows how tasks are"),
    "hash_mismatch": lambda _: say("请核对 --sha256 和来源", "Check --sha256 and where the file comes from"),
    "token_required": lambda _: _TOKEN,
    "token_wrong": lambda _: _TOKEN,
    "host_refused": lambda _: say(
        "在 --url 中改用 localhost，或把该名称加入服务器的设置 server.allowed_hosts",
        "Name localhost in --url, or add the name to the setting server.allowed_hosts of the server",
    ),
}
_OWN_WORDS = {
    "token_required": say("服务器要求访问令牌", "The server asks for its token"),
    "token_wrong": say("访问令牌不正确", "The token is wrong"),
    "no_download_plugin": say(
        "没有已启用的下载插件支持这个地址", "No enabled download plugin supports this address"
    ),
    "locally_modified": say(
        "安装后在本地被修改过，更新会覆盖这些修改",
        "It was edited since it was installed, and an update would replace that",
    ),
    "host_refused": say("服务器不接受 --url 中的主机名", "The server does not go by the host name in --url"),
}


def _not_loaded() -> str:
    """The command decides what can be done about a plugin that does not load."""
    context = click.get_current_context(silent=True)
    if context is not None and context.info_name in ("update", "rollback", "source", "undo"):
        return say("什么都没有改变，原来的代码继续服务", "Nothing was changed; what served before serves on")
    return say("安装时加上 --keep 可保留文件以便修改", "When installing, --keep keeps the file for editing")


def _assignments(problem: Problem) -> str:
    return " ".join(f"{name}=…" for name in problem.get("config_missing") or []) or "KEY=…"
