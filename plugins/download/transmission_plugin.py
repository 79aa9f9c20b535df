# /// script
# requires-python = ">=3.11"
# dependencies = ["aiohttp>=3.14", "yarl>=1.20", "transmission-rpc>=7.0.11"]
# ///
"""Hands torrents and magnet links over to a running Transmission, by its RPC interface."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from plugins.shared import external_program as external
from plugins.shared.lenient_values import as_bool, number_of, text_of
from service.sdk import ConfigField, DownloadPlugin, DownloadTask

if TYPE_CHECKING:
    import transmission_rpc

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 9091
DEFAULT_PATH = "/transmission/rpc"
LABELS_AT_ADDING = 17
LABELS_AT_ALL = 16
LOCAL_ERROR = 3
CHECK_POLLS = 50
CHECK_POLL_S = 0.2
STOPPED, CHECK_WAITS, CHECKING = 0, 1, 2
FIELDS = (
    "id hashString name status error errorString percentDone metadataPercentComplete leftUntilDone sizeWhenDone "
    "rateDownload eta downloadDir magnetLink"
).split()


class TransmissionPlugin(DownloadPlugin):
    """The external id is the torrent's info-hash in hexadecimal."""

    name = "transmission"
    version = "1.0.0"
    description = "用 Transmission 下载种子和磁力链接 · Downloads torrents and magnets with Transmission"
    supported_protocols = ["magnet", "torrent"]
    resumable = True  # a call that was cut finds what it has handed over already

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._client: transmission_rpc.Client | None = None

    def get_config_schema(self) -> list[ConfigField]:
        return [
            ConfigField(
                name="host",
                label="地址 · Address",
                default=DEFAULT_HOST,
                description="主机名或地址，可带端口 · A name or address; may have a port",
            ),
            ConfigField(
                name="port",
                label="端口 · Port",
                type="number",
                description="留空：地址中的端口，否则 9091 · Empty: the one in the address, else 9091",
            ),
            ConfigField(name="path", label="RPC 路径 · RPC path", default=DEFAULT_PATH),
            ConfigField(name="https", label="HTTPS", type="boolean", default=False),
            ConfigField(name="username", label="用户名 · User name"),
            ConfigField(name="password", label="密码 · Password", type="password"),
            ConfigField(
                name="download_dir",
                label="保存文件夹 · Folder",
                description="留空：Transmission 在本机时用下载文件夹，否则用它自己的 · "
                "Empty: the downloads folder where Transmission runs on this machine, else its own",
            ),
            ConfigField(
                name="labels",
                label="标签 · Labels",
                description="用逗号分隔 · Separated by commas",
            ),
        ]

    @property
    def address(self) -> external.Address:
        """Where Transmission's RPC interface listens."""
        host = text_of(self.config, "url", "host") or DEFAULT_HOST
        port, https = number_of(self.config, "port"), as_bool(self.config.get("https"), False)
        return external.Address.read(host, port, DEFAULT_PORT, https)

    @property
    def path(self) -> str:
        """The path of the RPC interface: the one in the address, else the configured one."""
        path = self.address.path or text_of(self.config, "path") or DEFAULT_PATH
        path = "/" + path.strip("/")
        if path.endswith("/transmission"):
            return f"{path}/rpc"
        return path.removesuffix("/web") + "/rpc" if path.endswith("/web") else path

    @property
    def rpc_url(self) -> str:
        """The address for people, without the password."""
        address = self.address
        return f"{external.Address(address.scheme, address.host, address.port).url}{self.path}"

    def get_web_ui_url(self) -> str:
        return f"{self.rpc_url.removesuffix('/rpc')}/web/"

    async def download(self, task: DownloadTask) -> bool:
        source = await external.torrent_source(task.url)
        if not source.info_hash:
            raise ValueError(
                "Transmission does not know torrents of version 2 only; use another program for this one"
            )
        own = source.info_hash
        if not await asyncio.to_thread(self._is_known, own):
            await task.checkpoint({"external_id": own})
            await external.whole_or_not(
                asyncio.to_thread(self._add, source), lambda: asyncio.to_thread(self.cancel, own)
            )
        task.external_id = own
        task.status = "downloading"
        self.log.info("%s is Transmission's %s", task.url, task.external_id)
        return True

    async def discard(self, task: DownloadTask) -> None:
        """Take back what was handed over by a call that did not come to its end."""
        if own := (task.resume or {}).get("external_id"):
            await asyncio.to_thread(self.cancel, str(own))

    def get_progress(self, id: str) -> dict[str, Any]:
        """How far Transmission is with it."""
        with self._asking() as client:
            found = self._find(client, id)
            if found is None:
                active_s = client.session_stats().current_stats.seconds_active
                return external.missing("Transmission", active_s < external.STARTING_S)
        return state_of(found)

    def cancel(self, id: str) -> bool:
        """Take it out of Transmission, with its data unless that is complete."""
        with self._asking() as client:
            found = self._find(client, id)
            if found is None:
                return False
            for _ in range(CHECK_POLLS):  # while it is being checked nobody knows whether it is complete
                if not is_checking(found):
                    break
                time.sleep(CHECK_POLL_S)
                found = self._find(client, id) or found
            is_unfinished = not is_complete(found) and not is_checking(found)
            client.remove_torrent(found.hash_string, delete_data=is_unfinished)
        return True

    def pause(self, id: str) -> bool:
        """Stop for now."""
        with self._asking() as client:
            found = self._find(client, id)
            if found is None:
                return False
            client.stop_torrent(found.hash_string)
        return True

    def resume(self, id: str) -> bool:
        """Go on."""
        with self._asking() as client:
            found = self._find(client, id)
            if found is None:
                return False
            client.start_torrent(found.hash_string)
        return True

    def get_downloads(self) -> list[dict[str, Any]]:
        """All that Transmission has, also what was added there."""
        with self._asking() as client:
            found = client.get_torrents(arguments=FIELDS)
        return [
            {
                "id": str(one.hash_string),
                "title": str(one.fields["name"]),
                "url": str(one.fields["magnetLink"]),
                **state_of(one),
            }
            for one in found
        ]

    def _is_known(self, id: str) -> bool:
        """Whether Transmission has the torrent already; it then goes on with it."""
        with self._asking() as client:
            known = self._find(client, id)
            if known is not None and known.fields["status"] == STOPPED and not is_complete(known):
                client.start_torrent(known.hash_string)
        return known is not None

    def _add(self, source: external.TorrentSource) -> None:
        chosen = text_of(self.config, "download_dir", "save_path")
        labels = [one.strip() for one in text_of(self.config, "labels").split(",") if one.strip()]
        with self._asking() as client:
            folder = external.folder_for(chosen, self.address.host, self.downloads_dir)
            version = client.get_session().rpc_version if labels else 0
            added = client.add_torrent(
                source.content or source.magnet,
                download_dir=folder,
                paused=False,
                labels=labels if version >= LABELS_AT_ADDING else None,
            )
            if LABELS_AT_ALL <= version < LABELS_AT_ADDING:
                client.change_torrent(added.id, labels=labels)

    def _find(self, client: transmission_rpc.Client, id: str) -> transmission_rpc.Torrent | None:
        try:
            return client.get_torrent(id.lower(), arguments=FIELDS)
        except (KeyError, ValueError):  # not there, or no hash at all
            return None

    @contextmanager
    def _asking(self) -> Iterator[transmission_rpc.Client]:
        """The client; what goes wrong becomes an error that says what to do."""
        # With the first call, so that the plugin loads in no time.
        from transmission_rpc.error import (
            TransmissionAuthError,
            TransmissionConnectError,
            TransmissionError,
        )

        url = self.rpc_url
        try:
            yield self._connected()
        except TransmissionAuthError as error:
            status = getattr(error.original, "status_code", None)
            if status == 403:
                raise external.ProgramError(
                    f"Transmission at {url} refuses this machine; add its address to rpc-whitelist in "
                    "Transmission's settings.json"
                ) from error
            raise external.ProgramError(
                f"Transmission at {url} refuses the user name or password; set username and password"
            ) from error
        except TransmissionConnectError as error:
            raise external.ProgramError(
                f"Transmission cannot be reached at {url} ({error.message}); start it, or set host and port"
            ) from error
        except TransmissionError as error:
            if isinstance(error.response, dict) and "result" in error.response:
                raise external.ProgramError(
                    f"Transmission at {url} refuses: {error.response['result']}"
                ) from error
            raise external.ProgramError(
                f"what answers at {url} is not Transmission, or refuses the name that it is called by; set host, "
                "port and path, or add the name to rpc-host-whitelist in Transmission's settings.json"
            ) from error

    def _connected(self) -> transmission_rpc.Client:
        import transmission_rpc

        with self._lock:
            if self._client is None:
                address = self.address
                self._client = transmission_rpc.Client(
                    protocol="https" if address.scheme == "https" else "http",
                    host=f"[{address.host}]" if ":" in address.host else address.host,
                    port=address.port,
                    path=self.path,
                    username=text_of(self.config, "username") or None,
                    password=text_of(self.config, "password") or None,
                    timeout=external.TIMEOUT_S,
                    logger=quiet(self.log),
                )
            return self._client


