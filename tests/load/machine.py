"""Whatever is done to plugins, one thing after the other, the server is as the model says after each."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Coroutine
from copy import deepcopy
from typing import Any, ClassVar, TypeVar

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.load.asked import DONE, NOT_FOUND, Asked, Expected, answer_of
from tests.load.checks import agree, helper_text
from tests.load.model import Model, Unit
from tests.load.world import Answer, Flight, World, config_text
from tests.load.written import FAULTS, HELPERS, LIBRARIES, UNMET, Code

T = TypeVar("T")

TYPES = st.sampled_from(["search", "search", "parser"])
# Names and stems of files have the number of their round added, so that nothing of another round is theirs, too. Some
# names are what a file's stem says.
NAMES = st.sampled_from(["alpha", "beta", "gamma", "数据"])
STEMS = st.sampled_from(["alpha", "beta", "one", "数据"])
# Which plugin a request is about, and whether it is named by its file; some are about none that there is.
ABOUT = st.tuples(st.integers(0, 11), st.sampled_from(["name"] * 4 + ["stem", "short"]))
NOBODY = ("search", "nobody")
CODES = st.builds(
    Code,
    name=NAMES,
    version=st.just(""),
    fault=st.sampled_from([None] * 8 + list(FAULTS)),
    helper=st.sampled_from([None] * 4 + list(HELPERS)),
    late=st.booleans(),
    library=st.sampled_from([None] * 20 + [*LIBRARIES, *UNMET]),
    needs_word=st.sampled_from([False] * 5 + [True]),
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "limit": st.sampled_from([1, 2, 3, 2, 3, "many"]),
        "word": st.sampled_from(["", "w"]),
        "unknown": st.sampled_from([0, None]),
    },
)
HOW = st.sampled_from(["in place", "beside", "from elsewhere"])
MOST_FLIGHTS = 3
# The stream of server-sent events is cut every so often, and resumes.
STEPS_UNTIL_CUT = 4

_round = itertools.count(1)


class Changes(RuleBasedStateMachine):
    """See the module. Each step is noted as what somebody would do by hand.

    Attributes:
        world: the server; all rounds share it.
        run: runs what is asynchronous.
        counts: steps and more, by kind.
    """

    world: ClassVar[World]
    run: ClassVar[Callable[[Coroutine[Any, Any, Any]], Any]]
    counts: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.asked = Asked(Model())
        self.flights: list[Flight] = []
        self._versions = itertools.count(1)
        self._round = next(_round)
        self._steps = itertools.count(1)
        self.run(self.world.clear())

    def teardown(self) -> None:
        async def end() -> None:
            for flight in self.flights:
                flight.go.set()
            await asyncio.gather(*(flight.answer for flight in self.flights), return_exceptions=True)

        self.run(end())

    @property
    def model(self) -> Model:
        """What has to be so."""
        return self.asked.model

    @initialize(codes=st.lists(st.tuples(TYPES, STEMS, CODES), min_size=1, max_size=3))
    def begin(self, codes: list[tuple[str, str, Code]]) -> None:
        """There is something to begin with."""
        for type_, stem, code in codes:
            self._write(type_, self._stem(stem), self._named_here(code), "in place")

    # -- files ---------------------------------------------------------------------------------------------------

    @rule(type_=TYPES, stem=STEMS, code=CODES, how=HOW)
    def write(self, type_: str, stem: str, code: Code, how: str) -> None:
        self._write(type_, self._stem(stem), self._named_here(code), how)

    @rule(data=st.data(), name=NAMES, how=HOW)
    @precondition(lambda self: self.model.units)
    def rename_plugin(self, data: st.DataObject, name: str, how: str) -> None:
        unit = self._unit(data)
        assert unit.code is not None
        self._write(unit.type, unit.stem, _with(unit.code, name=f"{name}{self._round}"), how)

    @rule(data=st.data(), how=HOW)
    @precondition(lambda self: self.model.units)
    def break_file(self, data: st.DataObject, how: str) -> None:
        unit = self._unit(data)
        assert unit.code is not None
        self._write(unit.type, unit.stem, _with(unit.code, fault="typo"), how)

    @rule(data=st.data(), how=HOW)
    @precondition(lambda self: any(one.failure is not None for one in self.model.units.values()))
    def mend(self, data: st.DataObject, how: str) -> None:
        unit = self._unit(data, lambda one: one.failure is not None)
        assert unit.code is not None
        self._write(unit.type, unit.stem, _with(unit.code, fault=None, library=None), how)

    @rule(data=st.data(), how=HOW)
    @precondition(lambda self: self.model.units)
    def save_as_it_is(self, data: st.DataObject, how: str) -> None:
        unit = self._unit(data)
        assert unit.code is not None
        text = unit.code.text(unit.type)
        self._plan(lambda: None)
        self._step("save_as_it_is", f"save plugins/{unit.path} as it is ({how})")
        self._agree(lambda: self.world.put(unit.path, text, how=how))

    @rule(data=st.data(), stem=STEMS)
    @precondition(lambda self: self.model.units)
    def rename_file(self, data: st.DataObject, stem: str) -> None:
        unit, stem = self._unit(data), self._stem(stem)
        old, new = unit.path, f"{unit.type}/{stem}.py"
        if new in self.model.units or not self._plan(lambda: self.model.rename(unit, stem)):
            return
        self._step("rename_file", f"mv plugins/{old} plugins/{new}")
        self._agree(lambda: (self.world.plugins / old).rename(self.world.plugins / new))

    @rule(data=st.data())
    @precondition(lambda self: self.model.units)
    def remove_file(self, data: st.DataObject) -> None:
        unit = self._unit(data)
        if not self._plan(lambda: self.model.remove(unit)):
            return
        self._step("remove_file", f"rm plugins/{unit.path}")
        self._agree((self.world.plugins / unit.path).unlink)

    @rule(path=st.sampled_from(HELPERS), content=st.sampled_from([1, 2, 3, 4, "typo", None]), how=HOW)
    def help(self, path: str, content: int | str | None, how: str) -> None:
        if self.model.helpers.get(path) == content or not self._plan(lambda: self.model.help(path, content)):
            return
        if content is None:
            self._step("help", f"rm plugins/{path}")
            self._agree((self.world.plugins / path).unlink)
        else:
            self._step("help", f"write to plugins/{path} ({how}): {helper_text(content)}")
            self._agree(lambda: self.world.put(path, helper_text(content), how=how))

    # -- requests ------------------------------------------------------------------------------------------------

    @rule(type_=TYPES, stem=STEMS, code=CODES, replace=st.booleans())
    def install(self, type_: str, stem: str, code: Code, replace: bool) -> None:
        stem = self._stem(stem)
        self._offer(type_, stem, self._named_here(code))
        path = f"{type_}/{stem}.py"
        body = {"url": self.world.address(path), "plugin_type": type_, "replace": replace}
        self._ask("install", lambda _: self.asked.install(type_, stem, replace=replace), "/api/plugins/install", body)

    @rule(about=ABOUT, code=CODES, replace=st.booleans(), same=st.booleans())
    def update(self, about: tuple[int, str], code: Code, replace: bool, same: bool) -> None:
        type_, name = self._named(about)
        unit = self.model.find(type_, name)
        if unit is not None and unit.unsure:
            return
        if unit is not None and unit.source is not None and not same:
            stem = unit.source[0].partition("/")[2].removesuffix(".py")
            self._offer(type_, stem, _with(code, name=unit.source[1].name))
        path = f"/api/plugins/{type_}/{name}/update"
        self._ask("update", lambda one: self.asked.update(one, replace=replace), path, {"replace": replace}, unit=(type_, name))

    @rule(about=ABOUT, code=CODES, keeps_name=st.sampled_from([True] * 4 + [False]), fresh=st.sampled_from([True] * 4 + [False]))
    def edit(self, about: tuple[int, str], code: Code, keeps_name: bool, fresh: bool) -> None:
        type_, name = self._named(about)
        unit = self.model.find(type_, name)
        code = self._minted(self._named_here(code))
        if unit is not None and unit.code is not None and keeps_name:
            code = _with(code, name=unit.listed if unit.said else unit.code.name)
        path = f"/api/plugins/{type_}/{name}/source"
        headers = {"Content-Type": "text/plain"}
        if unit is not None:
            etag = self.run(self.world.request("GET", path)).body["etag"]
            headers["If-Match"] = etag if fresh else '"0000"'
        self._ask(
            "edit", lambda one: self.asked.edit(one, code, fresh=fresh), path, None,
            unit=(type_, name), method="PUT", data=code.text(type_).encode(), headers=headers,
        )

    @rule(data=st.data())
    @precondition(lambda self: any(self.model.served.get(one.id) for one in self.model.listed()))
    def roll_back(self, data: st.DataObject) -> None:
        unit = self._unit(data, lambda one: bool(self.model.served.get(one.id)))
        kept = self.model.served[unit.id]
        served = kept[data.draw(st.integers(0, len(kept) - 1))]
        path = f"/api/plugins/{unit.id}"
        told = self.run(self.world.request("GET", f"{path}/revisions")).body["revisions"]
        # A text that served from several files is a revision of each; both lists are in the order of when they did last.
        revisions = [one["revision"] for one in reversed(told) if one["version"] == served.code.version]
        alike = [one for one in kept if one.code == served.code]
        assert len(revisions) == len(alike), "every revision that served is kept"
        body = {"revision": revisions[alike.index(served)]}
        self._ask(
            "roll_back", lambda one: self.asked.roll_back(one, served.code, served.stem), f"{path}/rollback", body,
            unit=(unit.type, str(unit.listed)), about=f"version {served.code.version}",
        )

    @rule(about=ABOUT)
    def delete(self, about: tuple[int, str]) -> None:
        type_, name = self._named(about)
        body = {"plugin_type": type_, "plugin_name": name}
        answer = self._ask("delete", self.asked.delete, "/api/plugins/delete", body, unit=(type_, name))
        if answer is not None and answer.status == 200:
            self.asked.deletions[-1].change.append(answer.body["change"])

    @rule(data=st.data())
    @precondition(lambda self: self.asked.deletions)
    def undo(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.asked.deletions) - 1))
        deletion = self.asked.deletions[index]
        self._ask(
            "undo", lambda _: self.asked.undo(self.asked.deletions[index]), f"/api/changes/{deletion.change[0]}/undo", None,
            about=f"the deletion of {deletion.unit.id}",
        )

    @rule(about=ABOUT, enabled=st.booleans())
    def toggle(self, about: tuple[int, str], enabled: bool) -> None:
        type_, name = self._named(about)
        path = f"/api/plugins/{type_}/{name}/toggle?enabled={str(enabled).lower()}"
        self._ask("toggle", lambda one: self.asked.toggle(one, enabled), path, None, unit=(type_, name))

    @rule(about=ABOUT, values=SETTINGS, method=st.sampled_from(["POST", "PUT"]))
    def configure(self, about: tuple[int, str], values: dict[str, Any], method: str) -> None:
        type_, name = self._named(about)
        path = f"/api/plugins/{type_}/{name}/config"
        self._ask("configure", lambda one: self.asked.configure(one, values), path, values, unit=(type_, name), method=method)

    @rule(
        type_=TYPES,
        name=NAMES,
        entry=st.none() | st.fixed_dictionaries({}, optional={"limit": st.integers(1, 3), "_enabled": st.booleans()}),
    )
    def edit_config(self, type_: str, name: str, entry: dict[str, Any] | None) -> None:
        key = f"{type_}:{name}{self._round}"
        config = {name: dict(value) for name, value in self.model.config.items() if name != key}
        if entry is not None:
            config[key] = entry
        if self._plan(lambda: self.asked.write_config(config)):
            self._step("edit_config", f"write to config/plugins.json: {config_text(config)}")
            self._agree(lambda: self.world.put_config(config_text(config)))

    @rule()
    def spoil_config(self) -> None:
        self._plan(lambda: self.asked.write_config("{"))
        self._step("spoil_config", "write to config/plugins.json: {")
        self._agree(lambda: self.world.put_config("{"))

    @rule(about=ABOUT)
    def reload(self, about: tuple[int, str]) -> None:
        type_, name = self._named(about)
        body = {"plugin_type": type_, "plugin_name": name}
        self._ask("reload", self.asked.reload, "/api/plugins/reload", body, unit=(type_, name))

    @rule()
    def reload_all(self) -> None:
        counted: list[tuple[int, int]] = []

        def asked(_: object) -> Expected:
            counted.append(self.asked.reload_all())
            return DONE

        answer = self._ask("reload_all", asked, "/api/plugins/reload", None)
        if answer is not None:
            # With the one that is apart.
            assert (answer.body["success_count"] - 1, answer.body["fail_count"]) == counted[0]

    # -- calls and clients ---------------------------------------------------------------------------------------

    @rule(data=st.data())
    @precondition(lambda self: len(self.flights) < MOST_FLIGHTS and self._callable())
    def begin_call(self, data: st.DataObject) -> None:
        found = self._callable()
        unit = found[data.draw(st.integers(0, len(found) - 1))]
        self._step("begin_call", f"begin a call of {unit.id}")
        self.flights.append(self.run(self.world.begin_call(unit.type, str(unit.listed), answer_of(unit))))

    @rule(data=st.data())
    @precondition(lambda self: self.flights)
    def end_call(self, data: st.DataObject) -> None:
        flight = self.flights.pop(data.draw(st.integers(0, len(self.flights) - 1)))
        self._step("end_call", f"let the call of {flight.about} go on that is to answer {flight.expected}")
        flight.go.set()
        answer = self.run(asyncio.wait_for(flight.answer, self.world.patience_s))
        assert answer == flight.expected, "a call ends in the generation that it began in"

    # -- how steps are done --------------------------------------------------------------------------------------

    def _write(self, type_: str, stem: str, code: Code, how: str) -> None:
        code, path = self._minted(code), f"{type_}/{stem}.py"
        if self._plan(lambda: self.model.write(type_, stem, code)):
            self._step("write", f"write to plugins/{path} ({how}):\n{code.text(type_)}")
            self._agree(lambda: self.world.put(path, code.text(type_), how=how))

    def _offer(self, type_: str, stem: str, code: Code) -> None:
        code, path = self._minted(code), f"{type_}/{stem}.py"
        note(f"   offered as {self.world.address(path)}:\n{code.text(type_)}")
        self.asked.origin[path] = code
        self.world.offered[path] = code.text(type_)

    def _ask(
        self,
        kind: str,
        asked: Callable[[Any], Expected],
        path: str,
        body: Any,
        *,
        unit: tuple[str, str] | None = None,
        method: str = "POST",
        about: str = "",
        **options: Any,
    ) -> Answer | None:
        """Make a request; None where nobody can say what it comes to."""
        expected = NOT_FOUND
        found = self.model.find(*unit) if unit is not None else None
        if unit is None or found is not None:
            outcome: list[Expected] = []
            if not self._plan(lambda: outcome.append(asked(found))):
                return None
            expected = outcome[0]
        else:
            self.model.told.clear()
        said = options.get("data", b"").decode() if "data" in options else body
        self._step(kind, f"{method} {path} {said if said is not None else ''} {about}")
        since = len(self.world.staying.events)
        answer: Answer = self.run(self.world.request(method, path, body, **options))
        if (answer.status, answer.code) != expected:
            self.counts["refused unexpectedly" if answer.status >= 400 else "done unexpectedly"] += 1
        assert (answer.status, answer.code) == expected, answer.body
        self.counts["refused" if answer.status >= 400 else "done"] += 1
        self.run(agree(self.world, self.model, since=since))
        return answer

    def _plan(self, change: Callable[[], object]) -> bool:
        """Have the model take a step, if it can say what comes of it; else it stays as it is."""
        before = deepcopy(self.asked)
        self.model.told.clear()
        change()
        if self.model.is_ambiguous:
            self.asked = before
            return False
        return True

    def _step(self, kind: str, words: str) -> None:
        self.counts[kind] += 1
        number = next(self._steps)
        if number % STEPS_UNTIL_CUT == 0:
            self.run(self.world.streaming.cut())
        note(f"{number}. {words}")

    def _agree(self, act: Callable[[], object]) -> None:
        since = len(self.world.staying.events)
        act()
        self.run(agree(self.world, self.model, since=since))

    def _stem(self, stem: str) -> str:
        return f"{stem}{self._round}_plugin"

    def _named_here(self, code: Code) -> Code:
        return _with(code, name=f"{code.name}{self._round}")

    def _minted(self, code: Code) -> Code:
        return _with(code, version=f"{self._round}.{next(self._versions)}")

    def _unit(self, data: st.DataObject, fits: Callable[[Unit], bool] = lambda _: True) -> Unit:
        found = sorted((one for one in self.model.units.values() if fits(one)), key=lambda one: one.path)
        return found[data.draw(st.integers(0, len(found) - 1))]

    def _named(self, about: tuple[int, str]) -> tuple[str, str]:
        """The type and the name in a request."""
        number, by = about
        found = self.model.listed()
        if not found or number == 0:
            return NOBODY
        unit = found[number % len(found)]
        return unit.type, {"name": str(unit.listed), "stem": unit.stem, "short": unit.short}[by]

    def _callable(self) -> list[Unit]:
        return [one for one in self.model.listed() if one.serving is not None and answer_of(one).startswith(one.serving.code.says)]


def _with(code: Code, **others: Any) -> Code:
    return Code(**{**code.__dict__, **others})
