"""What was done, and undoing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from service.api.changes import carry_through
from service.api.keys import UNDOING
from service.api.language import language_of, say
from service.api.params import change_in_path, number_in_query, optional_text_in_query
from service.api.responses import json_response
from service.api.version_messages import Change, ChangeList, Undone
from service.model.text import Language, Text

if TYPE_CHECKING:
    from service.host.installing.undoing import ChangeView

CHANGES_DEFAULT = 50
CHANGES_MAX = 1000

_UNDONE = Text(zh="已撤销", en="Undone")


async def list_changes(request: web.Request) -> web.Response:
    """List what was done to the plugins and their configuration, newest first."""
    plugin = optional_text_in_query(request, "plugin")
    limit = number_in_query(request, "limit", default=CHANGES_DEFAULT, low=1, high=CHANGES_MAX)
    views = await request.app[UNDOING].changes(plugin=plugin, limit=limit)
    language = language_of(request)
    return json_response(ChangeList(changes=[_told(view, language) for view in views]))


async def undo_change(request: web.Request) -> web.Response:
    """Undo a change: the files, the configuration and the data are as they were before it.

    That is a change of its own, which can be undone too. Refused where something was changed since.
    """
    done = await carry_through(request, request.app[UNDOING].undo(change_in_path(request)))
    language = language_of(request)
    return json_response(
        Undone(
            message=say(request, _UNDONE),
            change=_told(done.change, language),
            plugin=None if done.plugin is None else done.plugin.in_language(language),
        )
    )


def _told(view: ChangeView, language: Language) -> Change:
    return Change(
        id=view.id,
        at=view.at,
        kind=view.kind,
        plugin=view.plugin,
        summary=view.summary.in_language(language),
        undoable=view.undoable,
        undone_by=view.undone_by,
        by=view.by,
    )
