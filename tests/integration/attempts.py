"""A plugin that tries what it is told, inside its worker, and says what came of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.integration.live import Live, write

# Names that an attempt may use. What it gives is answered, or the name of the error's number.
PLUGIN = '''\
import asyncio, contextlib, ctypes, errno, json, os, pathlib, signal, socket, sqlite3, ssl, stat, subprocess, sys
import tempfile, threading, time, urllib.error, urllib.request, zoneinfo

from service.sdk import {cls}, SearchResult

SECRET = "kept in memory: " + "{name}"[::-1]
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def syscall(x86, arm, *arguments):
    """A system call by its numbers on x86_64 and aarch64."""
    number = x86 if os.uname().machine == "x86_64" else arm
    given = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result = libc.syscall(ctypes.c_long(number), *given)
    if result == -1:
        raise OSError(ctypes.get_errno(), "system call")
    return result


def in_child(call):
    """What a call gives in a process of its own, as the exit status of it."""
    pid = os.fork()
    if pid == 0:
        try:
            call()
            os._exit(0)
        except OSError as error:
            os._exit(error.errno)
        finally:
            os._exit(255)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status > 0:
        raise OSError(status, os.strerror(status))
    return status


def reads(path):
    with open(path, "rb") as file:
        return file.read(64).decode("latin-1")


def writes(path):
    with open(path, "ab") as file:
        return file.write(b"x")


class Trying({cls}):
    name = "{name}"
    version = "1"
    description = "tries"
    {more}

    def search(self, keyword, **kwargs):
        told = json.loads(keyword)
        scope = dict(globals(), plugin=self, **told["names"])
        try:
            exec(told.get("before", ""), scope)
            result = eval(told["attempt"], scope)
        except OSError as error:
            cause = error if error.errno is not None else getattr(error, "reason", error)
            result = errno.errorcode.get(getattr(cause, "errno", None), repr(error))
        except Exception as error:
            result = repr(error)
        return [SearchResult(title=str(result), url="")]
'''


def plugin(name: str, *, head: str = "", cls: str = "SearchPlugin", more: str = "") -> str:
    """The text of a plugin that tries."""
    return head + PLUGIN.format(name=name, cls=cls, more=more)


def asking(**wishes: Any) -> str:
    """The head of a plugin that asks for something."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in wishes.items()]
    return "\n".join(["# /// script", "# [tool.plugbay]", *(f"# {line}" for line in lines), "# ///", ""])


def put(home: Path, name: str, text: str) -> None:
    """Put a search plugin in place by hand."""
    write(home / f"plugins/search/{name}_plugin.py", text)


async def attempt(live: Live, name: str, what: str, before: str = "", **names: Any) -> str:
    """What came of an attempt in that plugin's worker."""
    return await live.answer(name, json.dumps({"attempt": what, "before": before, "names": names}))
