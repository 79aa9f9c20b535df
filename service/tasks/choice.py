"""Which plugin downloads an address where the request names none. Decides, does no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from service.errors import RequestRefused
from service.host.plugin import Plugin
from service.model.identity import PluginType
from service.model.text import Text


class NoDownloadPlugin(RequestRefused):
    """No enabled download plugin supports the address."""

    code = "no_download_plugin"

    def __init__(self, protocol: str) -> None:
        super().__init__(
            Text(
                zh=f"没有已启用的下载插件支持 {protocol or '该地址'}；请安装或启用一个，或指明 plugin_name",
                en=f"No enabled download plugin supports {protocol or 'this address'}; install or enable one, "
                "or name the plugin",
            ),
            protocol=protocol,
        )


def protocol_of(url: str) -> str:
    """`magnet`, `torrent` or `m3u8` by what the address is, else its scheme; empty where it has none."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    if scheme == "magnet":
        return scheme
    path = parts.path.lower()
    for suffix in ("torrent", "m3u8"):
        if path.endswith(f".{suffix}"):
            return suffix
    return scheme


def choose(plugins: Iterable[Plugin], url: str, prefer: Sequence[str]) -> Plugin:
    """The plugin that downloads an address: by the settings first, then bundled, then by name.

    Args:
        plugins: all there are.
        url: the address.
        prefer: names, the most wanted first.

    Raises:
        NoDownloadPlugin
    """
    protocol = protocol_of(url)
    fit = [
        plugin
        for plugin in plugins
        if plugin.identity.type is PluginType.DOWNLOAD
        and plugin.enabled
        and plugin.manifest is not None
        and protocol in [one.lower() for one in plugin.manifest.supported_protocols or []]
    ]
    if not protocol or not fit:
        raise NoDownloadPlugin(protocol)
    order = {name: number for number, name in reversed(list(enumerate(prefer)))}
    return min(
        fit,
        key=lambda plugin: (
            order.get(plugin.identity.name, len(order)),
            plugin.origin.kind != "bundled",
            plugin.identity.name,
        ),
    )
