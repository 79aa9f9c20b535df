"""How a step is done: the model takes it, then the server, and then they are compared."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Coroutine
from copy import deepcopy
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from tests.load.asked import NOT_FOUND, Asked, Expected, answer_of
from tests.load.checks import agree, helper_text, requirements_text
from tests.load.facts import Unit, path_of
from tests.load.model import Model
from tests.load.world import Answer, Flight, World
from tests.load.written import PART, Code

T = TypeVar("T")

# The stream of server-sent events is cut every so often, and resumes.
STEPS_UNTIL_CUT = 4
NOBODY = ("search", "nobody")

_round = itertools.count(1)


class Steps(RuleBasedStateMachine):
    """See the module. Each step is noted as what somebody would do by hand.

    Attributes:
        world: the server; all rounds share it.
        runner: runs what is asynchronous.
        counts: steps and more, by kind.
    """

    world: ClassVar[World]
    runner: ClassVar[asyncio.Runner]
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

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run something asynchronous to its end; clients and calls under way go on meanwhile."""
        return self.runner.run(coroutine)

    @property
    def model(self) -> Model:
        """What has to be so."""
        return self.asked.model

    # -- how steps are done --------------------------------------------------------------------------------------

    def _write(self, type_: str, stem: str, code: Code, how: str) -> None:
        """Write a plugin's code; a folder that is not there yet comes as a whole."""
        unit = self.model.units.get(path_of(type_, stem)) or Unit(type_, stem, None)
        code = self._fitting(unit, self._minted(code))
        text, files = code.text(type_), {}

        def write() -> None:
            if unit.is_package and unit.code is None:
                self.model.helpers[unit.part] = 1
            self.model.write(type_, stem, code)

        if unit.is_package and unit.code is None:
            files = {"__init__.py": text, f"{PART}.py": helper_text(1)}
        if not self._plan(write):
            return
        if files:
            self._step("write", f"move a folder to plugins/{unit.path}: {files}")
            self._agree(lambda: self.world.put_folder(unit.path, files))
        else:
            self._step("write", f"write to plugins/{unit.main_file} ({how}):\n{text}")
            self._agree(lambda: self.world.put(unit.main_file, text, how=how))

    def _offer(self, type_: str, stem: str, code: Code) -> None:
        code, path = self._minted(code), path_of(type_, stem)
        code = code if code.library else replace(code, beside=False)
        beside = path.removesuffix(".py") + "_requirements.txt"
        note(f"   offered as {self.world.address(path)}:\n{code.text(type_)}")
        self.asked.origin[path] = code
        self.world.offered[path] = code.text(type_)
        self.world.offered.pop(beside, None)
        if code.beside:
            note(f"   and beside it, {beside}: {requirements_text(code)}")
            self.world.offered[beside] = requirements_text(code)

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
            self.model.begin()
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
        self.model.begin()
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
        return replace(code, name=f"{code.name}{self._round}")

    @staticmethod
    def _fitting(unit: Unit, code: Code) -> Code:
        """The code as it can be written to a plugin's file, with what stands beside that as it is."""
        if unit.is_package:
            return replace(code, helper=PART, beside=False)
        if unit.code is not None and unit.code.beside:
            return replace(code, beside=True, library=unit.code.library)
        return replace(code, beside=False)

    def _minted(self, code: Code) -> Code:
        return replace(code, version=f"{self._round}.{next(self._versions)}")

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
        return [
            one
            for one in self.model.listed()
            if one.serving is not None and answer_of(one).startswith(one.serving.code.says)
        ]
