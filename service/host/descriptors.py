"""How many files the server may have open: raised as far as it goes, and whether that is enough."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from service.model.text import Text

# A worker's channel, its output and its pidfd.
PER_WORKER = 3
# Sockets of clients, the database, logs, and workers that overlap while one takes over from another.
_SPARE = 256


class Spare:
    """One descriptor that is kept for who must not fail for want of one, such as who watches over plugins.

    Not for use by several threads.
    """

    def __init__(self) -> None:
        self._fd: int | None = None
        self._take()

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Within the block there is one to be had, unless another thread is quicker."""
        self.close()
        try:
            yield
        finally:
            self._take()

    def close(self) -> None:
        """Keep none; calling it twice is safe."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _take(self) -> None:
        with suppress(OSError):
            self._fd = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)


def raise_limit() -> int:
    """Raise the soft limit to the hard one.

    Returns:
        the limit that is in force.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def state(plugins: int) -> Text | None:
    """What is wrong with the number of files that the server may have open now: none is left, or they are too few.

    Args:
        plugins: how many there are.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    try:
        os.close(os.dup(2))
    except OSError:
        return Text(
            zh=f"打开文件数已达上限 {limit}：新连接需等待，插件无法重新加载，已有的连接和插件不受影响；"
            "请调大 ulimit -n 或 LimitNOFILE，或断开一些客户端",
            en=f"All of the {limit} files that the server may have open are in use: new connections wait and plugins "
            "cannot be loaded, what is there goes on. Raise `ulimit -n` or LimitNOFILE, or have fewer clients",
        )
    return shortage(limit, plugins)


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
