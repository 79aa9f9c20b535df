"""`base_plugin` of the original application: its abstract base classes, which are the SDK's in its manner."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from typing import Any

from service import sdk
from service.worker.compat import models
from service.worker.compat.conversions import to_bool, to_float, to_int, to_list, value_of

# What a plugin of the original may have given its own meaning to, since its interface had none of these.
NEWER_METHODS = frozenset(("start", "stop", "self_check", "pause", "resume", "discard"))
# What need not be there before the plugin is made: `__init__` may set it.
INSTANCE_ATTRIBUTES = frozenset(("name", "version", "description", "supported_protocols"))


class _Needed:
    """An attribute that a plugin has to have: of its class, a property, or set in its `__init__`.

    It is no data descriptor, so that it can be set. A class that lacks it is abstract, as in the original.
    """

    __isabstractmethod__ = True

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        raise AttributeError(f"{type(instance).__name__} has no {self._name!r}")


class BasePlugin(sdk.Plugin, metaclass=ABCMeta):
    """What all plugins have."""

    name: str = _Needed()  # type: ignore[assignment]  # read on an instance it gives text or raises
    version: str = _Needed()  # type: ignore[assignment]  # likewise
    description: str = _Needed()  # type: ignore[assignment]  # likewise

    def __new__(cls, *_: Any, **__: Any) -> Any:
        # A plugin may make its instance itself, as a global of its module: before anybody has looked at its class.
        abstract_names(cls)
        plugin = super().__new__(cls)
        if not hasattr(cls, "config"):
            plugin.config = {}
        return plugin

    def __init__(self, config: dict[str, Any] | None = None, *_: Any, **__: Any) -> None:
        super().__init__()
        if config:
            self.config = config

    def _get_config(self, key: str, default: Any = None) -> Any:
        """The configured value, or the default where none is set."""
        value = value_of(self.config, key)
        return default if value is None else value

    def _get_config_str(self, key: str, default: Any = "") -> Any:
        """The configured value as text."""
        value = value_of(self.config, key)
        return default if value is None else str(value)

    def _get_config_int(self, key: str, default: Any = 0) -> Any:
        """The configured value as a whole number; the default where it is none."""
        value = to_int(value_of(self.config, key))
        return default if value is None else value

    def _get_config_float(self, key: str, default: Any = 0.0) -> Any:
        """The configured value as a number; the default where it is none."""
        value = to_float(value_of(self.config, key))
        return default if value is None else value

    def _get_config_bool(self, key: str, default: Any = False) -> Any:
        """The configured value as yes or no; the default where it is neither."""
        value = to_bool(value_of(self.config, key))
        return default if value is None else value

    def _get_config_list(self, key: str, default: Any = None) -> Any:
        """The configured value as a list, also from a text with commas; the default where it is none."""
        value = to_list(value_of(self.config, key))
        return ([] if default is None else default) if value is None else value


class SearchPlugin(BasePlugin, sdk.SearchPlugin):
    """Finds things."""

    @abstractmethod
    async def search(self, keyword: str, **kwargs: Any) -> Any:
        """What there is for a keyword: a list of `SearchResult`."""


class DownloadPlugin(BasePlugin, sdk.DownloadPlugin):
    """Gets things."""

    supported_protocols: list[str] = _Needed()  # type: ignore[assignment]  # as in BasePlugin

    @abstractmethod
    async def download(self, task: models.DownloadTask) -> bool:
        """Get what is at `task.url`; whether that went well."""


class ParserPlugin(BasePlugin, sdk.ParserPlugin):
    """Takes addresses apart."""

    @abstractmethod
    def parse_url(self, url: str) -> Any:
        """What is behind an address: a list of dictionaries with `name` and `url`."""


def is_original(cls: type) -> bool:
    """Whether a plugin's class is in the original's manner."""
    return issubclass(cls, BasePlugin)


def task_class(cls: type) -> type[sdk.DownloadTask]:
    """The class of the task that a plugin of this class is handed."""
    return models.DownloadTask if is_original(cls) else sdk.DownloadTask


def abstract_names(cls: type) -> list[str]:
    """What a class lacks of what its bases ask for, other than attributes that its `__init__` may set.

    Where only those are lacking, the class is not abstract any more: whether they were set is seen on the instance.
    """
    lacking: frozenset[str] = getattr(cls, "__abstractmethods__", frozenset())
    names = sorted(lacking - INSTANCE_ATTRIBUTES) if is_original(cls) else sorted(lacking)
    if lacking and not names:
        cls.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]  # of every class made by ABCMeta
    return names
