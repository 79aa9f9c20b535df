"""Removes what aria2 leaves of a download that is cancelled: its interface has no call for that."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from plugins.shared.torrent_metainfo import MetainfoError, Torrent

FILE_EXISTS = "13"
TORRENT_MAX_BYTES = 10 * 1024 * 1024


def paths_of(download: dict[str, Any]) -> list[str]:
    """The paths of its files, as aria2 sees them; the metadata of a magnet link lies in no file."""
    listed = [str(one["path"]) for one in download.get("files", [])]
    return [path for path in listed if path and not path.startswith("[METADATA]")]


def remove_unfinished(download: dict[str, Any]) -> list[str]:
    """Remove the data of an unfinished download, with aria2's own files beside it. Blocks.

    aria2 writes `NAME.aria2` beside what it has begun. Where there is none, the files are somebody else's, unless they
    come from a server that named no length, for which aria2 writes none.

    Args:
        download: what `tellStatus` says, with `files`, from when it was not yet removed.

    Returns:
        the paths that could not be removed.
    """
    folder, paths = Path(download["dir"]), [Path(path) for path in paths_of(download)]
    if download.get("errorCode") == FILE_EXISTS or not paths:
        return []
    if not all(path.is_absolute() for path in (folder, *paths)):
        return [str(path) for path in paths]  # relative to wherever aria2 was started
    if not all(path.is_relative_to(folder) and ".." not in path.parts for path in paths):
        return [str(path) for path in paths]
    torrent = download.get("bittorrent", {})
    name = torrent.get("info", {}).get("name")
    top = folder / name if torrent.get("mode") == "multi" and name else paths[0]
    control = top.with_name(f"{top.name}.aria2")
    kept: list[str] = []
    has_no_length = not torrent and int(download["totalLength"]) == 0
    if control.is_file() or has_no_length:
        kept = [str(path) for path in (*paths, control) if not _removed(path)]
        if top != paths[0]:
            _remove_empty(top)
    if torrent:
        _remove_saved_torrent(folder, str(download.get("infoHash", "")).lower())
    return kept


def _removed(path: Path) -> bool:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _remove_empty(top: Path) -> None:
    """Remove the folders that have become empty, the deepest first."""
    folders = [top, *(path for path in top.rglob("*") if path.is_dir() and not path.is_symlink())]
    for path in sorted(folders, key=lambda one: len(one.parts), reverse=True):
        try:
            path.rmdir()
        except OSError:  # something is in it that is not the download's
            continue


def _remove_saved_torrent(folder: Path, info_hash: str) -> None:
    """Remove the copy that aria2 made of a torrent that it was sent, named by its SHA-1."""
    for path in folder.glob("*.torrent"):
        if not re.fullmatch(r"[0-9a-f]{40}", path.stem) or path.stat().st_size > TORRENT_MAX_BYTES:
            continue
        content = path.read_bytes()
        if hashlib.sha1(content, usedforsecurity=False).hexdigest() != path.stem:
            continue
        try:
            if Torrent.read(content).info_hash == info_hash:
                path.unlink(missing_ok=True)
        except (MetainfoError, OSError):
            continue
