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

from service.home import bundled_files, bundled_plugins
from service.host.dependencies import declaration

SERVICE = Path(__file__).parents[2] / "service"
ROOT = SERVICE.parent
# It runs in the tests of authors, where pytest is; the rest of `service.sdk.testing` needs no more than a plugin does.
OF_PYTEST = SERVICE / "sdk/testing/__init__.py"
BESIDE_PLUGINS = sorted(
    path for name in ("worker", "wire", "sdk") for path in (SERVICE / name).rglob("*.py") if path != OF_PYTEST
)


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


BUNDLED = [ROOT / name for name in bundled_files() if name.endswith(".py")]


def declared(path: Path) -> set[str]:
    """The modules of what a plugin declares."""
    wanted = {
        canonicalize_name(Requirement(line).name)
        for line in declaration.declared(path.read_bytes()).dependencies
    }
    return {
        module
        for module, distributions in packages_distributions().items()
        if wanted & {canonicalize_name(one) for one in distributions}
    }


def reached(path: Path) -> set[Path]:
    """A module and those below `plugins` that it imports, directly or by way of others."""
    found: set[Path] = set()
    pending = [path]
    while pending:
        one = pending.pop()
        if one in found:
            continue
        found.add(one)
        for name in imports(one):
            if name.startswith("plugins."):
                target = ROOT.joinpath(*name.split("."))
                pending += [
                    file for file in (target.with_suffix(".py"), target / "__init__.py") if file.is_file()
                ]
    return found


@pytest.mark.parametrize("path", bundled_plugins().values(), ids=lambda path: str(path.relative_to(ROOT)))
def test_bundled_plugins_and_what_they_import_need_the_sdk_and_what_they_declare(path: Path) -> None:
    allowed = declared(path) | set(sys.stdlib_module_names)
    own = set(path.parent.rglob("*.py")) if path.name == "__init__.py" else set()
    foreign = {
        f"{module.relative_to(ROOT)}: {name}"
        for module in reached(path) | own
        for name in imports(module)
        if name.split(".")[0] not in allowed and not name.startswith(("service.sdk", "plugins."))
    }
    assert foreign == set()


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: str(path.relative_to(ROOT)))
def test_bundled_modules_import_their_own_package_and_what_is_shared(path: Path) -> None:
    """A plugin can be deleted without another one missing it."""
    unit = ".".join(path.relative_to(ROOT).with_suffix("").parts[:3])
    foreign = {
        name
        for name in imports(path)
        if name.startswith("plugins.")
        and not name.startswith("plugins.shared.")
        and name != "plugins.shared"
        and f"{name}.".startswith(f"{unit}.") is False
    }
    assert foreign == set()


def test_only_the_api_knows_the_web_server() -> None:
    users = {
        path.relative_to(SERVICE).parts[0] for path in SERVICE.rglob("*.py") if "aiohttp.web" in imports(path)
    }
    assert users <= {"api", "app.py", "serving.py"}
