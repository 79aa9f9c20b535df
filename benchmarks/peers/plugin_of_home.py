"""The plugin of the home that `BENCH_HOME` names, imported as a file is, for servers that start anew."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any


def imported() -> Any:
    """The plugin, instantiated."""
    path = Path(os.environ["BENCH_HOME"]) / "plugins" / "search" / "catalogue_plugin.py"
    spec = importlib.util.spec_from_file_location("plugins.search.catalogue_plugin", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.CataloguePlugin()
