"""Data folders of plugins that are being tried: what is noted here goes at the next start, should nothing come of it.

Loading a plugin that is not in place yet makes its data folder. A process that is killed in the middle of that must not
leave one, with what the plugin wrote into it, for a plugin that never was.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path

import structlog

from service.host import atomic
from service.host.files.sources import PLUGIN_SUFFIX
from service.host.threads import writing

log = structlog.get_logger(__name__)

_SUFFIX = ".folder"
_DATA = ("data", "plugins")
_MODE = 0o600


class Provisional:
    """See the module.

    Args:
        home: the server's home folder.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._notes = home / "data" / "journal"

    async def note(self, folder: Path) -> None:
        """A data folder that is not there yet may be made. Where the disk refuses that, it goes without."""

        def note() -> None:
            self._notes.mkdir(mode=0o700, parents=True, exist_ok=True)
            atomic.write_now(self._note(folder), os.fsencode(self._shown(folder)), mode=_MODE)

        try:
            await writing(note)
        except OSError as error:
            log.warning("history.folder_not_noted", folder=folder.name, reason=str(error))

    async def forget(self, folder: Path) -> None:
        """It is gone again, or its plugin has come to be."""

        def forget() -> None:
            with contextlib.suppress(OSError):
                os.unlink(self._note(folder))

        await writing(forget)

    async def recover(self) -> None:
        """At start, once changes are finished or undone: remove the folders whose plugin is not there."""
        await writing(self._recover)

    def _recover(self) -> None:
        for note in self._notes.glob(f"*{_SUFFIX}"):
            with contextlib.suppress(OSError):
                parts = os.fsdecode(note.read_bytes()).split("/")
                if len(parts) == 4 and (*parts[:2],) == _DATA and not {"", ".", ".."} & set(parts):
                    plugin = self._home / "plugins" / parts[2] / f"{parts[3]}{PLUGIN_SUFFIX}"
                    if not plugin.exists() and not plugin.with_name(f"{plugin.name}.py").exists():
                        shutil.rmtree(self._home.joinpath(*parts), ignore_errors=True)
                os.unlink(note)

    def _note(self, folder: Path) -> Path:
        return self._notes / f"{hashlib.sha256(os.fsencode(self._shown(folder))).hexdigest()}{_SUFFIX}"

    def _shown(self, folder: Path) -> str:
        return folder.relative_to(self._home).as_posix()
