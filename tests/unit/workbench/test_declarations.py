"""Requirements that are declared twice: which contradict each other, and where."""

from __future__ import annotations

import pytest

from service.host.files.sources import source_file
from service.host.files.tree import SourceTree
from service.workbench.declarations import Declarations
from service.workbench.reading import Reading

FILE = "search/demo_plugin.py"


def declarations(lines: list[str], requirements: str = "") -> Declarations:
    block = "".join(f'#   "{line}",\n' for line in lines)
    tree = SourceTree()
    tree.apply(FILE, source_file(f"# /// script\n# dependencies = [\n{block}# ]\n# ///\n".encode()))
    if requirements:
        tree.apply("search/demo_requirements.txt", source_file(requirements.encode()))
    return Declarations(Reading(tree.snapshot(tree.units()[0])))


@pytest.mark.parametrize(
    ("one", "other", "code"),
    [
        ("lib==1.0", "lib==2.0", "requirements_contradict"),
        ("lib>=2", "LIB<2", "requirements_contradict"),
        ("lib<1", "lib>1", "requirements_contradict"),
        ("lib==1.*", "lib>=2", "requirements_contradict"),
        ("lib~=1.4", "lib<1.4", "requirements_contradict"),
        ("my_lib!=1.0", "my-lib==1.0", "requirements_contradict"),
        ("lib>=1", "lib<2", "requirement_repeated"),
        ("lib>=1.0", "lib<=1.0", "requirement_repeated"),
        ("lib", "lib", "requirement_repeated"),
        ("lib>1,<1.1", "lib<1.0.5", "requirement_repeated"),
        ("lib==1.*", "lib>1.8", "requirement_repeated"),
        ("lib>=1; python_version<'3'", "lib<1; python_version>='3'", None),
        ("lib>=1", "library<1", None),
    ],
)
def test_two_declarations(one: str, other: str, code: str | None) -> None:
    for found in (declarations([one, other]), declarations([one], other + "\n")):
        problems = list(found.problems())
        assert [problem.code for problem in problems] == ([] if code is None else [code])
        if code is not None:
            place = problems[0].place
            expected = (FILE, 4) if len(found.all) == 2 and found.all[1].place.path == FILE else None
            assert (place.path, place.line) == (expected or ("search/demo_requirements.txt", 1))


def test_the_place_of_a_requirement_that_a_message_names() -> None:
    found = declarations(["lib>=1", "my_lib>=2", "last"])
    assert found.place_named_in("there is no version of my-lib>=2").line == 4
    assert found.place_named_in("last was not found").line == 5
    assert found.place_named_in("something else").line == 3


def test_thousands_of_requirements_take_no_longer_than_their_number() -> None:
    lines = [f"lib=={number}" for number in range(150)]
    found = declarations(lines, "".join(f"other>={number}\n" for number in range(199)))
    assert 100 < len(list(found.problems())) < 1000
    assert len(declarations(["lib"] * 10_000).all) < 1000
    clauses = ",".join(f"!={number}" for number in range(60))
    assert [one.code for one in declarations([f"lib{clauses}", "lib==1"]).problems()] == [
        "requirement_repeated"
    ]
