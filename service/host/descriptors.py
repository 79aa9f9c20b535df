"""How many files the server may have open: raised as far as it goes, and whether that is enough."""

from __future__ import annotations

import resource

from service.model.text import Text

# A worker's channel, its output and its pidfd.
PER_WORKER = 3
# Sockets of clients, the database, logs, and workers that overlap while one takes over from another.
_SPARE = 256


def raise_limit() -> int:
    """Raise the soft limit to the hard one.

    Returns:
        the limit that is in force.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def shortage(limit: int, plugins: int) -> Text | None:
    """What to raise when the limit does not do for so many plugins."""
    wanted = PER_WORKER * plugins + _SPARE
    if limit in (-1, resource.RLIM_INFINITY) or limit >= wanted:
        return None
    return Text(
        zh=f"打开文件数上限 {limit} 不足以运行 {plugins} 个插件（需要约 {wanted}）；请调大 ulimit -n 或 LimitNOFILE",
        en=f"The limit of {limit} open files is not enough for {plugins} plugins (about {wanted} are needed); "
        "raise `ulimit -n` or LimitNOFILE",
    )
