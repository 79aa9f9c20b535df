"""The text that a new plugin begins with."""

from __future__ import annotations

import asyncio

from aiohttp import web

from service.api.keys import REGISTRY
from service.api.language import language_of
from service.api.messages import Template
from service.api.params import plugin_type, text_in_query
from service.api.problems import RequestInvalid
from service.api.responses import json_response
from service.errors import PluginExists, PluginNotFound
from service.model.text import Text
from service.scaffolds import scaffold


async def get_template(request: web.Request) -> web.Response:
    """Read the text that a new plugin begins with: one that works as it is, with comments that tell how it is done.

    Nothing is written. `file` is where an install puts it. A name that cannot be one is refused, and so is one that is
    taken.
    """
    type = plugin_type(text_in_query(request, "plugin_type"), "plugin_type")
    name = text_in_query(request, "name")
    if (problem := scaffold.name_problem(name)) is not None:
        raise RequestInvalid(Text(zh=f"name：{problem.zh}", en=f"name: {problem.en}"), field="name")
    try:
        held = request.app[REGISTRY].find(type, name)
    except PluginNotFound:
        pass
    else:
        raise PluginExists(str(held.identity), held.file)
    text = await asyncio.to_thread(scaffold.text_of_plugin, type.value, name, language_of(request))
    return json_response(Template(file=f"plugins/{type.value}/{name}{scaffold.SUFFIX}.py", text=text))
