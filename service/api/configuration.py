"""The configuration of plugins: of one, and all of it as one document."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from service.api.body import check_depth, read_json
from service.api.changes import carry_through
from service.api.grant_messages import Grant, PluginGranted
from service.api.keys import OPERATIONS
from service.api.language import language_of, say
from service.api.messages import (
    ConfigExport,
    ConfigImported,
    ConfigPlan,
    EnabledChange,
    FieldChange,
    FieldError,
    ImportConfig,
    PlannedConfig,
    PluginConfig,
    PluginConfigured,
)
from service.api.params import plugin_in_path
from service.api.responses import json_response
from service.host.configuration.import_plan import ImportPlan
from service.model import moment
from service.model.text import Text


async def get_config(request: web.Request) -> web.Response:
    """Read a plugin's configuration: the stored values over the schema's defaults.

    A password reads as `********`; sending that back keeps the stored one.
    """
    return json_response(PluginConfig(config=request.app[OPERATIONS].get_config(plugin_in_path(request))))


async def put_config(request: web.Request) -> web.Response:
    """Replace a plugin's configuration, which starts a new generation with it.

    An empty string means not set. Unknown keys are kept and named in `warnings`. Where the plugin does not load with
    the new values, `error` says why, and the generation before serves on.
    """
    plugin = plugin_in_path(request)
    values = await read_json(request, dict[str, Any])
    check_depth(values)
    stored = await carry_through(request, request.app[OPERATIONS].put_config(plugin, values))
    language = language_of(request)
    return json_response(
        PluginConfigured(
            config=stored.config,
            warnings=[say_warning(request, item) for item in stored.warnings],
            plugin=stored.plugin.in_language(language),
            error=None if stored.error is None else stored.error.in_language(language),
            change=stored.change,
        )
    )


async def grant(request: web.Request) -> web.Response:
    """Grant a plugin what it asks for, or a part of it, or take that back; a new generation starts with it.

    Only what its file asks for can be granted. `false` leaves what is so where nobody has granted anything: the network
    and no folders, and all that it asks for where the plugin came with the server. Where the plugin does not load with
    it, `error` says why, and the generation before serves on.
    """
    plugin = plugin_in_path(request)
    wish = (await read_json(request, Grant)).grant
    part = wish if isinstance(wish, bool) else msgspec.to_builtins(wish)
    done = await carry_through(request, request.app[OPERATIONS].grant(plugin, part))
    language = language_of(request)
    return json_response(
        PluginGranted(
            plugin=done.plugin.in_language(language),
            error=None if done.error is None else done.error.in_language(language),
            change=done.change,
        )
    )


async def export_config(request: web.Request) -> web.Response:
    """Read the configuration of all plugins, passwords included."""
    return json_response(
        ConfigExport(
            config=request.app[OPERATIONS].export_config(),
            timestamp=moment.now("microseconds"),
        )
    )


async def import_config(request: web.Request) -> web.Response:
    """Take over the configuration of many plugins at once, as an export gave it.

    Entries of plugins that are not there are kept for later. Either every entry fits or nothing is changed. `dry_run`
    only says what would change, and what would be refused.
    """
    body = await read_json(request, ImportConfig)
    check_depth(body.config)
    if body.dry_run:
        return json_response(_planned(request, await request.app[OPERATIONS].plan_import(body.config)))
    done = await carry_through(request, request.app[OPERATIONS].import_config(body.config))
    count = done.reloaded_count
    message = Text(
        zh=f"配置导入成功，已重新加载 {count} 个插件",
        en=f"The configuration was imported and {count} plugins were reloaded",
    )
    return json_response(
        ConfigImported(reloaded_count=count, message=say(request, message), change=done.change)
    )


def _planned(request: web.Request, plan: ImportPlan) -> ConfigPlan:
    language = language_of(request)
    return ConfigPlan(
        reloaded_count=plan.reloaded_count,
        changes=[
            PlannedConfig(
                id=one.id,
                present=one.present,
                enabled=EnabledChange(old=one.enabled[0], new=one.enabled[1]) if one.enabled else None,
                fields=[FieldChange(field=name, old=old, new=new) for name, old, new in one.fields],
                errors=[
                    FieldError(field=field, message=text.in_language(language)) for field, text in one.errors
                ],
            )
            for one in plan.changes
        ],
    )


def say_warning(request: web.Request, warning: str | Text) -> str:
    """A warning in the language of the request, where it knows both."""
    return say(request, warning) if isinstance(warning, Text) else warning
