"""What the plugins share that hand downloads over to another program: addresses, settings, torrents and progress."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from plugins.shared.torrent_fetch import fetch_torrent
from plugins.shared.torrent_metainfo import Magnet, Torrent, is_magnet

TIMEOUT_S = 10.0
# A program answers before it has read what it had when it was stopped; what is missing by then may yet come.
STARTING_S = 60.0
LIST_MAX = 1000
_T = TypeVar("_T")


class ProgramError(RuntimeError):
    """The other program cannot be reached, or refuses; the message says which setting or action mends it."""


@dataclass(frozen=True)
class Address:
    """Where a program listens.

    Args:
        scheme: `http` or `https`.
        host: a name or an IP address, IPv6 without brackets.
        port: its port.
        path: what is before its own paths, without a slash at the end.
    """

    scheme: str
    host: str
    port: int
    path: str = ""

    @classmethod
    def read(cls, host: str, port: int | None, default_port: int, https: bool = False) -> Address:
        """Put together what people enter: `nas`, `nas:8081`, `::1`, `https://nas.example.org/qb/`.

        A port in the address counts before `port`; where there is neither, an `https://` address means 443.

        Raises:
            ValueError: it is no address.
        """
        text = host.strip().rstrip("/")
        named_scheme = "://" in text
        if not named_scheme:
            if text.count(":") > 1 and not text.startswith("["):
                text = f"[{text}]"
            text = f"{'https' if https else 'http'}://{text}"
        try:
            parts = urlsplit(text)
            own_port = parts.port
        except ValueError as error:
            raise ValueError(f"{host} is no address: {error}") from error
        scheme = parts.scheme.lower()
        if scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"{host} is no address of a program; write it like http://127.0.0.1:{default_port}"
            )
        fallback = 443 if named_scheme and scheme == "https" else default_port
        return cls(scheme, parts.hostname, own_port or port or fallback, parts.path.rstrip("/"))

    @property
    def url(self) -> str:
        """The address as a URL, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def is_this_machine(host: str) -> bool:
    """Whether the host is a loopback name or address, so that the program sees the same folders."""
    name = host.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def folder_for(chosen: str, host: str, downloads_dir: Path) -> str | None:
    """Where the program shall save: the chosen folder, else the downloads folder if it runs on this machine.

    None leaves it to the program. The folder is made where it is ours.
    """
    if chosen:
        return chosen
    if not is_this_machine(host):
        return None
    folder = downloads_dir.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


@dataclass(frozen=True)
class TorrentSource:
    """A torrent to hand over: its magnet link, or the bytes of its file.

    Args:
        magnet: the link, empty where there is a file.
        content: the file, empty where there is a link.
        info_hash: SHA-1 in hexadecimal; empty where it is of version 2 only, or only that hash is known.
        info_hash_v2: SHA-256 in hexadecimal, likewise.
    """

    name: str
    magnet: str
    content: bytes
    info_hash: str
    info_hash_v2: str

    @property
    def hashes(self) -> list[str]:
        """Both hashes, as far as it has them; never empty."""
        return [one for one in (self.info_hash, self.info_hash_v2) if one]


async def whole_or_not(adding: Coroutine[Any, Any, _T], undo: Callable[[], Awaitable[Any]]) -> _T:
    """Hand something over; where that is cancelled midway, see it through first and take it back then."""
    job = asyncio.ensure_future(adding)
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        await asyncio.wait([job])
        if job.exception() is None:
            await undo()
        raise


async def torrent_source(url: str) -> TorrentSource:
    """The torrent behind a magnet link or the address of a `.torrent` file, which is fetched here.

    So the program needs no way to that address, and what is wrong with the file is said at once.

    Raises:
        ValueError: there is no torrent behind it.
        FetchError: it could not be fetched.
    """
    found = url.strip() if is_magnet(url) else await fetch_torrent(url.strip(), timeout_s=TIMEOUT_S)
    if isinstance(found, str):
        magnet = Magnet.read(found)
        return TorrentSource(magnet.name, found, b"", magnet.info_hash, magnet.info_hash_v2)
    torrent = await asyncio.to_thread(Torrent.read, found)
    return TorrentSource(torrent.name, "", found, torrent.info_hash, torrent.info_hash_v2)


def missing(program: str, is_starting: bool) -> dict[str, Any]:
    """What `get_progress` answers for a download that the program does not have, or not yet."""
    if is_starting:
        return {"status": "downloading"}
    return state("cancelled", error=f"{program} no longer has it: it was removed there")


def state(
    status: str,
    *,
    downloaded: int = 0,
    total: int | None = None,
    speed: float | None = None,
    eta: float | None = None,
    save_path: str | None = None,
    error: str | None = None,
) -> dict[str, Any]:
    """What `get_progress` answers; the progress and, where the program tells none, the time left follow from the rest.

    Args:
        status: `downloading`, `paused`, `completed`, `failed` or `cancelled`.
        downloaded: bytes so far.
        total: bytes in all, None or 0 while nobody knows.
        speed: bytes a second.
        eta: seconds left.
        save_path: where it lies, as the program sees it.
        error: why it failed.
    """
    if status == "completed":
        progress, eta = 100.0, 0.0
        downloaded = max(downloaded, total or 0)
    else:
        # Rounded down, so that 100 is said of nothing that is unfinished.
        progress = min(int(10_000 * downloaded / total) / 100, 99.99) if total else 0.0
    if eta is None and status == "downloading" and speed and total:
        eta = round((total - downloaded) / speed)
    return {
        "status": status,
        "progress": progress,
        "downloaded": downloaded,
        "total": total or None,
        "speed": speed if status == "downloading" else 0,
        "eta": eta,
        "save_path": save_path,
        "error": error,
    }