def quiet(log: logging.Logger) -> logging.Logger:
    """A logger for the library, which tells of an answer that it cannot read by its whole text, and of secrets."""
    child = log.getChild("rpc")
    child.setLevel(logging.CRITICAL)
    return child


def is_checking(torrent: transmission_rpc.Torrent) -> bool:
    """Whether its data is just being checked, or about to be."""
    return torrent.fields["status"] in (CHECK_WAITS, CHECKING)


def is_complete(torrent: transmission_rpc.Torrent) -> bool:
    """Whether all of what was wanted of it is there."""
    told = torrent.fields
    return bool(told["metadataPercentComplete"] == 1 and told["leftUntilDone"] == 0)


def state_of(torrent: transmission_rpc.Torrent) -> dict[str, Any]:
    """What `get_progress` answers for it. An error of a tracker does not fail it: other peers may be found."""
    told = torrent.fields
    has_metadata = told["metadataPercentComplete"] == 1
    error = None
    if told["error"] == LOCAL_ERROR:
        status = "failed"
        said = str(told["errorString"]).strip().rstrip(".")
        error = f"Transmission: {said}; look at the disk, and at Transmission's rights to its folder"
    elif is_complete(torrent) and not is_checking(torrent):
        status = "completed"
    else:
        status = "paused" if told["status"] == STOPPED else "downloading"
    total = int(told["sizeWhenDone"]) if has_metadata else 0
    return external.state(
        status,
        downloaded=max(total - int(told["leftUntilDone"]), 0) if has_metadata else 0,
        total=total,
        speed=int(told["rateDownload"]),
        eta=int(told["eta"]) if int(told["eta"]) >= 0 and status == "downloading" else None,
        save_path=str(PurePosixPath(told["downloadDir"]) / told["name"]) if has_metadata else None,
        error=error,
    )
