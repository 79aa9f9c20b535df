"""Updating plugins from where they came from, and trying a plugin without installing it."""

from __future__ import annotations

from aiohttp import web

from service.api.body import read_optional_json
from service.api.installing import read_install_request
from service.api.keys import CHECKS, INSTALLER, INSTALLS, UPDATES
from service.api.language import language_of, localised, say
from service.api.pacing import take_turn
from service.api.params import plugin_in_path
from service.api.responses import json_response
from service.api.version_messages import Outdated, OutdatedList, Updated, UpdateOne
from service.model.text import Text

_UPDATED = Text(zh="插件更新成功并已加载", en="The plugin was updated and loaded")
_CURRENT = Text(zh="插件已是最新", en="The plugin is as its origin has it")


async def check_plugin(request: web.Request) -> web.Response:
    """Try a plugin from an address (JSON) or a file (multipart) in a worker that is thrown away.

    Its dependencies are resolved and installed, it is loaded, and what it provides or why it fails is told; nothing is
    put in place, nothing stays behind.
    """
    take_turn(request, CHECKS)
    wanted = await read_install_request(request)
    told = localised(await request.app[INSTALLER].check(wanted), language_of(request))
    provides = told.get("provides") or {}
    return json_response({"load_ms": provides.get("load_ms"), **told, "status": "checked"})


async def list_outdated(request: web.Request) -> web.Response:
    """Ask the address of each plugin that was installed from one whether it has another content by now."""
    language = language_of(request)
    views = await request.app[UPDATES].outdated()
    return json_response(
        OutdatedList(
            plugins=[
                Outdated(
                    id=view.id,
                    version=view.version,
                    latest_version=view.latest_version,
                    url=view.url,
                    state=view.state,
                    sha256=view.sha256,
                    problem=localised(view.problem, language),
                )
                for view in views
            ]
        )
    )


async def update_plugin(request: web.Request) -> web.Response:
    """Update a plugin from its origin, as one transaction: it serves when this answers, or nothing was changed.

    Refused where the plugin was edited here (`replace` overrides) and where it would come from another place than it
    did (`accept_origin`). `dry_run` only says what would happen.
    """
    take_turn(request, INSTALLS)
    plugin = plugin_in_path(request)
    body = await read_optional_json(request, UpdateOne) or UpdateOne()
    language = language_of(request)
    # When the client goes away, this is cancelled: nothing is changed then, or it has its last step done.
    done = await request.app[UPDATES].update(
        plugin, dry_run=body.dry_run, replace=body.replace, accept_origin=body.accept_origin
    )
    if isinstance(done, dict):
        return json_response({"status": "plan"} | localised(done, language))
    return json_response(
        Updated(
            status="success" if done.changed else "current",
            message=say(request, _UPDATED if done.changed else _CURRENT),
            plugin=done.plugin.in_language(language),
            change=done.change,
        )
    )
