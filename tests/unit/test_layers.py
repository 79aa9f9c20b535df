"""What import-linter cannot say: submodules of other packages, and any package that is not the standard library."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from service.home import BUNDLED_FILES
from service.host import dependencies

SERVICE = Path(__file__).parents[2] / "service"
ROOT = SERVICE.parent
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


BUNDLED = [ROOT / name for name in BUNDLED_FILES if name.endswith(".py")]


def declared(path: Path) -> set[str]:
    """The modules of what a plugin declares."""
    wanted = {
        canonicalize_name(Requirement(line).name)
        for line in dependencies.declared(path.read_bytes()).dependencies
    }
    return {
        module
        for module, distributions in packages_distributions().items()
        if wanted & {canonicalize_name(one) for one in distributions}
    }


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_bundled_plugins_import_the_sdk_and_what_they_declare(path: Path) -> None:
    # A helper has no block of its own: whoever imports it declares what it needs.
    plugins = [path] if "_plugin" in path.name else [one for one in BUNDLED if one.parent == path.parent]
    allowed = {module for one in plugins for module in declared(one)} | set(sys.stdlib_module_names)
    foreign = {
        name
        for name in imports(path)
        if name.split(".")[0] not in allowed and not name.startswith(("service.sdk", "plugins."))
    }
    assert foreign == set()


def test_only_the_api_knows_the_web_server() -> None:
    users = {
        path.relative_to(SERVICE).parts[0] for path in SERVICE.rglob("*.py") if "aiohttp.web" in imports(path)
    }
    assert users <= {"api", "app.py"}
