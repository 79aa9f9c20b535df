"""Which plugins a path stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.workbench.targets import Target, Unusable, targets_of

SEARCH = "class A(SearchPlugin): ..."


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "plugins/search/one_plugin.py",
        "plugins/search/two_plugin/__init__.py",
        "plugins/search/two_plugin/part.py",
        "plugins/search/helper.py",
        "plugins/search/plugin_template.py",
        "plugins/parser/three_plugin.py",
        "plugins/parser/__pycache__/four_plugin.py",
        "tests/test_one_plugin.py",
        "loose/five_plugin.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("" if "test_" in name else SEARCH)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(path: str | Path, type: str | None = None) -> list[str]:
    return [f"{one.unit.type.value}/{one.unit.stem}" for one in targets_of(Path(path), type)]


ALL = ["parser/three_plugin", "search/one_plugin", "search/two_plugin"]


@pytest.mark.parametrize("path", [".", "plugins"])
def test_a_folder_is_all_plugins_below_it(home: Path, path: str) -> None:
    assert found(path) == ALL
    assert found(home / path) == ALL


def test_one_of_them(home: Path) -> None:
    assert found("plugins/search/one_plugin.py") == ["search/one_plugin"]
    assert found("plugins/parser") == ["parser/three_plugin"]
    for inside in ("plugins/search/two_plugin", "plugins/search/two_plugin/part.py"):
        [target] = targets_of(Path(inside))
        assert (target.unit.path, str(target.path)) == ("search/two_plugin", "plugins/search/two_plugin")
        assert str(target.file) == "plugins/search/two_plugin/__init__.py"


def test_one_outside_of_any_plugin_folder(home: Path) -> None:
    [target] = targets_of(Path("loose/five_plugin.py"))
    assert (target.root, target.unit.path) == (None, "search/five_plugin.py")
    assert str(target.shown("search/five_plugin.py")) == "loose/five_plugin.py"
    assert found("loose") == ["search/five_plugin"]
    (home / "loose/plain.py").write_text("x = 1")
    with pytest.raises(Unusable, match="--type"):
        found("loose/plain.py")
    assert found("loose/plain.py", "download") == ["download/plain_plugin"]


def test_names_that_a_server_passes_over(home: Path) -> None:
    targets: list[Target] = [
        *targets_of(Path("plugins/search/plugin_template.py")),
        *targets_of(Path("plugins/search/helper.py")),
    ]
    assert [one.is_misnamed for one in targets] == [True, True]
    assert str(targets[0].shown(targets[0].unit.main_file)) == "plugins/search/plugin_template.py"


def test_what_is_none(home: Path) -> None:
    (home / "notes.txt").write_text("")
    (home / "empty").mkdir()
    for path in ("nowhere", "notes.txt", "empty"):
        with pytest.raises(Unusable):
            found(path)
