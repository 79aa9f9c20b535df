"""What files hold: which plugins there are, and what a plugin's code is."""

from __future__ import annotations

import hashlib

import pytest

from service.host.files.sources import (
    Flaw,
    SourceFile,
    SourceFlawed,
    Unit,
    unit_of,
)
from service.host.files.tree import SourceTree
from service.model.identity import PluginType

MAIN = "search/demo_plugin.py"


def file(text: str | bytes = "", flaw: Flaw | None = None, saved_ns: int = 0) -> SourceFile:
    content = text.encode() if isinstance(text, str) else text
    return SourceFile(content, hashlib.sha256(content).hexdigest(), flaw, "", saved_ns)


def tree(**files: str | SourceFile) -> SourceTree:
    """A tree of modules, given by path with `__` for `/`; `INIT` is a package's own."""
    made = SourceTree()
    for name, content in files.items():
        path = name.replace("__", "/").replace("INIT", "__init__") + ".py"
        made.apply(path, content if isinstance(content, SourceFile) else file(content))
    return made


def demo() -> Unit:
    unit = unit_of(MAIN)
    assert unit is not None
    return unit


def modules_of(made: SourceTree) -> list[str]:
    return [one.name for one in made.snapshot(demo()).modules]


def test_only_a_change_is_one() -> None:
    made = SourceTree()
    assert made.apply(MAIN, file("1"))
    assert not made.apply(MAIN, file("1", saved_ns=5))
    assert made.apply(MAIN, file("2"))
    assert made.apply(MAIN, file("2", Flaw.UNREADABLE))
    assert made.apply(MAIN, None)
    assert not made.apply(MAIN, None)


def test_units_are_those_with_a_main_file() -> None:
    made = tree(search__b_plugin="", search__a_plugin__INIT="", search__c_plugin__words="", search__helper="")
    assert [unit.path for unit in made.units()] == ["search/a_plugin", "search/b_plugin.py"]


def test_a_snapshot_does_not_change() -> None:
    made = tree(search__demo_plugin="1")
    snapshot = made.snapshot(demo())
    made.apply(MAIN, file("2"))
    assert snapshot.source == b"1"
    assert made.snapshot(demo()).revision != snapshot.revision


def test_the_revision_is_of_the_plugin_s_own_files() -> None:
    made = tree(search__demo_plugin="import helper", search__helper="1")
    before = made.snapshot(demo()).revision
    made.apply("search/helper.py", file("2"))
    assert made.snapshot(demo()).revision == before
    made.apply("search/demo_requirements.txt", file("x"))
    assert made.snapshot(demo()).revision != before


def test_requirements_are_found_by_either_name() -> None:
    made = tree(search__demo_plugin="")
    made.apply("search/named_requirements.txt", file("c"))
    assert made.snapshot(demo()).requirements is None
    assert made.snapshot(demo(), ["named"]).requirements == b"c"
    made.apply("search/demo_plugin_requirements.txt", file("b"))
    assert made.snapshot(demo(), ["named"]).requirements == b"b"
    made.apply("search/demo_requirements.txt", file("a"))
    assert made.snapshot(demo(), ["named"]).requirements == b"a"
    both = ["search/demo_plugin_requirements.txt", "search/demo_requirements.txt"]
    assert made.files_of(demo()) == sorted([MAIN, *both])
    assert made.files_of(demo(), ["named"]) == sorted([MAIN, *both, "search/named_requirements.txt"])
    # What another file is the namesake of is not this one's to be deleted.
    made.apply("search/named_plugin.py", file(""))
    assert made.files_of(demo(), ["named"]) == sorted([MAIN, *both])


@pytest.mark.parametrize("flaw", list(Flaw))
def test_a_flawed_main_file_has_no_snapshot(flaw: Flaw) -> None:
    with pytest.raises(SourceFlawed) as caught:
        tree(search__demo_plugin=file("", flaw)).snapshot(demo())
    assert caught.value.flaw is flaw


def test_few_helpers_go_along_whole() -> None:
    made = tree(search__demo_plugin="", search__helper="", shared__INIT="", search__other_plugin="")
    assert modules_of(made) == ["plugins.search.demo_plugin", "plugins.search.helper", "plugins.shared"]


def test_of_many_helpers_those_that_are_named() -> None:
    big = "#" * 200_000
    made = tree(
        INIT="",
        search__INIT="",
        search__demo_plugin="from .words import deep_word",
        search__words="from shared import letters",
        shared__INIT="",
        shared__letters=big,
        shared__unused=big,
    )
    assert modules_of(made) == [
        "plugins",
        "plugins.search",
        "plugins.search.demo_plugin",
        "plugins.search.words",
        "plugins.shared",
        "plugins.shared.letters",
    ]


def test_another_plugin_is_sent_where_it_is_named() -> None:
    made = tree(
        search__demo_plugin="import plugins.search.base_plugin", search__base_plugin="", search__c_plugin=""
    )
    assert modules_of(made) == ["plugins.search.base_plugin", "plugins.search.demo_plugin"]


def test_a_tree_with_files_leaves_the_tree_as_it_is() -> None:
    made = tree(search__demo_plugin="1")
    other = made.with_files({MAIN: file("2")})
    assert (made.snapshot(demo()).source, other.snapshot(demo()).source) == (b"1", b"2")
    assert made.sha256_of(demo()) == hashlib.sha256(b"1").hexdigest()
    assert PluginType.SEARCH is demo().type
