"""`plugbay new`: what it writes, where, and what it refuses."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.cli.main import plugbay
from service.worker.contract import REQUIRED


def new(*arguments: str) -> Result:
    return CliRunner().invoke(plugbay, ["new", *arguments], catch_exceptions=False)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PLUGBAY_HOME", raising=False)
    return tmp_path


@pytest.mark.parametrize("type", list(REQUIRED))
def test_it_writes_a_plugin_and_its_test(here: Path, type: str) -> None:
    result = new(type, "my-site")
    assert result.exit_code == 0
    plugin, test = here / f"plugins/{type}/my-site_plugin.py", here / f"tests/test_{type}_my-site.py"
    assert {path for path in here.rglob("*") if path.is_file()} == {plugin, test}
    text = plugin.read_text(encoding="utf-8")
    assert 'name = "my-site"' in text
    assert f"class MySitePlugin({type.capitalize()}Plugin):" in text
    assert "get_config_schema" in text
    assert f'PLUGIN = "plugins/{type}/my-site_plugin.py"' in test.read_text(encoding="utf-8")
    for path in (plugin, test):
        ast.parse(path.read_text(encoding="utf-8"))
        assert "scaffold" not in path.read_text(encoding="utf-8").lower()
    assert f"plugbay check plugins/{type}/my-site_plugin.py\n" in result.stdout
    assert all(len(line) <= 80 for line in result.stdout.splitlines())


def test_names_of_any_script(here: Path) -> None:
    assert new("search", "示例").exit_code == 0
    assert "class 示例Plugin(" in (here / "plugins/search/示例_plugin.py").read_text(encoding="utf-8")
    assert new("search", "7up").exit_code == 0
    assert "class My7upPlugin(" in (here / "plugins/search/7up_plugin.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a/b", "never a path"),
        ("../x", "never a path"),
        ("", "never a path"),
        ("has space", "letters"),
        ("demo_plugin", "leave out _plugin and .py: demo"),
        ("demo.py", "leave out _plugin and .py: demo"),
        ("x" * 58, "57 characters at most"),
        ("plugin_template2", "not loaded"),
    ],
)
def test_names_that_cannot_be(here: Path, name: str, said: str) -> None:
    result = new("search", name)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert list(here.iterdir()) == []


def test_it_never_overwrites(here: Path) -> None:
    assert new("parser", "demo").exit_code == 0
    plugin, test = here / "plugins/parser/demo_plugin.py", here / "tests/test_parser_demo.py"
    plugin.write_text("mine")
    refused = new("parser", "demo")
    assert refused.exit_code == 1
    assert "plugins/parser/demo_plugin.py is there already; nothing was written" in refused.stderr
    assert plugin.read_text() == "mine"

    plugin.unlink()
    (here / "plugins/parser/demo_plugin").mkdir()
    test.write_text("mine")
    assert new("parser", "demo").exit_code == 1
    (here / "plugins/parser/demo_plugin").rmdir()
    assert new("parser", "demo").exit_code == 1
    assert not plugin.exists()
    assert test.read_text() == "mine"


def test_where_it_goes(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert new("search", "apart", "--dir", "elsewhere").exit_code == 0
    assert (here / "elsewhere/apart_plugin.py").is_file()
    assert 'PLUGIN = "apart_plugin.py"' in (here / "elsewhere/test_apart.py").read_text(encoding="utf-8")

    home = tmp_path / "home"
    monkeypatch.setenv("PLUGBAY_HOME", str(home))
    told = json.loads(new("search", "demo", "--json").stdout)
    assert told["id"] == "search/demo"
    assert told["files"] == [
        str(home / "plugins/search/demo_plugin.py"),
        str(home / "tests/test_search_demo.py"),
    ]
    assert all(Path(file).is_file() for file in told["files"])

    monkeypatch.delenv("PLUGBAY_HOME")
    monkeypatch.chdir(home / "plugins/search")
    assert new("search", "inside").exit_code == 0
    assert (home / "plugins/search/inside_plugin.py").is_file()
    assert (home / "tests/test_search_inside.py").is_file()


def test_a_folder_that_cannot_be_written(here: Path) -> None:
    (here / "plugins").write_text("a file")
    result = new("search", "demo")
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr
    assert "--dir" in result.stderr
