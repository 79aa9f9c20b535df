"""What import-linter cannot say: submodules of other packages, and any package that is not the standard library."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVICE = Path(__file__).parents[2] / "service"
PLUGINS = SERVICE.parent / "plugins"
BESIDE_PLUGINS = sorted(path for name in ("worker", "wire", "sdk") for path in (SERVICE / name).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", BESIDE_PLUGINS, ids=lambda path: str(path.relative_to(SERVICE)))
def test_what_runs_beside_a_plugin_imports_the_standard_library_only(path: Path) -> None:
    own = ("service.worker", "service.wire", "service.sdk")
    foreign = {
        name
        for name in imports(path)
        if name.split(".")[0] not in sys.stdlib_module_names
        and not name.startswith(own)
        and name not in ("service", "plugins")
    }
    assert foreign == set()


@pytest.mark.parametrize("path", sorted(PLUGINS.glob("*/*.py")), ids=lambda path: path.stem)
def test_bundled_plugins_import_the_sdk_and_the_standard_library_only(path: Path) -> None:
    if path.name not in {"files_plugin.py", "http_plugin.py", "page_plugin.py", "plugin_template.py"}:
        pytest.skip("not bundled")
    foreign = {
        name
        for name in imports(path)
        if name.split(".")[0] not in sys.stdlib_module_names and not name.startswith("service.sdk")
    }
    assert foreign == set()


def test_only_the_api_knows_the_web_server() -> None:
    users = {
        path.relative_to(SERVICE).parts[0] for path in SERVICE.rglob("*.py") if "aiohttp.web" in imports(path)
    }
    assert users <= {"api", "app.py"}
