"""The original application's modules, served to imports as in a worker."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from service.worker.compat import stand_ins
from service.worker.modules import SnapshotImporter, SourceModule


@pytest.fixture
def serve() -> Iterator[Any]:
    """Takes modules by name and has them imported, as a worker does; the first one is the plugin's."""
    before, path = set(sys.modules), list(sys.meta_path)

    def begin(modules: dict[str, str]) -> ModuleType:
        importer = SnapshotImporter(
            {
                name: SourceModule(f"/nowhere/{name.replace('.', '/')}.py", False, text.encode())
                for name, text in modules.items()
            },
            "/nowhere/plugins",
        )
        name = next(iter(modules))
        sys.meta_path.insert(0, importer)
        stand_ins.install(importer.sources_of(name))
        return importlib.import_module(name)

    yield begin
    stand_ins.uninstall()
    sys.meta_path[:] = path
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("plugins", "base_plugin", "models", "logger", "database"):
            del sys.modules[name]
