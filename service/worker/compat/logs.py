"""`logger` of the original application: what is logged goes to the plugin's log, each line with its level."""

from __future__ import annotations

import logging
from typing import Any

_UNNAMED = "plugin"


def get_logger(name: str | None = None, *_: Any, **__: Any) -> logging.Logger:
    """The logger of that name.

    Args:
        name: usually `__name__`. Levels, files and formats, which some hand in besides, are the server's business.
    """
    named = logging.getLogger(name if isinstance(name, str) and name and name != "root" else _UNNAMED)
    if named.level == logging.NOTSET:
        named.setLevel(logging.DEBUG)
    return named
