"""The folder of a dependency set: on `sys.path` of those that may import from it, and what was imported from there."""

from __future__ import annotations

import os
import site
import sys
from types import ModuleType

from service.worker.modules import ROOT_PACKAGE

_active: str | None = None


def standard_folders() -> tuple[str, str]:
    """The folders of the standard library: of its modules, and of those that are compiled.

    `sysconfig` would tell them too, but loads a large module of its own for that.
    """
    library = os.path.dirname(os.path.abspath(os.__file__))
    return library, os.path.join(sys.exec_prefix, sys.platlibdir, os.path.basename(library))


def activate(folder: str) -> None:
    """Have imports find a set before what the server's environment has, but after the standard library.

    As for any site folder its `.pth` files count. Does nothing where it has been done, as in a fork of the set's
    template.

    Args:
        folder: the set's.
    """
    global _active
    folder = os.path.abspath(folder)
    if _active == folder or folder in sys.path:
        _active = folder
        return
    standard = {*standard_folders()}
    standard |= {path for path in sys.path if path.endswith(("lib-dynload", ".zip"))}
    start = max((index for index, path in enumerate(sys.path) if path in standard), default=-1) + 1
    behind = sys.path[start:]
    del sys.path[start:]
    try:
        site.addsitedir(folder)
    finally:
        # One that the set names, too, stays where the set put it.
        sys.path += [path for path in behind if path not in sys.path]
        _active = folder


def newest_module() -> str:
    """The name of the module that was imported last, to ask `third_party` for what came after it."""
    return next(reversed(sys.modules))


def third_party(newest_before: str) -> list[str]:
    """The modules from site folders that were imported since, in that order.

    Only those that are new are looked at: each look at a module is a write to the page that holds it, which a fork
    shares until then.

    Args:
        newest_before: what `newest_module` gave.
    """
    folders = tuple(path + "/" for path in sys.path if _is_site_folder(path))
    found = []
    try:
        for name in reversed(sys.modules):
            if name == newest_before:
                break
            origin = _origin(name)
            if origin is not None and origin.startswith(folders) and _may_be_asked_for(name):
                found.append(name)
    except Exception:  # what a plugin has put there may be anything, and its threads may import meanwhile
        return []
    found.reverse()
    return found


def _is_site_folder(path: str) -> bool:
    return path == _active or path.endswith(("/site-packages", "/dist-packages"))


def _may_be_asked_for(name: str) -> bool:
    top = name.partition(".")[0]
    return top not in (ROOT_PACKAGE, "service") and not name.endswith("__main__")


def _origin(name: str) -> str | None:
    module = sys.modules.get(name)
    if not isinstance(module, ModuleType):
        return None
    spec = module.__dict__.get("__spec__")
    origin = getattr(spec, "origin", None)
    if origin is None:  # a package without __init__.py lies where its folders are
        origin = next(iter(getattr(spec, "submodule_search_locations", None) or ()), None)
    return origin if isinstance(origin, str) else None
