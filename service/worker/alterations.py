"""What imports have changed besides adding modules, and what of that forbids to fork the process they ran in.

A fork has no threads but one, shares open files with its siblings, and starts with whatever was replaced in the
standard library, though its plugin may never import who replaced it. A process that has any of this is not forked.
"""

from __future__ import annotations

import locale
import os
import signal
import socket
import sys
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from service.worker import linux, site_folder

_CODE = (FunctionType, BuiltinFunctionType, MethodType, type)
_OURS = "service"
# Who replaces what with its own back-port that behaves alike for all others.
_HARMLESS = {("typing", "typing_extensions")}
_MANY = 5
_absent = object()


class Baseline:
    """The process before the imports."""

    def __init__(self) -> None:
        self._descriptors = _descriptors()
        self._environment = dict(os.environ)
        self._settings = _settings()
        self._handlers = _handlers()
        self._modules = {name: module for name, module in sys.modules.items() if _is_standard(name)}
        self._namespaces = {place: dict(space) for place, space in _namespaces(self._modules)}

    def altered(self) -> str | None:
        """Why the process must not be forked, `None` if it may be."""
        if len(os.listdir("/proc/self/task")) > 1:
            return "an import started a thread"
        if linux.children():
            return "an import started a process"
        if _descriptors() != self._descriptors:
            return "an import opened or closed a descriptor"
        if _handlers() != self._handlers or sys.gettrace() or sys.getprofile():
            return "an import installed a signal handler or a trace function"
        if _settings() != self._settings:
            return "an import changed the working directory, the locale, the recursion limit or a default timeout"
        # What an import adds for its own use does not matter to others.
        if any(os.environ.get(name) != value for name, value in self._environment.items()):
            return "an import changed an environment variable"
        if replaced := sorted(self._replaced()):
            return "an import replaced " + ", ".join(replaced[:_MANY])
        return None

    def _replaced(self) -> Iterator[str]:
        modules = {name: module for name, module in sys.modules.items() if _is_standard(name)}
        for name, module in modules.items():
            if module is not self._modules.get(name, module) or _is_foreign(module):
                yield name
        for place, space in _namespaces(modules):
            before = self._namespaces.get(place, {})
            for name, new in list(space.items()):
                if (old := before.get(name, _absent)) is not new and _counts(place, old, new):
                    yield f"{place}.{name}"
            for name in before.keys() - space.keys():
                if isinstance(before[name], _CODE):
                    yield f"{place}.{name}"


def _counts(place: str, old: Any, new: Any) -> bool:
    module = _module_name(new)
    if (place, module.partition(".")[0]) in _HARMLESS:
        return False
    if _is_foreign(new):
        return True
    # A module may put something of its own in the place of something of its own, when it is first needed.
    return isinstance(old, _CODE) and not (
        isinstance(new, _CODE) and module.partition(".")[0] == place.partition(".")[0]
    )


def _namespaces(modules: dict[str, ModuleType]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The names in modules and in the classes that they define."""
    for name, module in modules.items():
        space = vars(module)
        yield name, space
        for attribute, value in list(space.items()):
            if isinstance(value, type) and _module_name(value) == name:
                yield f"{name}.{attribute}", vars(value)  # type: ignore[misc]  # a mapping is all that is needed


def _is_standard(name: str) -> bool:
    top = name.partition(".")[0]
    return top in sys.stdlib_module_names or top == _OURS


def _is_foreign(value: Any) -> bool:
    """Whether something comes neither from the standard library nor from here."""
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if isinstance(value, property):
        value = value.fget
    if isinstance(value, MethodType):
        value = value.__func__
    if isinstance(value, FunctionType):
        return _is_foreign_file(value.__code__.co_filename)
    name = _module_name(value)
    return bool(name) and not _is_standard(name)


def _is_foreign_file(path: str) -> bool:
    # Frozen and generated code has no file: `<frozen os>`, `<string>`.
    if path.startswith("<"):
        return False
    if "/site-packages/" in path or "/dist-packages/" in path:
        return not path.startswith(_PACKAGE)
    return not path.startswith((*_STANDARD, _PACKAGE))


_STANDARD = tuple(folder + os.sep for folder in site_folder.standard_folders())
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def _module_name(value: Any) -> str:
    if isinstance(value, ModuleType):
        name = value.__dict__.get("__name__")
    elif isinstance(value, BuiltinFunctionType):
        name = value.__module__
    elif isinstance(value, type):
        name = type.__getattribute__(value, "__module__")
    elif isinstance(value, FunctionType):
        name = value.__module__
    else:
        name = type.__getattribute__(type(value), "__module__")
    return name if isinstance(name, str) else ""


def _descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:  # that of the listing itself
            continue
    return found


def _settings() -> tuple[Any, ...]:
    return os.getcwd(), locale.setlocale(locale.LC_ALL), sys.getrecursionlimit(), socket.getdefaulttimeout()


def _handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}
