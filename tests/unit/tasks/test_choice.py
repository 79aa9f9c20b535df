"""Which plugin downloads an address."""

from __future__ import annotations

import pytest

from service.host.files.sources import unit_of
from service.host.plugin import Plugin
from service.model.identity import Identity, PluginType
from service.model.plugin import Manifest, Origin
from service.tasks.choice import NoDownloadPlugin, choose, protocol_of


def plugin(
    name: str,
    *protocols: str,
    enabled: bool = True,
    bundled: bool = False,
    type: PluginType = PluginType.DOWNLOAD,
) -> Plugin:
    unit = unit_of(f"{type.value}/{name}_plugin.py")
    assert unit is not None
    made = Plugin(unit, Identity(type, name))
    made.enabled = enabled
    made.manifest = Manifest(type=type, name=name, supported_protocols=list(protocols))
    made.origin = Origin(kind="bundled" if bundled else "file", sha256="")
    return made


@pytest.mark.parametrize(
    ("url", "protocol"),
    [
        ("http://x/y", "http"),
        ("HTTPS://x/y", "https"),
        ("ftp://x/y.torrent", "torrent"),
        ("http://x/Y.TORRENT?key=1#part", "torrent"),
        ("https://x/live.m3u8?token=a.b", "m3u8"),
        ("https://x/y?file=live.m3u8", "https"),
        ("https://x/m3u8", "https"),
        ("magnet:?xt=urn:btih:0&dn=a.torrent", "magnet"),
        ("Magnet:?xt=urn:btih:0", "magnet"),
        ("nothing", ""),
        ("/a/b.torrent", "torrent"),
    ],
)
def test_the_protocol_of_an_address(url: str, protocol: str) -> None:
    assert protocol_of(url) == protocol


def test_the_settings_come_first_then_bundled_then_the_name() -> None:
    mine, other, bundled = plugin("a", "http"), plugin("b", "http"), plugin("z", "http", bundled=True)
    all_ = [mine, other, bundled]
    assert choose(all_, "http://x", []) is bundled
    assert choose(all_, "http://x", ["b"]) is other
    assert choose(all_, "http://x", ["none", "a", "b", "a"]) is mine
    assert choose([other, mine], "http://x", []) is mine


def test_only_what_is_enabled_known_and_of_the_type_counts() -> None:
    off, unknown = plugin("a", "http", enabled=False), plugin("b", "http")
    unknown.manifest = None
    search = plugin("c", "http", type=PluginType.SEARCH)
    silent = plugin("d")
    with pytest.raises(NoDownloadPlugin) as refused:
        choose([off, unknown, search, silent], "http://x", ["a"])
    assert refused.value.code == "no_download_plugin"
    assert refused.value.fields == {"protocol": "http"}
    assert choose([off, plugin("e", "HTTP")], "http://x", []).identity.name == "e"


def test_an_address_without_a_protocol_is_nobodys() -> None:
    with pytest.raises(NoDownloadPlugin):
        choose([plugin("a", "")], "nothing", [])
