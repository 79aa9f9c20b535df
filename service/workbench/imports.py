"""Imports that work only by chance: of libraries that the plugin does not declare, and of the server's inside."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from service.host.files.sources import ROOT_PACKAGE
from service.model.text import Text
from service.workbench.problems import Found
from service.workbench.reading import Module, Reading, last_name
from service.worker.compat.signs import imports_base_plugin

_SDK = "service.sdk"
_OF_THE_ORIGINAL = {"base_plugin", "models", "logger", "database"}
# Where the library has another name than the module.
_DISTRIBUTIONS = {
    "bs4": "beautifulsoup4",
    "Crypto": "pycryptodome",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "fitz": "PyMuPDF",
    "jwt": "PyJWT",
    "magic": "python-magic",
    "PIL": "Pillow",
    "qbittorrentapi": "qbittorrent-api",
    "sklearn": "scikit-learn",
    "socks": "PySocks",
    "yaml": "PyYAML",
    "yt_dlp": "yt-dlp",
}


def problems(reading: Reading, declared: Sequence[str], site: Path | None) -> Iterator[Found]:
    """The doubtful imports of a plugin's own files.

    Args:
        reading: the plugin.
        declared: its requirements.
        site: the folder that they are installed in, None where the server's environment has them all.
    """
    provided = _provided_here(tuple(declared))
    for module in reading.modules:
        # One of the original may import its modules by their bare names.
        own = _OF_THE_ORIGINAL if imports_base_plugin(module.content) else set()
        seen: set[str] = set()
        for name, node in _imports(module):
            top = name.partition(".")[0]
            if top in sys.stdlib_module_names or top == ROOT_PACKAGE or top in own:
                continue
            if top == "service":
                if name != _SDK and not name.startswith(_SDK + "."):
                    yield _internal(module, node, name)
            elif top not in seen and not _is_in(site, top) and top not in provided:
                seen.add(top)
                yield _undeclared(module, node, top)


def distribution_of(top: str) -> str:
    """The name that a module's library has in the registry, as far as that can be told."""
    installed = _installed().get(top)
    return installed[0] if installed else _DISTRIBUTIONS.get(top, top.replace("_", "-"))


def _undeclared(module: Module, node: ast.stmt, top: str) -> Found:
    distribution = distribution_of(top)
    wanted = distribution
    try:
        version = importlib.metadata.version(distribution)
        wanted += ">=" + ".".join(version.split(".")[:2])
        by_chance = Text(
            zh=f"导入了 {top}，但没有声明；这里恰好装有 {distribution} {version}，别处未必",
            en=f"{top} is imported and not declared; it works here because {distribution} {version} happens "
            "to be installed",
        )
    except importlib.metadata.PackageNotFoundError:
        by_chance = Text(
            zh=f"导入了 {top}，但没有声明，这里也没有安装",
            en=f"{top} is imported and neither declared nor installed here",
        )
    return Found(
        code="undeclared_import",
        severity="warning",
        message=by_chance,
        place=module.at(node),
        help=_how_to_declare(module, wanted),
    )


def _how_to_declare(module: Module, wanted: str) -> Text:
    if re.search(rb"(?m)^# /// script\s*$", module.content):
        return Text(
            zh=f'在 # /// script 块的 dependencies 中加上 "{wanted}"',
            en=f'add "{wanted}" to dependencies in the # /// script block',
        )
    block = f'# /// script\n# dependencies = ["{wanted}"]\n# ///'
    return Text(
        zh=f"在文件开头声明它：\n{block}",
        en=f"declare it at the top of the file:\n{block}",
    )


def _internal(module: Module, node: ast.stmt, name: str) -> Found:
    return Found(
        code="internal_import",
        severity="warning",
        message=Text(
            zh=f"{name} 是服务器的内部模块，不属于插件接口",
            en=f"{name} is a module of the server's own and no part of the plugin interface",
        ),
        place=module.at(node),
    )


def _imports(module: Module) -> Iterator[tuple[str, ast.stmt]]:
    """Each absolute import, but for those that are only for type checkers or whose failure is foreseen."""
    pending: list[ast.AST] = [module.tree] if module.tree is not None else []
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0 and node.module:
                yield node.module, node
                if node.module == "service":
                    yield from ((f"service.{alias.name}", node) for alias in node.names)
        elif isinstance(node, ast.If) and last_name(node.test) == "TYPE_CHECKING":
            pending.extend(node.orelse)
        elif isinstance(node, ast.Try) and any(_foresees(handler) for handler in node.handlers):
            pending.extend([*node.handlers, *node.orelse, *node.finalbody])
        else:
            pending.extend(ast.iter_child_nodes(node))


def _foresees(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        one is None or last_name(one) in ("ImportError", "ModuleNotFoundError", "Exception") for one in kinds
    )


def _is_in(site: Path | None, top: str) -> bool:
    """Whether a folder of libraries has a module of that name."""
    if site is None:
        return False
    if (site / top).is_dir() or (site / f"{top}.py").is_file():
        return True
    return any(site.glob(f"{top}.*.so")) or any(site.glob(f"{top}.so"))


def _provided_here(declared: tuple[str, ...]) -> set[str]:
    """The modules that requirements bring, with all that those require, as far as it is installed here."""
    wanted: set[str] = set()
    pending = list(declared)
    while pending:
        try:
            requirement = Requirement(pending.pop())
        except InvalidRequirement:
            continue
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        name = canonicalize_name(requirement.name)
        if name in wanted:
            continue
        wanted.add(name)
        try:
            pending.extend(importlib.metadata.requires(requirement.name) or ())
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        top for top, names in _installed().items() if wanted & {canonicalize_name(one) for one in names}
    } | {name.replace("-", "_") for name in wanted}


@functools.cache
def _installed() -> dict[str, list[str]]:
    return {top: list(names) for top, names in importlib.metadata.packages_distributions().items()}
