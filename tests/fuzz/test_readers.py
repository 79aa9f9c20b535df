"""Whatever a plugin's text declares or imports, it is understood or refused with its place, and never takes long."""

from __future__ import annotations

import hashlib
import re
from random import Random

import pytest

from service.errors import LoadFailed
from service.host.dependencies.declaration import Declared, declared, examine, require_suitable
from service.host.files.imports import named_in
from service.host.files.sources import Snapshot, SnapshotModule, unit_of
from service.host.installing.text_check import ensure_text
from service.workbench import blocking, contract_reading, imports
from service.workbench.declarations import Declarations
from service.workbench.reading import Reading
from tests.fuzz.findings import Findings, check_load_error, check_text
from tests.fuzz.plugin_texts import plugin_text
from tests.fuzz.requirement_texts import requirement, requirement_lines, script_block
from tests.rounds import SEED, SOAK, sized

pytestmark = [pytest.mark.timeout(1200)]
if SOAK:
    pytestmark.append(pytest.mark.soak)

PATH = "search/fuzz_plugin.py"


def declares(source: bytes, requirements: bytes | None = None) -> Declared | None:
    """What a text declares; None where it is refused, and then with its place."""
    lines = max(len(re.split(rb"\r\n|\r|\n", one)) for one in (source, requirements or b""))
    try:
        found = declared(source, requirements, file=PATH, requirements_file="search/fuzz_requirements.txt")
        require_suitable(found, file=PATH)
    except LoadFailed as failed:
        check_load_error(failed.error, lines)
        return None
    for note in found.notes:
        check_text(note)
    examine(found)
    return found


def snapshot_of(source: bytes, requirements: bytes | None) -> Snapshot:
    unit = unit_of(PATH)
    assert unit is not None
    digest = hashlib.sha256(source).hexdigest()
    module = SnapshotModule(unit.module, PATH, is_package=False, content=source)
    path = "search/fuzz_requirements.txt" if requirements is not None else None
    return Snapshot(unit, (module,), requirements, path, digest[:12], digest, 0)


def examines(source: bytes, requirements: bytes | None) -> None:
    """Read a text as `plugbay check` does; nothing of it is run."""
    reading = Reading(snapshot_of(source, requirements))
    declarations = Declarations(reading)
    found = [
        *contract_reading.breaches(reading),
        *contract_reading.doubts(reading),
        *blocking.known(reading),
        *imports.problems(reading, ["httpx"], None),
        *declarations.problems(),
    ]
    for one in found:
        check_text(one.message)
        assert one.place is None or one.place.line is None or one.place.line >= 1
    reading.schema_place("a")
    reading.json_schema_place(["properties", "a", "0"])


def test_plugin_texts() -> None:
    findings = Findings("plugin texts read")
    for number in range(sized(40, 5000)):
        text = plugin_text(SEED, number)
        with findings.watching(text.how):
            findings.count("texts")
            declares(text.content, text.requirements)
            assert all(isinstance(name, str) for name in named_in(PATH, text.content))
            try:
                ensure_text(text.content, file=PATH)
            except LoadFailed as failed:
                check_load_error(failed.error, len(text.content.split(b"\n")))
            examines(text.content, text.requirements)
    findings.close()


def test_requirements() -> None:
    findings = Findings("requirements")
    for number in range(sized(150, 4000)):
        chance = Random(f"{SEED} requirement {number}")
        content = (
            requirement_lines(chance) if number % 4 == 0 else requirement(chance).encode("utf-8", "replace")
        )
        with findings.watching(repr(content[:600])):
            findings.count("taken" if declares(b"", content) is not None else "refused")
    findings.close()


def test_blocks() -> None:
    findings = Findings("PEP 723 blocks")
    for number in range(sized(100, 2500)):
        block = script_block(Random(f"{SEED} block {number}"))
        with findings.watching(repr(block[:600])):
            found = declares(block.encode("utf-8", "surrogatepass"))
            findings.count("taken" if found is not None else "refused")
    findings.close()
