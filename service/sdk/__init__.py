"""All that a plugin may import from Plugbay: base classes, models and nothing that is not standard library.

A plugin derives one class from `SearchPlugin`, `DownloadPlugin` or `ParserPlugin`; `ConfigField`, `SearchResult` and
`DownloadTask` are what it gives and takes. What an author's tests use is in `service.sdk.testing`.
"""

from service.sdk.models import ConfigField, DownloadTask, SearchResult
from service.sdk.plugins import DownloadPlugin, ParserPlugin, Plugin, SearchPlugin

# The version of this interface, MAJOR.MINOR. Whatever is added raises the minor number; what is there stays as long as
# the major number does. A plugin names the least that it needs as `min_interface`.
INTERFACE_VERSION = "1.0"

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
