"""The source of a plugin and its revisions: to read, to write, to compare, and to go back to."""

from __future__ import annotations

import hashlib

import msgspec
from aiohttp import web

from service.api.body import read_json, read_text
from service.api.keys import EDITING, REVISING
from service.api.language import language_of
from service.api.messages import ChangedPlugin
from service.api.params import optional_text_in_query, plugin_in_path, revision_in_path, text_in_query
from service.api.responses import json_response
from service.api.version_messages import (
    Difference,
    File,
    FileList,
    Revision,
    RevisionFile,
    RevisionFiles,
    RevisionList,
    RollBack,
)
from service.errors import PlugbayError
from service.host.installing.placing import Installed
from service.host.plugin import Plugin

_ANY = "*"


async def list_files(request: web.Request) -> web.Response:
    """List the files of a plugin and the helpers that it imports, also where it does not load or is switched off.

    `source` reads and writes each of them by its `path`.
    """
    files = await request.app[EDITING].files(plugin_in_path(request))
    return json_response(FileList(files=[msgspec.convert(one, File, from_attributes=True) for one in files]))


async def get_source(request: web.Request) -> web.Response:
    """Read a file of a plugin as it is now.

    `path` is of a file beside it in a package, of its requirements file, or of a helper that it imports; the plugin's
    own file where none is given.
    The `ETag` is the content's SHA-256: sent back as `If-Match`, it keeps a change from overwriting another.
    """
    plugin = plugin_in_path(request)
    source = await request.app[EDITING].source(plugin, optional_text_in_query(request, "path"))
    response = web.Response(body=source.content, content_type="text/plain", charset="utf-8")
    response.etag = source.sha256
    return response


async def put_source(request: web.Request) -> web.Response:
    """Write a file of a plugin: it is loaded first, and is in its place and serves when this answers.

    A helper is loaded with every plugin that uses it and serves, and all of them serve with it when this answers;
    `plugin` of an error is the id of the one that does not load.

    Where it does not load, nothing is written, and the old code serves on. With `If-Match` it is only written over the
    content that has this `ETag`.
    """
    plugin = plugin_in_path(request)
    path = optional_text_in_query(request, "path")
    content = await read_text(request)
    expected = await _expected(request, plugin, path)
    # When the client goes away, this is cancelled: nothing is changed then, or it has its last step done.
    done = await request.app[EDITING].put_source(plugin, content, path=path, expected=expected)
    response = _plugin(request, done)
    response.etag = hashlib.sha256(content).hexdigest()
    return response


async def list_revisions(request: web.Request) -> web.Response:
    """List the revisions of a plugin that have served and are kept, newest first."""
    views = await request.app[REVISING].revisions(plugin_in_path(request))
    revisions = [msgspec.convert(view, Revision, from_attributes=True) for view in views]
    return json_response(RevisionList(revisions=revisions))


async def get_revision(request: web.Request) -> web.Response:
    """Read the files of a revision."""
    plugin = plugin_in_path(request)
    revision, files = await request.app[REVISING].files(plugin, revision_in_path(request))
    return json_response(
        RevisionFiles(revision=revision, files=[RevisionFile(path=one.path, text=one.text) for one in files])
    )


async def compare(request: web.Request) -> web.Response:
    """Compare a revision with another, or with what the files hold now, in the form of `diff -u`."""
    plugin = plugin_in_path(request)
    old, new = text_in_query(request, "from"), optional_text_in_query(request, "to")
    return json_response(Difference(diff=await request.app[REVISING].diff(plugin, old, new)))


async def roll_back(request: web.Request) -> web.Response:
    """Go back to a revision: its files are loaded, put in place, and serve when this answers.

    Where it does not load any more, nothing is changed. What is given up stays a revision to go back to.
    """
    plugin = plugin_in_path(request)
    body = await read_json(request, RollBack)
    return _plugin(request, await request.app[REVISING].rollback(plugin, body.revision))


def _plugin(request: web.Request, done: Installed) -> web.Response:
    view = msgspec.structs.asdict(done.plugin.in_language(language_of(request)))
    return json_response(ChangedPlugin(**view, change=done.change))


async def _expected(request: web.Request, plugin: Plugin, path: str | None) -> str | None:
    """The SHA-256 that the file must have, by `If-Match` (RFC 9110, 13.1.1); None where it may have any.

    What is no tag of ours matches nothing, as if it were an older content's: it must not be taken for no condition.
    """
    given = ",".join(request.headers.getall("If-Match", []))
    if not given.strip():
        return None
    tags = request.if_match or ()
    strong = [tag.value for tag in tags if not tag.is_weak]
    if strong == [_ANY] and given.strip() == _ANY:
        await request.app[EDITING].source(plugin, path)
        return None
    if len(strong) > 1:
        now = await _sha256(request, plugin, path)
        return now if now in strong else strong[0]
    return strong[0] if strong else given.strip().strip('"').lower()


async def _sha256(request: web.Request, plugin: Plugin, path: str | None) -> str | None:
    try:
        return (await request.app[EDITING].source(plugin, path)).sha256
    except PlugbayError:
        return None
