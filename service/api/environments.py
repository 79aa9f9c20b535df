"""The sets of packages that plugins depend on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from service.api.changes import carry_through
from service.api.keys import ENVIRONMENTS
from service.api.language import say
from service.api.responses import json_response
from service.api.version_messages import Environment, EnvironmentList, Pruned
from service.model.text import Text

if TYPE_CHECKING:
    from service.host.dependencies.environments import EnvironmentView

_NONE_UNUSED = Text(zh="没有无人使用的依赖", en="Every set of packages is in use")


async def list_environments(request: web.Request) -> web.Response:
    """List the sets of packages on disk, and which plugins use each."""
    environments = _told(await request.app[ENVIRONMENTS].list())
    return json_response(EnvironmentList(environments=environments, size=_size(environments)))


async def prune_environments(request: web.Request) -> web.Response:
    """Remove the sets that nobody uses. They go by themselves, too, soon after their last use."""
    removed = _told(await carry_through(request, request.app[ENVIRONMENTS].prune()))
    count = len(removed)
    message = _NONE_UNUSED
    if count:
        message = Text(
            zh=f"已清除 {count} 组依赖", en=f"{count} set{'' if count == 1 else 's'} of packages removed"
        )
    return json_response(Pruned(message=say(request, message), removed=removed, freed=_size(removed)))


def _told(views: Iterable[EnvironmentView]) -> list[Environment]:
    return [msgspec.convert(view, Environment, from_attributes=True) for view in views]


def _size(environments: Iterable[Environment]) -> int:
    return sum(one.size for one in environments)
