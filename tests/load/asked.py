"""What requests come to: how each is answered, and what the model is afterwards."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.load.facts import Config, Failure, Served, Unit, path_of
from tests.load.model import UNSAID, Model, Unsaid
from tests.load.written import Code


class Expected(NamedTuple):
    """How a request is answered: 200, or the status and code that it is refused with."""

    status: int = 200
    code: str | None = None


DONE = Expected()
NOT_FOUND = Expected(404, "plugin_not_found")
EXISTS = Expected(409, "plugin_exists")
INVALID = Expected(422, "plugin_invalid")
SUPERSEDED = Expected(409, "change_superseded")
# What may be amiss with an install, and how it is answered.
ODDITIES = {
    "no such address": Expected(502, "fetch_failed"),
    "not over http": Expected(400, "request_invalid"),
    "link-local": Expected(400, "url_refused"),
    "unknown field": Expected(400, "request_invalid"),
    "another hash": Expected(422, "hash_mismatch"),
    "dry run": DONE,
}


@dataclass(frozen=True)
class Deletion:
    """What a deletion took, so that it can be undone; `change` has its id once it is known."""

    unit: Unit
    code: Code
    part: int | str | None
    entry: dict[str, Any] | None
    change: list[str] = field(default_factory=list)


class Asked:
    """See the module.

    Attributes:
        origin: what is offered at an address, by path.
        deletions: those that may be undone, the newest last.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.origin: dict[str, Code] = {}
        self.deletions: list[Deletion] = []

    # -- files ---------------------------------------------------------------------------------------------------

    def install(self, type_: str, stem: str, *, replace: bool, odd: str | None) -> Expected:
        """Install what is offered as a file of this name; `odd` is what is amiss with it, one of `ODDITIES`."""
        model, path = self.model, path_of(type_, stem)
        code = self.origin[path]
        there = model.units.get(path)
        if odd == "no such address":
            return ODDITIES[odd]
        if odd == "dry run":
            return DONE
        if odd is not None and (odd != "another hash" or there is None or replace):
            return ODDITIES[odd]
        if there is not None and not replace:
            return EXISTS
        if isinstance(model.load(there or Unit(type_, stem, code), code), Failure):
            return INVALID
        held = model.holder(type_, code.name) or there
        if held is not None and not replace:
            return EXISTS
        if held is not None and held.is_package:
            # A file takes the place of a folder.
            held.code = None
            model.helpers.pop(held.part, None)
            held = None
        unit = self._put(held or Unit(type_, stem, code), code)
        unit.source, unit.unsure = (path, code), False
        model.installed.add(unit.path)
        return DONE

    def edit(self, unit: Unit, code: Code, *, fresh: bool) -> Expected:
        """Save a file over the API; `fresh` is whether the content is known that is replaced."""
        model = self.model
        if not fresh:
            return Expected(412, "source_changed")
        if isinstance(model.load(unit, code), Failure):
            return INVALID
        return self._change(unit, code)

    def update(self, unit: Unit, *, replace: bool) -> Expected:
        """Take over what the address of a plugin offers."""
        if unit.source is None:
            return Expected(409, "no_origin")
        path, installed = unit.source
        if unit.code != installed and not replace:
            return Expected(409, "locally_modified")
        if (code := self.origin.get(path)) is None:
            return Expected(502, "fetch_failed")
        if code == installed and unit.code == installed:
            return DONE
        if isinstance(self.model.load(unit, code), Failure):
            return INVALID
        if (expected := self._change(unit, code)) is DONE:
            unit.source = (path, code)
        return expected

    def roll_back(self, unit: Unit, served: Served) -> Expected:
        """Have a revision serve again, in the file that it was in."""
        model = self.model
        if isinstance(model.load(unit, served.code, served.helper if unit.is_package else UNSAID), Failure):
            return INVALID
        moves = served.stem != unit.stem and path_of(unit.type, served.stem) not in model.units
        expected = self._change(
            unit, served.code, stem=served.stem if moves else unit.stem, part=served.helper
        )
        unit.unsure = True
        return expected

    def delete(self, unit: Unit) -> Expected:
        """Delete a plugin's file and its configuration."""
        assert unit.code is not None
        model = self.model
        entry = model.config.get(unit.key)
        self.deletions.append(
            Deletion(deepcopy(unit), unit.code, model.helpers.get(unit.part), deepcopy(entry))
        )
        if entry is not None:
            self._store({key: value for key, value in model.config.items() if key != unit.key})
        unit.code = None
        model.installed.discard(unit.path)
        model.vanish(unit)
        return DONE

    def undo(self, deletion: Deletion) -> Expected:
        """Have a deleted plugin back."""
        model, was = self.model, deletion.unit
        if was.path in model.units or was.key in model.config:
            return SUPERSEDED
        if model.holder(was.type, was.listed) is not None:
            return SUPERSEDED
        if deletion.entry is not None:
            self._store({**model.config, was.key: deletion.entry})
        if deletion.part is not None:
            model.helpers[was.part] = deletion.part
        unit = Unit(was.type, was.stem, deletion.code, source=was.source, unsure=True)
        model.bring_back(unit)
        self.deletions.remove(deletion)
        return DONE

    # -- switches and settings -----------------------------------------------------------------------------------

    def toggle(self, unit: Unit, enabled: bool) -> Expected:
        """Switch a plugin on or off."""
        model = self.model
        if model.enabled(unit.type, unit.listed or "") is not enabled:
            entry = {**model.config.get(unit.key, {}), "_enabled": enabled}
            self._store({**model.config, unit.key: entry})
            model.follow(unit, "enabled")
        return DONE

    def configure(self, unit: Unit, values: dict[str, Any]) -> Expected:
        """Store a plugin's settings."""
        model = self.model
        if unit.said and not isinstance(values.get("limit", 0), int):
            return Expected(422, "config_invalid")
        before = model.config.get(unit.key, {})
        own = {name: value for name, value in before.items() if name.startswith("_")}
        if unit.manifest is not None and unit.manifest.needs_word and values.get("word") == "":
            values = {name: value for name, value in values.items() if name != "word"}
        if {**values, **own} != before:
            self._store({**model.config, unit.key: {**values, **own}})
            self._follow_config(unit)
        return DONE

    def write_config(self, config: Config | str) -> None:
        """`config/plugins.json` is written by hand; text is what cannot be read."""
        model = self.model
        if isinstance(config, str):
            model.corrupt = config
            return
        before, model.config, model.corrupt = model.config, config, None
        for unit in model.listed():
            old, new = before.get(unit.key, {}), config.get(unit.key, {})
            if old == new and (unit.key in before) == (unit.key in config):
                continue
            if unit.off and new.get("_enabled", True):
                model.follow(unit, "enabled")
            else:
                self._follow_config(unit)

    def reload(self, unit: Unit) -> Expected:
        """Load a plugin anew."""
        if unit.off:
            return Expected(409, "plugin_disabled")
        self.model.follow(unit)
        return DONE

    def reload_all(self) -> tuple[int, int]:
        """Load all that is on anew; how many do, and how many do not."""
        units = [unit for unit in self.model.listed() if not unit.off]
        for unit in units:
            self.model.follow(unit)
        failed = sum(unit.failure is not None for unit in units)
        return len(units) - failed, failed

    # -- small parts ---------------------------------------------------------------------------------------------

    def _change(
        self, unit: Unit, code: Code, *, stem: str | None = None, part: int | str | Unsaid | None = UNSAID
    ) -> Expected:
        """Replace a plugin's file by another of the same plugin."""
        model = self.model
        if unit.said and code.name != unit.listed:
            return Expected(422, "name_changed")
        if model.holder(unit.type, code.name) not in (None, unit):
            return EXISTS
        if stem is not None and stem != unit.stem:
            del model.units[unit.path]
            before, unit.stem = unit.part, stem
            model.units[unit.path] = unit
            if before in model.helpers:
                model.helpers[unit.part] = model.helpers.pop(before)
        differs = False
        if unit.is_package and not isinstance(part, Unsaid):
            differs = model.helpers.get(unit.part) != part
            if part is None:
                model.helpers.pop(unit.part, None)
            else:
                model.helpers[unit.part] = part
        self._put(unit, code, differs=differs)
        return DONE

    def _put(self, unit: Unit, code: Code, *, differs: bool = False) -> Unit:
        """A code that loads is in this file from now on."""
        self.model.units[unit.path] = unit
        as_it_was, unit.code = unit.code == code and not differs, code
        self.model.adopt(unit, as_it_was=as_it_was)
        return unit

    def _follow_config(self, unit: Unit) -> None:
        if unit.off:
            self.model.tell(unit, "configured")
        else:
            self.model.follow(unit, "configured")

    def _store(self, config: Config) -> None:
        """The server writes the file, whatever it held."""
        self.model.config, self.model.corrupt = config, None


def answer_of(unit: Unit | None) -> str:
    """What a call of a plugin gives, or the code that it is refused with."""
    if unit is None:
        return "plugin_not_found"
    if unit.off:
        return "plugin_disabled"
    return unit.serving.answer if unit.serving is not None else "plugin_unavailable"
