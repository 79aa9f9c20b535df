"""The bodies of granting a plugin what it asks for."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from service.api.messages import Request
from service.model.plugin import LoadError, PluginView

Port = Annotated[int, Meta(ge=1, le=65535)]
Folder = Annotated[str, Meta(min_length=1, max_length=4096)]


class GrantedPart(Request, frozen=True, kw_only=True):
    """The part of what a plugin asks for that it is granted: the network where it is left out, and no folders."""

    network: bool | Annotated[list[Port], Meta(max_length=100)] = True
    read: Annotated[list[Folder], Meta(max_length=100)] = []
    write: Annotated[list[Folder], Meta(max_length=100)] = []


class Grant(Request, frozen=True, kw_only=True):
    """Grant a plugin all that it asks for (`true`) or a part of it, or take back what was granted (`false`)."""

    grant: bool | GrantedPart


class PluginGranted(msgspec.Struct, frozen=True, kw_only=True):
    """The plugin with what it was granted, in `permissions`.

    `error` is why the plugin does not load with that, `null` where it does. `change` is what can be undone, `null`
    where it was granted just that already.
    """

    status: Literal["success"] = "success"
    plugin: PluginView
    error: LoadError | None
    change: str | None
