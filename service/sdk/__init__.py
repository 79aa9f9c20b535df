"""All that a plugin may import from Plugbay: base classes, models and nothing that is not standard library."""

from service.sdk.models import ConfigField, DownloadTask, SearchResult
from service.sdk.plugins import DownloadPlugin, ParserPlugin, Plugin, SearchPlugin

INTERFACE_VERSION = 1

__all__ = [
    "INTERFACE_VERSION",
    "ConfigField",
    "DownloadPlugin",
    "DownloadTask",
    "ParserPlugin",
    "Plugin",
    "SearchPlugin",
    "SearchResult",
]
