"""Whatever is done to plugins, one thing after the other, the server is as the model says after each."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from tests.load.asked import DONE, Expected, answer_of
from tests.load.checks import helper_text
from tests.load.facts import PACKAGES, path_of
from tests.load.steps import Steps
from tests.load.strategies import ABOUT, CODES, ENTRIES, HOW, NAMES, ODD, OFFERED, SETTINGS, STEMS, TYPES
from tests.load.world import config_text
from tests.load.written import HELPERS, Code

MOST_FLIGHTS = 3


class Changes(Steps):
    """See the module. Each step is noted as what somebody would do by hand."""

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
        self._write(unit.type, unit.stem, replace(unit.code, name=f"{name}{self._round}"), how)

    @rule(data=st.data(), how=HOW)
    @precondition(lambda self: self.model.units)
    def break_file(self, data: st.DataObject, how: str) -> None:
        unit = self._unit(data)
        assert unit.code is not None
        self._write(unit.type, unit.stem, replace(unit.code, fault="typo"), how)

    @rule(data=st.data(), how=HOW)
    @precondition(lambda self: any(one.failure is not None for one in self.model.units.values()))
    def mend(self, data: st.DataObject, how: str) -> None:
        unit = self._unit(data, lambda one: one.failure is not None)
        assert unit.code is not None
        self._write(unit.type, unit.stem, replace(unit.code, fault=None, library=None), how)

    @rule(data=st.data(), how=HOW)
    @precondition(lambda self: self.model.units)
    def save_as_it_is(self, data: st.DataObject, how: str) -> None:
        unit = self._unit(data)
        assert unit.code is not None
        text = unit.code.text(unit.type)
        self._plan(lambda: None)
        self._step("save_as_it_is", f"save plugins/{unit.main_file} as it is ({how})")
        self._agree(lambda: self.world.put(unit.main_file, text, how=how))

    @rule(data=st.data(), stem=STEMS)
    @precondition(lambda self: self.model.units)
    def rename_file(self, data: st.DataObject, stem: str) -> None:
        unit, stem = self._unit(data), self._stem(stem)
        assert unit.code is not None
        old, new = unit.path, path_of(unit.type, stem)
        if new in self.model.units or stem.startswith(PACKAGES) != unit.is_package or unit.code.beside:
            return
        if not self._plan(lambda: self.model.rename(unit, stem)):
            return
        self._step("rename_file", f"mv plugins/{old} plugins/{new}")
        self._agree(lambda: (self.world.plugins / old).rename(self.world.plugins / new))

    @rule(data=st.data())
    @precondition(lambda self: self.model.units)
    def remove_file(self, data: st.DataObject) -> None:
        unit = self._unit(data)
        code = unit.code
        assert code is not None
        if not self._plan(lambda: self.model.remove(unit)):
            return
        paths = [unit.path, *([unit.requirements] if code.beside else [])]
        self._step("remove_file", f"rm -r {' '.join(f'plugins/{path}' for path in paths)}")
        self._agree(lambda: self.world.remove(*paths))

    @rule(number=st.integers(0, 7), content=st.sampled_from([1, 2, 3, 4, "typo", None]), how=HOW)
    def help(self, number: int, content: int | str | None, how: str) -> None:
        paths = [*HELPERS, *(one.part for one in self.model.units.values() if one.is_package)]
        path = paths[number % len(paths)]
        if self.model.helpers.get(path) == content or not self._plan(lambda: self.model.help(path, content)):
            return
        if content is None:
            self._step("help", f"rm plugins/{path}")
            self._agree((self.world.plugins / path).unlink)
        else:
            self._step("help", f"write to plugins/{path} ({how}): {helper_text(content)}")
            self._agree(lambda: self.world.put(path, helper_text(content), how=how))

    # -- requests ------------------------------------------------------------------------------------------------

    @rule(type_=TYPES, stem=STEMS, code=OFFERED, over=st.booleans(), odd=ODD)
    def install(self, type_: str, stem: str, code: Code, over: bool, odd: str | None) -> None:
        stem, code = self._stem(stem), self._named_here(code)
        path, held = path_of(type_, stem), self.model.holder(type_, code.name)
        if stem.startswith(PACKAGES) or (held is not None and held.is_package and path in self.model.units):
            return
        self._offer(type_, stem, code)
        url = self.world.address(path if odd != "no such address" else "none.py")
        body: dict[str, Any] = {"url": url, "plugin_type": type_, "replace": over}
        if odd == "not over http":
            body["url"] = f"file://{self.world.plugins / path}"
        elif odd == "link-local":
            body["url"] = f"http://169.254.169.254/{path}"
        elif odd == "another hash":
            body["sha256"] = "0" * 64
        elif odd in ("unknown field", "dry run"):
            body[odd.replace(" ", "_")] = True

        def asked(_: object) -> Expected:
            return self.asked.install(type_, stem, replace=over, odd=odd)

        self._ask("install", asked, "/api/plugins/install", body)

    @rule(about=ABOUT, code=OFFERED, over=st.booleans(), same=st.booleans())
    def update(self, about: tuple[int, str], code: Code, over: bool, same: bool) -> None:
        type_, name = self._named(about)
        unit = self.model.find(type_, name)
        if unit is not None and unit.unsure:
            return
        if unit is not None and unit.source is not None and not same:
            stem = unit.source[0].partition("/")[2].removesuffix(".py")
            self._offer(type_, stem, replace(code, name=unit.source[1].name))
        path = f"/api/plugins/{type_}/{name}/update"
        self._ask(
            "update",
            lambda one: self.asked.update(one, replace=over),
            path,
            {"replace": over},
            unit=(type_, name),
        )

    @rule(
        about=ABOUT,
        code=CODES,
        keeps_name=st.sampled_from([True] * 4 + [False]),
        fresh=st.sampled_from([True] * 4 + [False]),
    )
    def edit(self, about: tuple[int, str], code: Code, keeps_name: bool, fresh: bool) -> None:
        type_, name = self._named(about)
        unit = self.model.find(type_, name)
        code = self._minted(self._named_here(code))
        if unit is not None:
            code = self._fitting(unit, code)
        if unit is not None and unit.code is not None and keeps_name:
            code = replace(code, name=str(unit.listed) if unit.said else unit.code.name)
        path = f"/api/plugins/{type_}/{name}/source"
        headers = {"Content-Type": "text/plain"}
        if unit is not None:
            etag = self.run(self.world.request("GET", path)).body["etag"]
            headers["If-Match"] = etag if fresh else '"0000"'
        self._ask(
            "edit",
            lambda one: self.asked.edit(one, code, fresh=fresh),
            path,
            None,
            unit=(type_, name),
            method="PUT",
            data=code.text(type_).encode(),
            headers=headers,
        )

    @rule(data=st.data())
    @precondition(lambda self: any(self.model.served.get(one.id) for one in self.model.listed()))
    def roll_back(self, data: st.DataObject) -> None:
        unit = self._unit(data, lambda one: bool(self.model.served.get(one.id)))
        kept = self.model.served[unit.id]
        served = kept[data.draw(st.integers(0, len(kept) - 1))]
        if served.stem.startswith(PACKAGES) != unit.is_package:
            return
        path = f"/api/plugins/{unit.id}"
        told = self.run(self.world.request("GET", f"{path}/revisions")).body["revisions"]
        # A text that served from several files is a revision of each; both lists are in the order of that.
        revisions = [one["revision"] for one in reversed(told) if one["version"] == served.code.version]
        alike = [one for one in kept if one.code == served.code]
        assert len(revisions) == len(alike), "every revision that served is kept"
        body = {"revision": revisions[alike.index(served)]}
        self._ask(
            "roll_back",
            lambda one: self.asked.roll_back(one, served),
            f"{path}/rollback",
            body,
            unit=(unit.type, str(unit.listed)),
            about=f"version {served.code.version}",
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
            "undo",
            lambda _: self.asked.undo(self.asked.deletions[index]),
            f"/api/changes/{deletion.change[0]}/undo",
            None,
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
        self._ask(
            "configure",
            lambda one: self.asked.configure(one, values),
            path,
            values,
            unit=(type_, name),
            method=method,
        )

    @rule(type_=TYPES, name=NAMES, entry=ENTRIES)
    def edit_config(self, type_: str, name: str, entry: dict[str, Any] | None) -> None:
        key = f"{type_}:{name}{self._round}"
        config = {name: dict(value) for name, value in self.model.config.items() if name != key}
        if entry is not None:
            config[key] = entry
        if self._plan(lambda: self.asked.write_config(config)):
            self._step("edit_config", f"write to config/plugins.json: {config_text(config)}")
            self._agree(lambda: self.world.put_config(config_text(config)))

    @rule(text=st.sampled_from(["{", "[]", '{"search:alpha": 1}', "", '{"a:b": {}, "a:b": {}}']))
    @precondition(lambda self: self.model.corrupt is None)
    def spoil_config(self, text: str) -> None:
        self._plan(lambda: self.asked.write_config(text))
        self._step("spoil_config", f"write to config/plugins.json: {text}")
        self._agree(lambda: self.world.put_config(text))

    @rule(about=ABOUT)
    def reload(self, about: tuple[int, str]) -> None:
        type_, name = self._named(about)
        body = {"plugin_type": type_, "plugin_name": name}
        self._ask("reload", self.asked.reload, "/api/plugins/reload", body, unit=(type_, name))

    @rule(body=st.sampled_from([None, {}]))
    def reload_all(self, body: dict[str, Any] | None) -> None:
        counted: list[tuple[int, int]] = []

        def asked(_: object) -> Expected:
            counted.append(self.asked.reload_all())
            return DONE

        answer = self._ask("reload_all", asked, "/api/plugins/reload", body)
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
