"""The errors that concern a plugin among others, and not its text."""

from __future__ import annotations

from service.host.generation import Generation, describe_exit
from service.host.plugin import Plugin
from service.model.identity import Identity
from service.model.plugin import LoadError, Stage
from service.model.text import Text


def identity_taken(identity: Identity, plugin: Plugin, holder: Plugin, number: int) -> LoadError:
    """Two files claim one name; the first keeps it."""
    return _error(
        "conflict",
        Text(
            zh=f"{plugin.file} 与 {holder.file} 都声明为 {identity}；请改名或删除其中一个",
            en=f"{plugin.file} and {holder.file} both claim to be {identity}; rename or delete one of them",
        ),
        plugin,
        number,
    )


def crash_loop(plugin: Plugin, generation: Generation, count: int, window_s: float) -> LoadError:
    """A worker ended too often."""
    how = describe_exit(generation.worker.exited.result(), generation.worker.ended_for)
    return _error(
        "crash_loop",
        Text(
            zh=f"插件进程在 {window_s:g} 秒内退出了 {count} 次（最近一次{how.zh}），已停止重启；"
            "修改文件或重新加载后再试",
            en=f"The plugin's process ended {count} times within {window_s:g} s (last: {how.en}) and is not started "
            "again; change the file or reload it to try once more",
        ),
        plugin,
        generation.number,
    )


def _error(code: str, text: Text, plugin: Plugin, number: int) -> LoadError:
    stage = Stage.CONTRACT if code == "conflict" else Stage.START
    return LoadError.of_server(stage, code, text, file=plugin.file, generation=number)
