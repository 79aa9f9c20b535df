"""Bundled plugins as a worker makes them, without the worker: from file or package, with a folder and a log."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from service.sdk import Plugin

PLUGINS = Path(__file__).parents[3] / "plugins"


def load(kind: str, stem: str) -> ModuleType:
    package = PLUGINS / kind / stem
    main = package / "__init__.py" if package.is_dir() else package.with_suffix(".py")
    spec = importlib.util.spec_from_file_location(f"plugins.{kind}.{stem}", main)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Any]:
    def make(kind: str, stem: str, **config: Any) -> Any:
        module = load(kind, stem)
        [found] = [
            one
            for one in vars(module).values()
            if isinstance(one, type) and issubclass(one, Plugin) and one.__module__ == module.__name__
        ]
        plugin = found.__new__(found)
        plugin.log = logging.getLogger(stem)
        plugin.data_dir = tmp_path / "data"
        plugin.data_dir.mkdir(exist_ok=True)
        plugin.downloads_dir = tmp_path / "downloads"
        plugin.config = {}
        plugin.__init__()
        defaults = {field.name: field.default for field in plugin.get_config_schema()}
        plugin.set_config(defaults | config)
        return plugin

    return make
