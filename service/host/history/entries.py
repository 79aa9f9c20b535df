"""The journal's files: one for each change that is under way, in `data/journal/`. Everything here blocks."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import structlog

from service.host import atomic
from service.host.history.changeset import Changeset
from service.model.actor import Actor
from service.model.text import Text

log = structlog.get_logger(__name__)

_VERSION = 1
_MODE = 0o600
_SUFFIX = ".json"
_ID = re.compile(r"[0-9a-f]{8,64}")
_FOLDER = "data/journal"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A change that is to be made whole or undone.

    Attributes:
        made: the folders below `plugins/` that are there for its sake only, the outer ones first.
        later: its folders move once `finish` is called, and not before it is recorded.
        by: the client that has it done.
    """

    version: int = _VERSION
    id: str
    at: str
    kind: str
    plugin: str | None
    summary: dict[str, Any]
    changeset: Changeset
    made: list[str] = []
    undoes: str | None = None
    later: bool = False
    by: Actor | None = None


class Entries:
    """See the module.

    Args:
        home: the server's home folder.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / _FOLDER

    def write(self, entry: Entry) -> None:
        """Put an entry down; durable when this returns.

        Raises:
            OSError
        """
        data = msgspec.json.encode(entry)
        if not self._folder.is_dir():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            atomic.sync_folder(self._folder.parent)
        atomic.write_now(self._path(entry.id), data, mode=_MODE)

    def remove(self, id: str) -> None:
        """Take an entry away; does nothing where there is none.

        Raises:
            OSError
        """
        try:
            os.unlink(self._path(id))
        except FileNotFoundError:
            return
        atomic.sync_folder(self._folder)

    def read(self) -> tuple[list[Entry], list[Text]]:
        """All entries, oldest first, and what is to be said of those that cannot be understood.

        These are renamed to `….corrupt`, never removed. Raises nothing.
        """
        entries: list[Entry] = []
        problems: list[Text] = []
        try:
            names = sorted(os.listdir(self._folder))
        except FileNotFoundError:
            return [], []
        except OSError as error:
            return [], [_unreadable(_FOLDER, error)]
        for name in names:
            path = self._folder / name
            if name.startswith(".") and name.endswith(atomic.TEMPORARY_SUFFIX):
                # It was not yet an entry when the process ended.
                with contextlib.suppress(OSError):
                    os.unlink(path)
            elif name.endswith(_SUFFIX):
                try:
                    entries.append(_checked(path.read_bytes(), name.removesuffix(_SUFFIX)))
                except OSError as error:
                    problems.append(self._set_aside(path, error.strerror or str(error)))
                except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                    problems.append(self._set_aside(path, str(error)))
        return entries, problems

    def _path(self, id: str) -> Path:
        return self._folder / f"{id}{_SUFFIX}"

    def _set_aside(self, path: Path, reason: str) -> Text:
        aside = path.with_name(f"{path.name}.corrupt")
        number = 1
        while os.path.lexists(aside):
            number += 1
            aside = path.with_name(f"{path.name}.corrupt-{number}")
        try:
            os.rename(path, aside)
        except OSError:
            aside = path
        log.error("history.entry_corrupt", entry=aside.name, reason=reason)
        shown = f"{_FOLDER}/{aside.name}"
        return Text(
            zh=f"未完成更改的日志 {shown} 无法读懂（{reason}），该更改没有被完成或撤销；"
            "请核对插件与配置，然后删除该文件",
            en=f"The journal entry {shown} of an unfinished change cannot be understood ({reason}), so the change was "
            "neither finished nor undone; look over the plugins and the configuration, then delete the file",
        )


def _checked(data: bytes, id: str) -> Entry:
    entry = msgspec.json.decode(data, type=Entry)
    if entry.version != _VERSION:
        raise ValueError(f"it is of version {entry.version}")
    if entry.id != id or not _ID.fullmatch(id):
        raise ValueError("its name is not its own")
    changeset = entry.changeset
    moves = [path for move in changeset.folders for path in (move.source, move.target)]
    for path in (*changeset.files, *entry.made, *moves):
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or "\0" in path or ".." in parts:
            raise ValueError(f"a path in it leads elsewhere: {path!r}")
    if any(not path.startswith("data/") for path in moves):
        raise ValueError("it moves what is no data folder")
    return entry


def _unreadable(shown: str, error: OSError) -> Text:
    reason = error.strerror or str(error)
    return Text(
        zh=f"无法读取 {shown}（{reason}），未完成的更改没有被完成或撤销；请检查其权限后重启",
        en=f"{shown} cannot be read ({reason}), so unfinished changes were neither finished nor undone; "
        "check its permissions and restart",
    )
