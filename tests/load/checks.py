"""Whether a server is as the model says: its list, its clients, its answers, its files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.load.asked import answer_of
from tests.load.facts import CONFLICT, Unit
from tests.load.followers import Follower, Plugins, Told
from tests.load.model import Model
from tests.load.world import World
from tests.load.written import Code


async def agree(world: World, model: Model, *, since: int) -> None:
    """See that the events of a step have told what they had to, and that all else is as the model says.

    Args:
        world: the server.
        model: as it is after the step.
        since: how many events there had been before it.
    """

    def came() -> dict[str, list[str]]:
        found = by_plugin(world.staying.events[since:])
        return {id: kinds for id, kinds in found.items() if id != world.apart[1]}

    async def told() -> bool:
        return model.agrees(came())

    await world.until(told, lambda: _unlike(model, came()))

    async def stored() -> bool:
        return bool(await world.stored() == model.config)

    # An edit by hand may concern no plugin that there is, so that no event tells that it counts.
    await world.until(stored, lambda: f"the configuration is not {model.config}")
    listed = await world.listed()
    seen = {id: seen_of(plugin, model) for id, plugin in listed.items()}
    wanted = {unit.id: _wanted(unit) for unit in model.listed()}
    odd = [
        f"{id}: {seen.get(id)}, not {wanted.get(id)}"
        for id in seen | wanted
        if seen.get(id) != wanted.get(id)
    ]
    assert not odd, f"GET /api/plugins: {odd}"
    await _follow(world)
    for unit in model.listed():
        if unit.type == "search" or unit.serving is not None:
            assert unit.listed is not None
            called = await world.call(unit.type, unit.listed)
            expected = answer_of(unit)
            assert called == expected or (unit.type == "parser" and called == "refused"), (
                unit.id,
                called,
                expected,
            )
    assert world.files == _files(model), "the files"
    text = world.config_text
    assert text == model.corrupt if model.corrupt is not None else json.loads(text) == model.config, text


async def _follow(world: World) -> None:
    """See that every client knows by events just what the list has, and that all were told the same."""
    for follower in world.followers:
        await _knows_all(world, follower)
    last = min(follower.seq for follower in world.followers)
    told = [
        [one for one in follower.events if world.begun < one.seq <= last]
        for follower in world.followers
        if not follower.restarts
    ]
    assert all(one == told[0] for one in told), "all clients are told the same"


async def _knows_all(world: World, follower: Follower) -> None:
    listed: Plugins = {}

    async def knows() -> bool:
        nonlocal listed
        # What may come or not may come while this looks.
        listed = await world.listed()
        await follower.look()
        return world.known(follower.plugins) == listed

    def unlike() -> str:
        known = world.known(follower.plugins)
        odd = [id for id in known | listed if known.get(id) != listed.get(id)]
        told = [f"{known.get(id)}, there is {listed.get(id)}" for id in odd]
        return f"{type(follower).__name__} knows {told}"

    await world.until(knows, unlike)


def by_plugin(events: list[Told]) -> dict[str, list[str]]:
    """The kinds of the events that end changes, by plugin."""
    found: dict[str, list[str]] = {}
    for event in events:
        if event.kind:
            found.setdefault(event.id, []).append(event.kind)
    return found


def seen_of(plugin: Mapping[str, Any], model: Model) -> dict[str, Any]:
    """What of a plugin in the list the model has an opinion on."""
    error = plugin["error"]
    found = {
        "name": plugin["name"],
        "file": plugin["file"],
        "enabled": plugin["enabled"],
        "state": plugin["state"],
        "error": error and error["stage"],
    }
    if error is not None and error["code"] == CONFLICT:
        found["conflict"] = all(path in error["message"] for path in _claimed(plugin, model))
    if plugin["state"] in ("active", "degraded"):
        found["version"] = plugin["version"]
        found["missing"] = plugin["config_missing"]
    return found


def _claimed(plugin: Mapping[str, Any], model: Model) -> list[str]:
    unit = model.units.get(plugin["file"].removeprefix("plugins/"))
    holder = unit.failure.holder if unit is not None and unit.failure is not None else None
    return [plugin["file"], str(holder)]


def _wanted(unit: Unit) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": unit.listed,
        "file": f"plugins/{unit.path}",
        "enabled": not unit.off,
        "state": unit.state,
        "error": unit.failure.stage if unit.failure is not None else None,
    }
    if unit.failure is not None and unit.failure.code == CONFLICT:
        found["conflict"] = True
    if unit.serving is not None:
        found["version"] = unit.serving.code.version
        found["missing"] = ["word"] if unit.serving.lacks else []
    return found


def _files(model: Model) -> dict[str, str]:
    found = {
        unit.main_file: unit.code.text(unit.type) for unit in model.units.values() if unit.code is not None
    }
    found |= {
        unit.requirements: requirements_text(unit.code)
        for unit in model.units.values()
        if unit.code is not None and unit.code.beside
    }
    return found | {path: helper_text(content) for path, content in model.helpers.items()}


def requirements_text(code: Code) -> str:
    """What stands in the requirements file of a plugin."""
    return f"{code.requirement}\n"


def helper_text(content: int | str) -> str:
    """What stands in a helper."""
    return f"VALUE = {content}\n" if isinstance(content, int) else "def (:\n"


def _unlike(model: Model, events: dict[str, list[str]]) -> str:
    wanted = {id: model.pattern(id) for id in sorted(model.told)}
    return f"there came {events}, to come was {wanted}"
