"""Where a granted folder really is: never somewhere that a plugin chose, and never among what is the server's.

A plugin can put a link where it may write. Were that link on the way to a folder that is granted, to it or to another,
the grant would be for whatever the link leads to. So the way there is gone step by step; links that people have made
are followed, those that plugins may have made are not. What comes of it has no link in it, and the plugin's process
opens it as that (see `service.worker.confinement.landlock`), so that none can be put there meanwhile.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

_LINKS_MAX = 40


class PlantedLink(Exception):
    """On the way to a folder there is a link that a plugin may have made."""


class GrantedFolders:
    """See the module. Reads the disk.

    Args:
        home: the server's home.
        downloads_dir: where plugins download to.
        server: folders of the server's own code and packages.
        plugin_user: the user that plugins run as, `None` where that is the server's own.
    """

    def __init__(
        self, home: Path, downloads_dir: Path, server: Iterable[Path], plugin_user: int | None
    ) -> None:
        real = Path(os.path.realpath(home))
        self._downloads_dir = Path(os.path.realpath(downloads_dir))
        state = (real / name for name in ("config", "plugins", "data"))
        self._state = tuple(Path(os.path.realpath(one)) for one in state)
        self._server = tuple(Path(os.path.realpath(one)) for one in server)
        self._plugin_user = plugin_user
        # All that any plugin may write to, as far as it is known here.
        self._writable = {self._downloads_dir, *self._state[2:]}

    def real(self, folder: Path) -> Path:
        """Where a folder is, with no link on the way; it need not be there yet.

        Args:
            folder: absolute.

        Raises:
            PlantedLink
        """
        left = list(reversed(folder.parts[1:]))
        done = Path("/")
        links = 0
        while left:
            name = left.pop()
            if name == "..":
                done = done.parent
                continue
            here = done / name
            try:
                seen = os.lstat(here)
            except OSError:
                seen = None
            if seen is None or not stat.S_ISLNK(seen.st_mode):
                done = here
                continue
            links += 1
            if links > _LINKS_MAX or self._may_be_planted(here, seen.st_uid):
                raise PlantedLink(str(here))
            target = Path(os.readlink(here))
            if target.is_absolute():
                done = Path("/")
            left += reversed([part for part in target.parts if part != "/"])
        return done

    def note_writable(self, folders: Iterable[Path]) -> None:
        """Take note that a plugin may write to these real folders."""
        self._writable.update(folders)

    def open_to_plugins(self, folder: Path, *, to_write: bool) -> Iterator[Path]:
        """What of a real folder may be granted: it, or all in it but what is the server's.

        Args:
            folder: as `real` gives it.
            to_write: whether it is granted to be written to: then the server's code is none of it, too.
        """
        if folder.is_relative_to(self._downloads_dir):
            yield folder
            return
        yield from _around(folder, (*self._state, *self._server) if to_write else self._state)

    def _may_be_planted(self, link: Path, owner: int) -> bool:
        if self._plugin_user is not None:
            return owner == self._plugin_user
        return any(link.is_relative_to(folder) and link != folder for folder in self._writable)


def _around(folder: Path, kept_out: tuple[Path, ...]) -> Iterator[Path]:
    if any(folder.is_relative_to(one) for one in kept_out):
        return
    if not any(one.is_relative_to(folder) for one in kept_out):
        yield folder
        return
    try:
        inside = sorted(folder.iterdir())
    except OSError:
        return
    for one in inside:
        if not one.is_symlink():
            yield from _around(one, kept_out)
