# /// script
# requires-python = ">=3.11"
# dependencies = ["aiohttp>=3.14", "yarl>=1.20"]
# ///
"""Reads torrent files and magnet links, and finds each from the other."""

from __future__ import annotations

import asyncio
from typing import Any

from plugins.shared.lenient_values import as_number
from plugins.shared.torrent_fetch import fetch_torrent
from plugins.shared.torrent_metainfo import Magnet, Torrent, is_magnet, is_torrent_address
from plugins.shared.web_origins import is_web_address
from service.sdk import ConfigField, ParserPlugin

SOURCES_MAX = 8


class TorrentPlugin(ParserPlugin):
    """Two entries for a torrent file, the file and its magnet link; for a magnet link itself and the files it has."""

    name = "torrent"
    version = "1.0.0"
    description = (
        "解析种子文件和磁力链接：文件、大小、哈希 · Torrent files and magnet links: files, sizes, info-hash"
    )

    def get_config_schema(self) -> list[ConfigField]:
        return [
            ConfigField(
                name="caches",
                label="种子缓存 · Torrent caches",
                description="每行一个地址，{hash} 代表 40 位哈希 · One address a line, {hash} stands for the hash, "
                "such as https://cache.example.org/{hash}.torrent",
            ),
            ConfigField(
                name="resolve",
                label="获取磁力链接的种子文件 · Fetch the torrent file of a magnet link",
                type="boolean",
                default=True,
                description="从链接自带的地址或缓存获取，并核对哈希 · From the link's own sources and the caches; "
                "its hash is checked",
            ),
            ConfigField(name="timeout_s", label="超时（秒）· Timeout in seconds", type="number", default=10),
        ]

    @property
    def timeout_s(self) -> float:
        """Seconds for one fetch."""
        return as_number(self.config.get("timeout_s") or None, 10, 0.1, 60)

    def can_parse(self, url: str) -> bool:
        return is_magnet(url) or is_torrent_address(url)

    async def parse_url(self, url: str) -> list[dict[str, Any]]:
        """`name`, `url`, `magnet`, `info_hash`, `size`, `files`, `trackers` and more of each."""
        url = url.strip()
        if is_magnet(url):
            return await self._magnet_entries(url)
        found = await fetch_torrent(url, timeout_s=self.timeout_s)
        if isinstance(found, str):
            return await self._magnet_entries(found)
        torrent = await asyncio.to_thread(Torrent.read, found)
        details = torrent_details(torrent)
        return [
            {"kind": "torrent", "url": url, **details},
            {"kind": "magnet", "url": torrent.magnet, **details},
        ]

    async def _magnet_entries(self, url: str) -> list[dict[str, Any]]:
        magnet = Magnet.read(url)
        details = magnet_details(magnet)
        sources = self._sources(magnet)
        fetched = await asyncio.gather(*(self._fetch(source, magnet) for source in sources))
        entries = [
            {"kind": "torrent", "url": source, **details, **found} for source, found in fetched if found
        ]
        # What a source told of the files holds for the link too: the hash says that they are one torrent.
        known = next((found for _, found in fetched if found and "files" in found), {})
        return [{"kind": "magnet", "url": url, **details, **known, "magnet": magnet.url}, *entries]

    def _sources(self, magnet: Magnet) -> list[str]:
        """Where the torrent file of a link should be: its own sources, then the caches."""
        named = [one for one in magnet.exact_sources if is_web_address(one)]
        digest = magnet.info_hash or magnet.info_hash_v2
        templates = self.config.get("caches") or ""
        lines = templates if isinstance(templates, list) else str(templates).replace(",", "\n").splitlines()
        for line in lines:
            template = str(line).strip()
            if "{hash}" not in template.lower():
                continue
            filled = template.replace("{hash}", digest).replace("{HASH}", digest.upper())
            if is_web_address(filled):
                named.append(filled)
        return list(dict.fromkeys(named))[:SOURCES_MAX]

    async def _fetch(self, source: str, magnet: Magnet) -> tuple[str, dict[str, Any] | None]:
        """What the source gave; None where it gave another torrent."""
        if not self.config.get("resolve", True):
            return source, {"verified": False}
        try:
            found = await fetch_torrent(source, timeout_s=self.timeout_s)
            if isinstance(found, str):
                return source, {"verified": False, "error": f"{source} leads to a magnet link"}
            torrent = await asyncio.to_thread(Torrent.read, found)
        except (OSError, ValueError) as error:
            return source, {"verified": False, "error": str(error)}
        if not torrent.hashes & magnet.hashes:
            self.log.warning("%s is another torrent than the magnet link that names it", source)
            return source, None
        return source, {"verified": True, **torrent_details(torrent)}


def torrent_details(torrent: Torrent) -> dict[str, Any]:
    """What is told of a torrent file."""
    return {
        "name": torrent.name,
        "magnet": torrent.magnet,
        "info_hash": torrent.info_hash or torrent.info_hash_v2,
        "info_hash_v1": torrent.info_hash or None,
        "info_hash_v2": torrent.info_hash_v2 or None,
        "size": torrent.size,
        "piece_size": torrent.piece_size,
        "file_count": len(torrent.files),
        "files": torrent.files,
        "trackers": torrent.trackers,
        "web_seeds": torrent.web_seeds,
        "private": torrent.private,
        "comment": torrent.comment,
        "created_by": torrent.created_by,
        "created_at": torrent.created_at,
    }


def magnet_details(magnet: Magnet) -> dict[str, Any]:
    """What is told of a magnet link; `magnet` is the link written anew, with its hash in hexadecimal."""
    return {
        "name": magnet.name or magnet.info_hash or magnet.info_hash_v2,
        "magnet": magnet.url,
        "info_hash": magnet.info_hash or magnet.info_hash_v2,
        "info_hash_v1": magnet.info_hash or None,
        "info_hash_v2": magnet.info_hash_v2 or None,
        "size": magnet.size,
        "trackers": magnet.trackers,
        "web_seeds": magnet.web_seeds,
        "exact_sources": magnet.exact_sources,
    }
