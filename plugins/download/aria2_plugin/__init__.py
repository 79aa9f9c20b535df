# /// script
# requires-python = ">=3.11"
# dependencies = ["aiohttp>=3.14", "yarl>=1.20"]
#
# [tool.plugbay]
# write = ["{dir}"]
# ///
"""Hands downloads over to a running aria2, by its JSON-RPC interface."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Any
from urllib.parse import urlsplit

from plugins.download.aria2_plugin.files import paths_of, remove_unfinished
from plugins.download.aria2_plugin.rpc import Rpc, Unknown
from plugins.download.aria2_plugin.states import combined, status_of, title_of, url_of
from plugins.shared import external_program as external
from plugins.shared.lenient_values import as_number, text_of
from plugins.shared.torrent_metainfo import is_magnet, is_torrent_address
from service.sdk import ConfigField, DownloadPlugin, DownloadTask

DEFAULT_RPC_URL = "http://127.0.0.1:6800/jsonrpc"
STOP_POLLS = 50
STOP_POLL_S = 0.1
FOLLOW_MAX = 8
KEYS = (
    "gid status totalLength completedLength downloadSpeed dir bittorrent infoHash followedBy following "
    "errorCode errorMessage verifiedLength verifyIntegrityPending"
).split()
ENDED = ("complete", "error", "removed")


class Aria2Plugin(DownloadPlugin):
    """The external id is the GID of what was added; what it turned into (`followedBy`) is followed at each call."""

    name = "aria2"
    version = "1.0.0"
    description = (
        "用 aria2 下载 HTTP、FTP、磁力链接和种子 · Downloads HTTP, FTP, magnets and torrents with aria2"
    )
    supported_protocols = ["http", "https", "ftp", "magnet", "torrent"]
    resumable = True  # a call that was cut finds what it has handed over already

    def get_config_schema(self) -> list[ConfigField]:
        return [
            ConfigField(name="rpc_url", label="RPC 地址 · RPC address", default=DEFAULT_RPC_URL),
            ConfigField(
                name="secret",
                label="密钥 · Secret",
                type="password",
                description="与 aria2 的 --rpc-secret 相同 · What aria2 has as --rpc-secret",
            ),
            ConfigField(
                name="dir",
                label="保存文件夹 · Folder",
                description="留空：aria2 在本机时用下载文件夹，否则用 aria2 自己的 · Empty: the downloads folder where "
                "aria2 runs on this machine, else aria2's own",
            ),
            ConfigField(
                name="connections",
                label="每个文件的连接数 · Connections per file",
                type="number",
                default=5,
                description="1 至 16 · 1 to 16",
            ),
        ]

    @property
    def rpc_url(self) -> str:
        """Where aria2 listens."""
        url = text_of(self.config, "rpc_url", "url") or DEFAULT_RPC_URL
        return url if "://" in url else f"http://{url}"

    @property
    def host(self) -> str:
        """The machine that aria2 runs on."""
        return urlsplit(self.rpc_url).hostname or ""

    @property
    def secret(self) -> str:
        """What aria2 was started with as `--rpc-secret`."""
        return text_of(self.config, "secret", "rpc_secret", "token").removeprefix("token:")

    def get_web_ui_url(self) -> str | None:
        return None  # aria2 has no page of its own

    async def download(self, task: DownloadTask) -> bool:
        url = task.url.strip()
        source = None
        if is_magnet(url) or is_torrent_address(url):
            source = await external.torrent_source(url)
        async with self._rpc() as rpc:
            gid = await self._known(rpc, own_gid(task), source)
            if gid is None:
                own = gid = own_gid(task)
                await task.checkpoint({"external_id": own})
                await external.whole_or_not(
                    self._add(rpc, source.magnet if source else url, source, own),
                    lambda: self.cancel(own),
                )
        task.external_id = gid
        task.status = "downloading"
        self.log.info("%s is aria2's %s", task.url, gid)
        return True

    async def discard(self, task: DownloadTask) -> None:
        """Take back what was handed over by a call that did not come to its end."""
        if own := (task.resume or {}).get("external_id"):
            await self.cancel(str(own))

    async def get_progress(self, id: str) -> dict[str, Any]:
        """How far aria2 is with it."""
        async with self._rpc() as rpc:
            try:
                root, leaves = await self._family(rpc, id)
            except Unknown:
                return external.state(
                    "failed",
                    error="aria2 no longer has this download: it was removed there, or aria2 was started anew "
                    "without --save-session and --input-file",
                )
            if not leaves:
                return external.state("cancelled", error="it was removed in aria2")
            for one in leaves:
                if "bittorrent" not in one:
                    one["files"] = await rpc.call("getFiles", one["gid"])
        return combined(root, leaves)

    async def cancel(self, id: str) -> bool:
        """Take it out of aria2; what is unfinished of it is removed where its folder can be reached from here."""
        async with self._rpc() as rpc:
            try:
                root, leaves = await self._family(rpc, id)
            except Unknown:
                return False
            family = {one["gid"]: one for one in [root, *leaves]}
            unfinished = [one for one in family.values() if status_of(one) != "completed"]
            for one in unfinished:
                one["files"] = await rpc.call("getFiles", one["gid"])
            for gid in reversed(family):
                await self._remove(rpc, gid)
        for one in unfinished:
            # Elsewhere the same path may be another file.
            is_here = external.is_this_machine(self.host)
            if kept := (await asyncio.to_thread(remove_unfinished, one) if is_here else paths_of(one)):
                self.log.warning(
                    "unfinished data is out of reach from here; remove it where aria2 runs: %s", kept
                )
        return True

    async def pause(self, id: str) -> bool:
        """Stop for now."""
        return await self._each(id, "forcePause", ("active", "waiting"))

    async def resume(self, id: str) -> bool:
        """Go on."""
        return await self._each(id, "unpause", ("paused",))

    async def get_downloads(self) -> list[dict[str, Any]]:
        """All that aria2 has, also what was added there."""
        keys = [*KEYS, "files"]
        async with self._rpc() as rpc:
            found = await rpc.call("tellActive", keys)
            for method in ("tellWaiting", "tellStopped"):
                found += await rpc.call(method, 0, external.LIST_MAX, keys)
        parents = {one["gid"]: one.get("following") for one in found}
        listed = []
        for one in found:
            if one.get("followedBy"):
                continue  # what came of it is listed in its place, under its GID
            root = one["gid"]
            for _ in range(FOLLOW_MAX):
                root = parents.get(root) or root
            listed.append({"id": root, "title": title_of(one), "url": url_of(one), **combined(one, [one])})
        return listed

    def _rpc(self) -> Rpc:
        return Rpc(self.rpc_url, self.secret, timeout_s=external.TIMEOUT_S)

    async def _known(self, rpc: Rpc, own: str, source: external.TorrentSource | None) -> str | None:
        """The GID of the same download where aria2 is at work on it already; it then goes on with it."""
        gid = await self._by_hash(rpc, source.info_hash) if source else None
        if gid is None:
            try:
                status = (await rpc.call("tellStatus", own, ["status"]))["status"]
            except Unknown:
                return None
            if status in ENDED:
                await rpc.call("removeDownloadResult", own)
                return None
        await self.resume(gid or own)
        return gid or own

    async def _add(self, rpc: Rpc, url: str, source: external.TorrentSource | None, gid: str) -> None:
        options = await self._options(rpc, gid, keeps_torrent=source is not None)
        if source is not None and source.content:
            content = base64.b64encode(source.content).decode()
            await rpc.call("addTorrent", content, [], options)
        else:
            await rpc.call("addUri", [url], options)

    async def _options(self, rpc: Rpc, gid: str, keeps_torrent: bool) -> dict[str, str]:
        connections = int(as_number(self.config.get("connections") or None, 5, 1, 16))
        options = {
            "gid": gid,
            "split": str(connections),
            "max-connection-per-server": str(connections),
            # Said outright, since the daemon's own settings may be others: never over a file that is there, and
            # what a link leads to is downloaded, too.
            "allow-overwrite": "false",
            "auto-file-renaming": "true",
            "follow-torrent": "true",
            "bt-metadata-only": "false",
            "pause": "false",
            "pause-metadata": "false",
        }
        if keeps_torrent:
            # aria2 puts a torrent that it is sent into the folder, which it needs to go on after a restart only.
            saved = (await rpc.call("getGlobalOption")).get("save-session")
            options["rpc-save-upload-metadata"] = "true" if saved else "false"
        chosen = text_of(self.config, "dir", "download_dir", "save_path")
        folder = await asyncio.to_thread(external.folder_for, chosen, self.host, self.downloads_dir)
        return options | ({"dir": folder} if folder else {})

    async def _by_hash(self, rpc: Rpc, info_hash: str) -> str | None:
        """The GID under which aria2 is at work on that torrent: it takes no second one of it."""
        if not info_hash:
            raise ValueError(
                "aria2 does not know torrents of version 2 only; use another program for this one"
            )
        found = await rpc.call("tellActive", ["gid", "infoHash", "following"])
        found += await rpc.call("tellWaiting", 0, external.LIST_MAX, ["gid", "infoHash", "following"])
        for one in found:
            if str(one.get("infoHash", "")).lower() == info_hash:
                return str(one.get("following") or one["gid"])
        return None

    async def _family(self, rpc: Rpc, gid: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """What was added under that GID, and what came of it: the torrent of a magnet link, the files of a metalink.

        The second is empty where what came of it was removed.

        Raises:
            Unknown: neither is there.
        """
        try:
            root = await rpc.call("tellStatus", gid, KEYS)
        except Unknown:
            return await self._orphan(rpc, gid)
        leaves: list[dict[str, Any]] = []
        waiting, seen = [root], {gid}
        while waiting:
            one = waiting.pop(0)
            followers = [each for each in one.get("followedBy", []) if each not in seen]
            if not one.get("followedBy"):
                leaves.append(one)
            for each in followers[: external.LIST_MAX]:
                seen.add(each)
                try:
                    waiting.append(await rpc.call("tellStatus", each, KEYS))
                except Unknown:
                    continue
        return root, leaves

    async def _orphan(self, rpc: Rpc, gid: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """What came of a download whose own result was cleared away in aria2."""
        found = await rpc.call("tellActive", KEYS)
        for method in ("tellWaiting", "tellStopped"):
            found += await rpc.call(method, 0, external.LIST_MAX, KEYS)
        leaves = [one for one in found if one.get("following") == gid and not one.get("followedBy")]
        if not leaves:
            raise Unknown(gid)
        return leaves[0], leaves

    async def _each(self, id: str, method: str, states: tuple[str, ...]) -> bool:
        async with self._rpc() as rpc:
            try:
                _, leaves = await self._family(rpc, id)
            except Unknown:
                return False
            fitting = [one["gid"] for one in leaves if one["status"] in states]
            for gid in fitting:
                await rpc.call(method, gid)
        return bool(fitting)

    async def _remove(self, rpc: Rpc, gid: str) -> None:
        """Stop it, wait until aria2 has let go of its files, and clear its result away."""
        try:
            status = await rpc.call("tellStatus", gid, ["status"])
            if status["status"] not in ENDED:
                try:
                    await rpc.call("forceRemove", gid)
                except Unknown:  # it has ended by itself meanwhile
                    self.log.debug("%s had ended", gid)
            for _ in range(STOP_POLLS):
                status = await rpc.call("tellStatus", gid, ["status"])
                if status["status"] in ENDED:
                    await rpc.call("removeDownloadResult", gid)
                    return
                await asyncio.sleep(STOP_POLL_S)
        except Unknown:
            return
        raise external.ProgramError(f"aria2 does not let go of {gid}; try again")


def own_gid(task: DownloadTask) -> str:
    """The GID that a task's download gets.

    It is made of the task, so that a call that was cut after aria2 had taken it over adds it no second time.
    """
    return hashlib.sha256(f"{task.id}\n{task.url.strip()}".encode()).hexdigest()[:16]
