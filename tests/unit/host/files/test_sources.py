"""What paths mean: which are plugins, which matter at all."""

from __future__ import annotations

import pytest

from service.host.files.sources import is_interesting, is_plugin_file_name, module_name, unit_of

MAIN = "search/demo_plugin.py"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (MAIN, ("demo_plugin", MAIN, False)),
        ("search/demo_plugin/__init__.py", ("demo_plugin", "search/demo_plugin", True)),
        ("search/demo_plugin/deep/data.json", ("demo_plugin", "search/demo_plugin", True)),
        ("search/名字_plugin.py", ("名字_plugin", "search/名字_plugin.py", False)),
        ("search/demo.py", None),
        ("search/_plugin.py", None),
        ("search/_plugin/__init__.py", None),
        ("search/.demo_plugin.py", None),
        ("search/plugin_template.py", None),
        ("search/plugin_template_plugin.py", None),
        ("other/demo_plugin.py", None),
        ("demo_plugin.py", None),
        ("search/deep/demo_plugin.py", None),
        ("search/\udcff_plugin.py", None),
    ],
)
def test_which_paths_are_plugins(path: str, expected: tuple[str, str, bool] | None) -> None:
    unit = unit_of(path)
    assert (unit and (unit.stem, unit.path, unit.is_package)) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("search/helper.py", True),
        ("search/demo_requirements.txt", True),
        ("search/demo_plugin/data.json", True),
        ("search/demo_plugin/data.json~", False),
        ("search/notes.txt", False),
        ("search/__pycache__/helper.py", False),
        (".git/hooks/x.py", False),
        ("search/\udcff.py", False),
    ],
)
def test_which_paths_matter(path: str, expected: bool) -> None:
    assert is_interesting(path) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("demo_plugin.py", True),
        ("名字_plugin.py", True),
        ("_plugin.py", False),
        ("demo.py", False),
        ("a b_plugin.py", False),
        ("../x_plugin.py", False),
        ("x" * 70 + "_plugin.py", False),
        ("plugin_template_plugin.py", False),
    ],
)
def test_which_names_an_installed_file_keeps(name: str, expected: bool) -> None:
    assert is_plugin_file_name(name) is expected


def test_module_names() -> None:
    assert module_name("search/demo_plugin.py") == "plugins.search.demo_plugin"
    assert module_name("shared/__init__.py") == "plugins.shared"
    assert module_name("__init__.py") == "plugins"
    assert module_name("search/data.json") is None
