"""How a program imports a plugin once, with what Python keeps of an earlier import (`__pycache__`)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any


def imported(path: str, base: type) -> Any:
    """The plugin of a file.

    Args:
        path: of the file.
        base: the class that the plugin's own is derived from.
    """
    name = f"plugins.search.{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return next(
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == name
    )()
