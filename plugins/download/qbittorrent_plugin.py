# /// script
# requires-python = ">=3.11"
# dependencies = ["aiohttp>=3.14", "yarl>=1.20", "qbittorrent-api>=2025.5"]
# ///
"""Hands torrents and magnet links over to a running qBittorrent, by its Web API."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.shared import external_program as external
from plugins.shared.lenient_values import as_bool, number_of, text_of
from service.sdk import ConfigField, DownloadPlugin, DownloadTask

if TYPE_CHECKING:
    import qbittorrentapi
    from qbittorrentapi import TorrentDictionary

DEFAULT_HOST = "http://127.0.0.1"
DEFAULT_PORT = 8080
SETTLE_POLLS = 50
SETTLE_POLL_S = 0.2
SIGN_IN_PAUSE_S = 60.0
ETA_UNKNOWN_S = 8_640_000

COMPLETED = "uploading pausedUP stoppedUP queuedUP stalledUP forcedUP".split()
PAUSED = "pausedDL stoppedDL".split()
FAILED = {
    "error": "qBittorrent reports an error; look for a full disk or missing rights to its folder, and into its log",
    "missingFiles": "its files are gone from their folder; put them back, or cancel it and start anew",
}


class QBittorrentPlugin(DownloadPlugin):
    """The external id is the torrent's hash as qBittorrent lists it; both of a hybrid torrent's find it."""

    name = "qbittorrent"
    version = "1.0.0"
    description = "用 qBittorrent 下载种子和磁力链接 · Downloads torrents and magnets with qBittorrent"
    supported_protocols = ["magnet", "torrent"]
    resumable = True  # a call that was cut finds what it has handed over already

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._client: qbittorrentapi.Client | None = None
        self._refused: tuple[float, str] | None = None

    def get_config_schema(self) -> list[ConfigField]:
        return [
            ConfigField(
                name="host",
                label="地址 · Address",
                default=DEFAULT_HOST,
                description="Web UI 的地址，可带端口和路径 · That of the Web UI; may have a port and a path",
            ),
            ConfigField(
                name="port",
                label="端口 · Port",
                type="number",
                description="留空：地址中的端口，否则 8080 · Empty: the one in the address, else 8080",
            ),
            ConfigField(name="username", label="用户名 · User name", default="admin"),
            ConfigField(name="password", label="密码 · Password", type="password"),
            ConfigField(
                name="save_path",
                label="保存文件夹 · Folder",
                description="留空：qBittorrent 在本机时用下载文件夹，否则用它自己的 · "
                "Empty: the downloads folder where qBittorrent runs on this machine, else its own",
            ),
            ConfigField(name="category", label="分类 · Category"),
            ConfigField(
                name="verify_certificate",
                label="检查证书 · Check the certificate",
                type="boolean",
                default=True,
                description="自签名证书时关闭 · Off for a self-signed one",
            ),
        ]

    @property
    def address(self) -> external.Address:
        """Where qBittorrent's Web UI listens."""
        host = text_of(self.config, "url", "host") or DEFAULT_HOST
        return external.Address.read(host, number_of(self.config, "port"), DEFAULT_PORT)

    def get_web_ui_url(self) -> str:
        return self.address.url

    async def download(self, task: DownloadTask) -> bool:
        source = await external.torrent_source(task.url)
        known = await asyncio.to_thread(self._known, source)
        if known is None:
            own = source.info_hash or source.info_hash_v2
            await task.checkpoint({"external_id": own})
            known = await external.whole_or_not(
                asyncio.to_thread(self._add, source), lambda: asyncio.to_thread(self.cancel, own)
            )
        task.external_id = known
        task.status = "downloading"
        self.log.info("%s is qBittorrent's %s", task.url, task.external_id)
        return True

    async def discard(self, task: DownloadTask) -> None:
        """Take back what was handed over by a call that did not come to its end."""
        if own := (task.resume or {}).get("external_id"):
            await asyncio.to_thread(self.cancel, str(own))

    def get_progress(self, id: str) -> dict[str, Any]:
        """How far qBittorrent is with it."""
        with self._asking() as client:
            found = self._find(client, id)
            if found is None:
                return external.missing("qBittorrent", self._is_starting(client))
            told = state_of(found)
            if told["status"] == "failed":
                told["error"] = f"{told['error']}{self._logged(client, found)}"
            return told

    def cancel(self, id: str) -> bool:
        """Take it out of qBittorrent, with its data unless that is complete."""
        with self._asking() as client:
            found = self._find(client, id)
            if found is None:
                return False
            if is_checking(found):  # until it is through, nobody knows whether it is complete
                self._wait(lambda: not is_checking(self._find(client, id)))
                found = self._find(client, id) or found
            is_unfinished = status_of(found) != "completed" and not is_checking(found)
            client.torrents_delete(delete_files=is_unfinished, torrent_hashes=found.hash)
            gone = self._wait(lambda: self._find(client, id) is None)
        content = str(found.get("content_path") or "")
        has_own_path = content.rstrip("/") not in ("", str(found.save_path).rstrip("/"))
        if is_unfinished and has_own_path and external.is_this_machine(self.address.host):
            # It removes the data a little later than the torrent.
            self._wait(lambda: not Path(content).exists())
        return gone

    def pause(self, id: str) -> bool:
        """Stop for now."""
        with self._asking() as client:
            found = self._find(client, id)
            if found is None:
                return False
            client.torrents_stop(torrent_hashes=found.hash)
            return True

    def resume(self, id: str) -> bool:
        """Go on."""
        with self._asking() as client:
            found = self._find(client, id)
            if found is None:
                return False
            client.torrents_start(torrent_hashes=found.hash)
            return True

    def get_downloads(self) -> list[dict[str, Any]]:
        """All that qBittorrent has, also what was added there."""
        with self._asking() as client:
            found = client.torrents_info()
        return [
            {
                "id": str(one.hash),
                "title": str(one.name),
                "url": str(one.magnet_uri),
                "category": str(one.category),
                **state_of(one),
            }
            for one in found
        ]

    def _known(self, source: external.TorrentSource) -> str | None:
        """The id of the torrent where qBittorrent has it already; it then goes on with it."""
        with self._asking() as client:
            known = self._find(client, *source.hashes)
            if known is None:
                return None
            if known.state == "missingFiles":
                client.torrents_recheck(torrent_hashes=known.hash)
            if status_of(known) in ("paused", "failed"):
                client.torrents_start(torrent_hashes=known.hash)
            return str(known.hash)

    def _add(self, source: external.TorrentSource) -> str:
        """The id of the torrent, which qBittorrent has by then."""
        address, ids = self.address, source.hashes
        with self._asking() as client:
            chosen = text_of(self.config, "save_path")
            folder = external.folder_for(chosen, address.host, self.downloads_dir)
            answer = client.torrents_add(
                urls=source.magnet or None,
                torrent_files=source.content or None,
                save_path=folder,
                category=text_of(self.config, "category") or None,
                use_auto_torrent_management=False if folder else None,
                is_stopped=False,
            )
            if answer == "Fails.":
                raise external.ProgramError(
                    f"qBittorrent at {address.url} does not take {source.name or ids[0]}; see whether it can read "
                    "the torrent, and its log"
                )
            # It answers before it has added anything.
            if not self._wait(lambda: self._find(client, *ids) is not None):
                raise external.ProgramError(
                    f"qBittorrent at {address.url} took {source.name or ids[0]} and does not list it; see its log"
                )
            added = self._find(client, *ids)
            return str(added.hash) if added is not None else ids[0]

    def _find(self, client: qbittorrentapi.Client, *ids: str) -> TorrentDictionary | None:
        """The torrent with one of these hashes, whole or as far as qBittorrent shows it."""
        wanted = {one.lower() for one in ids} | {one.lower()[:40] for one in ids}
        found = client.torrents_info(torrent_hashes=sorted(wanted))
        # It is only asked by its id; of a hybrid, that is the hash of version 2, which a link need not name.
        for one in found or client.torrents_info():
            known = (one.hash, one.get("infohash_v1"), one.get("infohash_v2"))
            if wanted & {str(each).lower() for each in known if each}:
                return one
        return None

    def _is_starting(self, client: qbittorrentapi.Client) -> bool:
        """Whether the oldest line of its log is from just now."""
        lines = client.log_main()
        if not lines:
            return False
        began_s = int(lines[0].timestamp)
        if began_s > 10**11:  # milliseconds in versions before 4.5
            began_s //= 1000
        return abs(time.time() - began_s) < external.STARTING_S

    def _logged(self, client: qbittorrentapi.Client, torrent: TorrentDictionary) -> str:
        """The last that its log says of a torrent."""
        lines = client.log_main(normal=False, info=False, warning=True, critical=True)
        said = [str(one.message) for one in lines if str(torrent.name) in str(one.message)]
        return f" ({said[-1]})" if said else ""

    def _wait(self, is_so: Callable[[], bool]) -> bool:
        for _ in range(SETTLE_POLLS):
            if is_so():
                return True
            time.sleep(SETTLE_POLL_S)
        return is_so()

    @contextmanager
    def _asking(self) -> Iterator[qbittorrentapi.Client]:
        """The client; what goes wrong becomes an error that says what to do."""
        # With the first call, so that the plugin loads in no time.
        import qbittorrentapi

        url = self.address.url
        if self._refused is not None and time.monotonic() < self._refused[0]:
            raise external.ProgramError(self._refused[1])
        try:
            yield self._connected(url)
        except qbittorrentapi.LoginFailed as error:
            message = f"qBittorrent at {url} refuses the user name or password; set username and password"
            # It bans an address after a few wrong passwords, and progress is asked for every second.
            self._refused = (time.monotonic() + SIGN_IN_PAUSE_S, message)
            raise external.ProgramError(message) from error
        except qbittorrentapi.Forbidden403Error as error:
            message = (
                f"qBittorrent at {url} has banned this machine for a while, after too many wrong passwords; "
                "correct username and password, then restart qBittorrent or wait for the ban to end"
            )
            self._refused = (time.monotonic() + SIGN_IN_PAUSE_S, message)
            raise external.ProgramError(message) from error
        except qbittorrentapi.Unauthorized401Error as error:
            raise external.ProgramError(
                f"qBittorrent at {url} refuses the address that it is called by; add {self.address.host} to the "
                "server domains in its Web UI settings"
            ) from error
        except qbittorrentapi.UnsupportedMediaType415Error as error:
            raise external.ProgramError("qBittorrent says that this is no valid torrent file") from error
        except qbittorrentapi.Conflict409Error as error:
            raise external.ProgramError(f"qBittorrent at {url} refuses: {error}") from error
        except qbittorrentapi.HTTPError as error:
            raise external.ProgramError(
                f"what answers at {url} is not qBittorrent's Web UI, or it fails ({type(error).__name__}); set "
                "host and port"
            ) from error
        except (qbittorrentapi.APIConnectionError, qbittorrentapi.APIError) as error:
            raise external.ProgramError(
                f"qBittorrent cannot be reached at {url}; start it, switch its Web UI on, or set host and port"
                + (", or verify_certificate off" if "SSL" in str(error) else "")
            ) from error

    def _connected(self, url: str) -> qbittorrentapi.Client:
        import qbittorrentapi

        with self._lock:
            if self._client is None:
                self._client = qbittorrentapi.Client(
                    host=url,
                    username=text_of(self.config, "username"),
                    password=text_of(self.config, "password"),
                    VERIFY_WEBUI_CERTIFICATE=as_bool(self.config.get("verify_certificate"), True),
                    FORCE_SCHEME_FROM_HOST=True,
                    REQUESTS_ARGS={"timeout": external.TIMEOUT_S / 2},  # it tries everything twice
                    DISABLE_LOGGING_DEBUG_OUTPUT=True,
                )
            return self._client


def is_checking(torrent: TorrentDictionary | None) -> bool:
    """Whether its data is just being checked."""
    return torrent is not None and str(torrent.state).startswith("checking")


def status_of(torrent: TorrentDictionary) -> str:
    """The status by the names of Plugbay; qBittorrent 5 says `stopped` where older ones say `paused`."""
    name = str(torrent.state)
    if name in COMPLETED or (name == "checkingUP" and torrent.progress == 1):
        return "completed"
    if name in FAILED:
        return "failed"
    return "paused" if name in PAUSED else "downloading"


def state_of(torrent: TorrentDictionary) -> dict[str, Any]:
    """What `get_progress` answers for it."""
    status = status_of(torrent)
    eta = int(torrent.eta)
    total = int(torrent.size)
    has_metadata = total > 0
    return external.state(
        status,
        downloaded=int(torrent.completed) if has_metadata else 0,
        total=total if has_metadata else None,
        speed=int(torrent.dlspeed),
        eta=eta if 0 < eta < ETA_UNKNOWN_S and status == "downloading" else None,
        save_path=str(torrent.get("content_path") or torrent.save_path) or None,
        error=FAILED.get(str(torrent.state)),
    )
