"""Who a plugin is: its type and its name; and where its file lies."""

from __future__ import annotations

import unicodedata
from enum import StrEnum

import msgspec

NAME_MAX_LENGTH = 64


class PluginType(StrEnum):
    """What a plugin does; also the name of its folder under `plugins/`."""

    SEARCH = "search"
    DOWNLOAD = "download"
    PARSER = "parser"


class Identity(msgspec.Struct, frozen=True, order=True):
    """`(type, name)`: what requests, events and configuration know a plugin by."""

    type: PluginType
    name: str

    def __str__(self) -> str:
        return f"{self.type.value}/{self.name}"

    @property
    def config_key(self) -> str:
        """Its key in `config/plugins.json`."""
        return f"{self.type.value}:{self.name}"

    @property
    def subject(self) -> str:
        """The subject of its events."""
        return f"plugins/{self.type.value}/{self.name}"


def is_valid_name(name: str) -> bool:
    """Whether `name` is 1 to 64 letters (of any script), digits, `_` or `-`."""
    return 0 < len(name) <= NAME_MAX_LENGTH and all(
        char in "_-" or unicodedata.category(char)[0] in "LNM" for char in name
    )
