"""Where each requirement of a plugin is declared, and which contradict each other before a registry is asked."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from service.host.dependencies import requirements, script_metadata
from service.model.text import Text
from service.workbench.problems import Found, Place
from service.workbench.reading import Module, Reading

# Pairs grow with the square of what is declared, and so does the work on one with its clauses: both are a stranger's.
_MAX_PAIRS = 500
_MAX_CLAUSES = 50


@dataclass(frozen=True, slots=True)
class Declaration:
    """One requirement and where it stands."""

    requirement: Requirement
    place: Place

    @property
    def name(self) -> str:
        """The library's name, normalised."""
        return canonicalize_name(self.requirement.name)


class Declarations:
    """All requirements of a plugin, from its block and its requirements file; what cannot be understood is left out.

    Args:
        reading: the plugin.
    """

    def __init__(self, reading: Reading) -> None:
        self._main = reading.main
        self._block = _block_of(reading.main)
        self.all = list(self._in_block())
        if reading.requirements is not None:
            self.all.extend(_in_file(reading.requirements))

    def problems(self) -> Iterator[Found]:
        """What is declared twice."""
        by_name: dict[str, list[Declaration]] = defaultdict(list)
        for one in self.all:
            by_name[one.name].append(one)
        pairs = (pair for found in by_name.values() for pair in itertools.combinations(found, 2))
        for earlier, later in itertools.islice(pairs, _MAX_PAIRS):
            if _never_together(earlier.requirement, later.requirement):
                continue
            if _contradict(earlier.requirement.specifier, later.requirement.specifier):
                yield _twice(earlier, later, contradicts=True)
            elif earlier.requirement.marker == later.requirement.marker:
                yield _twice(earlier, later, contradicts=False)

    def place_of_key(self, key: str) -> Place:
        """Where a key of the block stands."""
        return self._main.whole_line(self._block.line_of(key) if self._block is not None else 1)

    def place_named_in(self, text: str) -> Place:
        """Where the first requirement that a message names stands, else the list of them."""
        for one in self.all:
            if re.search(rf"(?i)(?<![\w.-]){re.escape(one.name)}(?![\w-])", text):
                return one.place
        return self.all[0].place if self.all else self.place_of_key("dependencies")

    def _in_block(self) -> Iterator[Declaration]:
        names = self._block.data.get("dependencies") if self._block is not None else None
        taken: set[int] = set()
        for name in names[: requirements.MAX_REQUIREMENTS] if isinstance(names, list) else ():
            requirement = _parsed(name)
            if requirement is None or self._block is None:
                continue
            line = next(
                (
                    self._block.line + 1 + offset
                    for offset, text in enumerate(self._block.lines)
                    if name in text and self._block.line + 1 + offset not in taken
                ),
                self._block.line_of(name),
            )
            if (self._main.line(line) or "").count(name) < 2:
                taken.add(line)
            yield Declaration(requirement, _of_text(self._main, line, name))


def _block_of(module: Module) -> script_metadata.Block | None:
    try:
        return script_metadata.scan(module.content).block
    except script_metadata.BadBlock:
        return None


def _in_file(module: Module) -> Iterator[Declaration]:
    try:
        lines = requirements.lines_of(module.content)
    except requirements.BadRequirement:
        return
    for line in lines:
        if (requirement := _parsed(line.text)) is not None:
            yield Declaration(requirement, module.whole_line(line.number))


def _parsed(text: object) -> Requirement | None:
    try:
        return requirements.parse(text) if isinstance(text, str) else None
    except (requirements.BadRequirement, InvalidRequirement):
        return None


def _of_text(module: Module, line: int, text: str) -> Place:
    begin = (module.line(line) or "").find(text)
    if begin < 0:
        return module.whole_line(line)
    return Place(path=module.path, line=line, column=begin + 1, end_column=begin + len(text) + 1)


def _twice(earlier: Declaration, later: Declaration, *, contradicts: bool) -> Found:
    first = f"{earlier.requirement}"
    where_zh = f"第 {earlier.place.line} 行" if earlier.place.path == later.place.path else earlier.place.path
    where_en = f"line {earlier.place.line}" if earlier.place.path == later.place.path else earlier.place.path
    if contradicts:
        message = Text(
            zh=f"{later.requirement} 与{where_zh}的 {first} 互相矛盾",
            en=f"{later.requirement} contradicts {first} of {where_en}",
        )
        return Found(code="requirements_contradict", message=message, place=later.place)
    message = Text(
        zh=f"{later.name} 已在{where_zh}声明过（{first}）",
        en=f"{later.name} is declared on {where_en} already, as {first}",
    )
    return Found(code="requirement_repeated", severity="warning", message=message, place=later.place)


def _never_together(one: Requirement, other: Requirement) -> bool:
    """Whether their markers keep one of them out here."""
    return not all(item.marker is None or item.marker.evaluate({"extra": ""}) for item in (one, other))


def _contradict(one: SpecifierSet, other: SpecifierSet) -> bool:
    """Whether no version satisfies both: looked for at, and right beside, each version that they name.

    Of what names more of them than anybody writes, none is said to contradict.
    """
    both = one & other
    if len(both) > _MAX_CLAUSES:
        return False
    named = [clause.version.removesuffix(".*") for clause in both]
    candidates = ["0", "999999"]
    for version in named:
        try:
            parsed = Version(version)
        except InvalidVersion:
            return False
        release = list(parsed.release)
        candidates += [version, f"{version}.0.1", f"{version}.1"]
        if release[-1] > 0:
            below = ".".join(map(str, [*release[:-1], release[-1] - 1]))
            candidates += [below, f"{below}.999999"]
        elif len(release) > 1 and any(release):
            last = max(index for index, part in enumerate(release) if part)
            candidates.append(".".join(map(str, [*release[:last], release[last] - 1, 999999])))
    return not any(both.contains(candidate, prereleases=True) for candidate in candidates)
