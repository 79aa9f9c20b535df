"""What has to be so: the files as they were written, and what a server makes of them by its own promises.

Nothing here asks a server. A step changes what is on the disk or is a request; the model then knows what runs under
which name, what the list says of it, and which events tell of that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tests.load.facts import CONFLICT, Config, Failure, Running, Served, Unit, path_of
from tests.load.written import FAULTS, PART, UNMET, UNRUN, Code

# For so many steps what may come or not may still come.
STEPS_LATE = 5


class Unsaid:
    """Nothing is given."""


UNSAID = Unsaid()


@dataclass
class Model:
    """See the module.

    Attributes:
        config: what is in force.
        corrupt: what `config/plugins.json` holds instead, where that cannot be read.
        helpers: what each holds: a number, `typo`, or nothing.
        served: the revisions that did, by id.
        last_good: what served last, by file.
        installed: the files that an install put in place, also those that went since.
        told: what events have to tell in this step, by id: each a choice of phrases, with `?` at its end where it
            may be left out, `~` where it comes before what follows if it comes at all.
        late: what the last steps may have had to tell, or not.
    """

    units: dict[str, Unit] = field(default_factory=dict)
    config: Config = field(default_factory=dict)
    corrupt: str | None = None
    helpers: dict[str, int | str] = field(default_factory=dict)
    served: dict[str, list[Served]] = field(default_factory=dict)
    last_good: dict[str, Served] = field(default_factory=dict)
    installed: set[str] = field(default_factory=set)
    told: dict[str, list[str]] = field(default_factory=dict)
    late: list[dict[str, list[str]]] = field(default_factory=list)

    # -- looking -------------------------------------------------------------------------------------------------

    def listed(self) -> list[Unit]:
        """All that is listed, by id."""
        return sorted((one for one in self.units.values() if one.listed is not None), key=lambda one: one.id)

    def holder(self, type_: str, name: str | None) -> Unit | None:
        """Who is listed by a name."""
        return next((one for one in self.units.values() if (one.type, one.listed) == (type_, name)), None)

    def find(self, type_: str, name: str) -> Unit | None:
        """Whom a request names: by the exact name first, then by the file's stem."""
        if (exact := self.holder(type_, name)) is not None:
            return exact
        return next(
            (one for one in self.listed() if one.type == type_ and name in (one.stem, one.short)), None
        )

    def enabled(self, type_: str, name: str) -> bool:
        return self.config.get(f"{type_}:{name}", {}).get("_enabled", True) is not False

    def waiting(self, type_: str, name: str | None) -> list[Unit]:
        """Those that would have a name that another has, by path."""
        found = [one for one in self.units.values() if one.type == type_ and one.claims == name]
        return sorted(found, key=lambda one: one.path)

    def load(
        self, unit: Unit, code: Code | None = None, helper: int | str | Unsaid | None = UNSAID
    ) -> Running | Failure:
        """What becomes of a code when it is loaded now, with the module that it imports as it is, or as it is given."""
        code = code or unit.code
        assert code is not None
        if code.library in UNMET:
            return Failure("dependencies")
        if isinstance(helper, Unsaid):
            helper = self.helpers.get(module_of(unit, code) or "")
        if code.fault is not None and FAULTS[code.fault] == "import":
            return Failure("import")
        if code.helper is not None and not code.late and not isinstance(helper, int):
            return Failure("import")
        if code.fault is not None:
            return Failure(FAULTS[code.fault])
        values = self.config.get(f"{unit.type}:{code.name}", {})
        config = {name: value for name, value in values.items() if not name.startswith("_")}
        return Running(code, config, helper)

    def pattern(self, id: str) -> str:
        """The final events of an id in this step, as a regular expression over their kinds."""
        found = ""
        for choice in self.told.get(id, []):
            phrases = "|".join(f"{phrase} " for phrase in choice.rstrip("?~").split("|"))
            found += f"(?:{phrases})" + ("?" if choice.endswith(("?", "~")) else "")
        return found

    def agrees(self, events: dict[str, list[str]]) -> bool:
        """Whether these events, kinds by id, are what this step has to tell."""
        return all(
            re.fullmatch(self.pattern(id), "".join(f"{kind} " for kind in events.get(id, [])))
            for id in self.told.keys() | events.keys()
        )

    def begin(self) -> None:
        """A step begins. What the last ones may have had to tell, or not, may still come before anything else."""
        vague = {
            id: [choice for choice in choices if choice.endswith("?")] for id, choices in self.told.items()
        }
        self.late = [*self.late, {id: choices for id, choices in vague.items() if choices}][-STEPS_LATE:]
        self.told = {}
        for told in self.late:
            for id, choices in told.items():
                self.told.setdefault(id, []).extend(choice.replace("?", "~") for choice in choices)

    @property
    def is_ambiguous(self) -> bool:
        """Whether several files wait for one name: whoever loads first will get it, and nobody can say who that is."""
        waiting = [(one.type, one.claims) for one in self.units.values() if one.claims is not None]
        return len(waiting) != len(set(waiting))

    # -- files ---------------------------------------------------------------------------------------------------

    def write(self, type_: str, stem: str, code: Code, *, kind: str = "loaded") -> Unit:
        """A file comes to hold this code."""
        path = path_of(type_, stem)
        # What is put where something had been installed may count as that, edited.
        unit = self.units.setdefault(path, Unit(type_, stem, None, unsure=path in self.installed))
        unit.code = code
        self.follow(unit, kind)
        return unit

    def remove(self, unit: Unit) -> None:
        """A file is deleted by hand: whoever waits for its name takes it over."""
        unit.code = None
        heirs = self.waiting(unit.type, unit.listed)
        if heirs and isinstance(self.load(heirs[0]), Running) and not heirs[0].off:
            self.follow(heirs[0])
        self.vanish(unit)

    def rename(self, unit: Unit, stem: str) -> None:
        """A file is renamed."""
        code, unit.code = unit.code, None
        assert code is not None
        if unit.part in self.helpers:
            self.helpers[f"{path_of(unit.type, stem)}/{PART}.py"] = self.helpers.pop(unit.part)
        self.write(unit.type, stem, code)
        if unit.path in self.units:
            self.vanish(unit)

    def bring_back(self, unit: Unit) -> None:
        """A file is there again; where it does not load, what served last from it does."""
        self.units[unit.path] = unit
        self.follow(unit)
        good = self.last_good.get(unit.path)
        if unit.off or unit.serving is not None or good is None or unit.claims == good.code.name:
            return
        name, failure = good.code.name, unit.failure
        again = self.load(unit, good.code, good.helper)
        if not isinstance(again, Running) or self.holder(unit.type, name) not in (None, unit):
            return
        self.told.pop(unit.id)
        unit.listed, unit.manifest = name, good.code
        if self.enabled(unit.type, name):
            unit.serving, unit.failure = again, failure
            self.tell(unit, "failed")
        else:
            self.switch_off(unit)

    def vanish(self, unit: Unit) -> None:
        """A file is gone, and so is what it was listed by."""
        self.units.pop(unit.path, None)
        self.helpers.pop(unit.part, None)
        if unit.listed is not None:
            self.tell(unit, "unloaded")
            unit.listed = None
        self.hand_on()

    def help(self, path: str, content: int | str | None) -> None:
        """A helper comes to hold something else, or goes."""
        if content is None:
            self.helpers.pop(path, None)
        else:
            self.helpers[path] = content
        for unit in list(self.units.values()):
            if unit.off or unit.code is None:
                continue
            module = module_of(unit, unit.code)
            served = module_of(unit, unit.serving.code) if unit.serving is not None else None
            if module == path and (unit.code.fault in UNRUN or unit.code.library in UNMET):
                # Nobody can say what a file imports that was never run; it may be tried again or not.
                self.tell(unit, "failed?")
            elif module == path:
                self.follow(unit)
            elif served == path:
                self.tell(unit, "failed?")

    # -- what follows --------------------------------------------------------------------------------------------

    def follow(self, unit: Unit, kind: str = "loaded") -> None:
        """Have what runs follow a file that changed, or was asked to be loaded anew."""
        if not self.enabled(unit.type, unit.listed or self._free_name(unit)):
            self._list(unit)
            unit.claims = None
            self.switch_off(unit)
            return
        unit.off = False
        loaded = self.load(unit)
        unit.claims = None
        if isinstance(loaded, Running):
            name = loaded.code.name
            holder = self.holder(unit.type, name)
            if holder is not None and holder is not unit and holder.code is not None:
                if holder.said:
                    if self._rotate(unit, name, holder):
                        return
                    unit.claims = name
                    loaded = Failure("contract", CONFLICT, holder.path)
                else:
                    # It has the name by its file only.
                    holder.listed = holder.stem
                    self.tell(holder, "failed")
        if isinstance(loaded, Failure):
            self._list(unit)
            unit.failure = loaded
            self.tell(unit, "failed")
            return
        self._serve(unit, loaded, kind)

    def adopt(self, unit: Unit, *, as_it_was: bool) -> None:
        """What a file holds now was loaded before it was put there: it serves."""
        loaded = self.load(unit)
        assert isinstance(loaded, Running)
        if as_it_was and unit.off and unit.listed == loaded.code.name:
            # It may only come to be known better.
            self.tell(unit, "disabled?")
            unit.manifest = loaded.code
        else:
            self._serve(unit, loaded, "loaded")

    def _serve(self, unit: Unit, loaded: Running, kind: str) -> None:
        name = loaded.code.name
        holder = self.holder(unit.type, name)
        served = unit.serving is not None if holder is unit else False
        choice = ("reloaded" if served else "loaded") if kind == "loaded" else kind
        if unit.listed is None and (until := self._free_name(unit)) != name:
            # While it takes its time, it is listed by its file's name.
            self.told.setdefault(f"{unit.type}/{until}", []).append("unloaded~")
        if unit.listed not in (None, name):
            self.tell(unit, "unloaded")
        if holder is not None and holder is not unit:
            # Its file is gone, so this is the same plugin in another file.
            choice = "reloaded" if holder.serving is not None else "loaded|unloaded loaded"
            self.units.pop(holder.path, None)
            holder.listed = None
        unit.listed, unit.manifest, unit.claims, unit.off = name, loaded.code, None, False
        if not self.enabled(unit.type, name):
            self.switch_off(unit, anew=True)
        else:
            unit.serving, unit.failure = loaded, None
            self.tell(unit, choice)
            self._keep(unit, loaded)
        self.hand_on()

    def switch_off(self, unit: Unit, *, anew: bool = False) -> None:
        """Nothing of a plugin is to run."""
        unit.off, unit.serving, unit.failure = True, None, None
        self.tell(unit, "disabled|unloaded disabled" if anew else "disabled")

    def hand_on(self) -> None:
        """Names that are free now go to those that wait for them."""
        for unit in sorted(self.units.values(), key=lambda one: one.path):
            if unit.claims is not None and self.holder(unit.type, unit.claims) in (None, unit):
                self.follow(unit)

    def _rotate(self, unit: Unit, name: str, holder: Unit) -> bool:
        """Whether each of some files claims the name of the next, and the last that of this: they changed places."""
        circle, claimed, there = [unit], [name], holder
        while there is not unit:
            if (
                there in circle
                or there.claims is None
                or (found := self.holder(there.type, there.claims)) is None
            ):
                return False
            circle.append(there)
            claimed.append(there.claims)
            there = found
        if unit.listed is None:
            return False
        for one, mine in zip(circle, claimed, strict=True):
            one.listed, one.claims = mine, None
            loaded = self.load(one)
            assert isinstance(loaded, Running)
            one.serving, one.manifest, one.failure = loaded, loaded.code, None
            self.tell(one, "reloaded")
            self._keep(one, loaded)
        return True

    def _keep(self, unit: Unit, loaded: Running) -> None:
        kept = self.served.setdefault(unit.id, [])
        newest = Served(loaded.code, unit.stem, loaded.helper)
        if unit.is_package:
            kept[:] = [one for one in kept if one != newest] + [newest]
        else:
            # A helper is no part of a revision.
            kept[:] = [one for one in kept if (one.code, one.stem) != (newest.code, newest.stem)] + [newest]
        self.last_good[unit.path] = newest

    def _list(self, unit: Unit) -> None:
        if unit.listed is None:
            unit.listed = self._free_name(unit)

    def _free_name(self, unit: Unit) -> str:
        return unit.short if self.holder(unit.type, unit.short) is None else unit.stem

    def tell(self, unit: Unit, choice: str) -> None:
        """Have events of this step tell of a plugin."""
        self.told.setdefault(unit.id, []).append(choice)


def module_of(unit: Unit, code: Code) -> str | None:
    """The path of the module that a code imports."""
    return unit.part if code.helper == PART else code.helper
