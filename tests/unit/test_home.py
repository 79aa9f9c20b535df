from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.home import (
    BUNDLED,
    HomeError,
    bundled_files,
    bundled_folder,
    bundled_plugins,
    locked_home,
    prepare_home,
)


def test_a_new_home_gets_the_bundled_plugins_and_settings(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    assert prepare_home(home) is True
    for name in bundled_files():
        assert (home / name).read_bytes() == (bundled_folder() / name).read_bytes()
    assert (home / "data").is_dir()
    assert not [path for path in home.iterdir() if path.name.startswith(".")]


def test_every_bundled_file_of_the_checkout_is_named() -> None:
    folder = bundled_folder()
    assert [name for name in bundled_files() if not (folder / name).is_file()] == []
    assert len(set(bundled_files())) == len(bundled_files())
    assert not [name for name in bundled_files() if "__pycache__" in name]


def test_folders_are_bundled_with_every_module_in_them_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "plugins/search/feeds_plugin"
    for name in ("__init__.py", "deep/inner.py", "__pycache__/inner.cpython-311.pyc", "notes.txt"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("")
    (tmp_path / "plugins/search/mine_plugin.py").write_text("")
    monkeypatch.setattr("service.home.bundled_folder", lambda: tmp_path)
    below = [name for name in bundled_files() if (tmp_path / name).is_file()]
    assert below == ["plugins/search/feeds_plugin/__init__.py", "plugins/search/feeds_plugin/deep/inner.py"]


def test_each_bundled_plugin_has_its_main_file() -> None:
    plugins = bundled_plugins()
    assert set(plugins) == {name for name in BUNDLED if "_plugin" in name and "template" not in name}
    for name, main in plugins.items():
        assert main.is_file()
        assert main == bundled_folder() / name or main.parent == bundled_folder() / name
    assert {name.split("/")[1] for name in plugins} == {"search", "download", "parser"}


def test_a_home_that_has_plugins_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    assert prepare_home(tmp_path) is False
    assert not list((tmp_path / "plugins").glob("*/*.py"))
    assert (tmp_path / "plugins" / "parser").is_dir()


def test_settings_that_are_there_are_kept(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "service.toml").write_text("[server]\nport = 1\n")
    assert prepare_home(tmp_path) is True
    assert (tmp_path / "config" / "service.toml").read_text() == "[server]\nport = 1\n"


def test_a_start_that_was_cut_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(source: Path, target: Path) -> None:
        if target.parent.name == "page_plugin":
            raise OSError(28, "No space left on device")
        target.write_bytes(source.read_bytes())

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfile", cut)
        with pytest.raises(HomeError, match="No space left on device"):
            prepare_home(tmp_path)
    assert not (tmp_path / "plugins").exists()
    assert prepare_home(tmp_path) is True
    assert (tmp_path / "plugins" / "parser" / "page_plugin" / "__init__.py").is_file()


def test_a_file_in_its_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(HomeError) as caught:
        prepare_home(tmp_path / "home")
    assert "--home" in caught.value.text.en
    assert "--home" in caught.value.text.zh


def test_one_server_at_a_time_uses_a_home(tmp_path: Path) -> None:
    prepare_home(tmp_path)
    with locked_home(tmp_path):
        with pytest.raises(HomeError, match=str(os.getpid())), locked_home(tmp_path):
            pass
    with locked_home(tmp_path):
        pass


def test_a_lock_that_cannot_be_made_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "data/lock").mkdir(parents=True)
    with pytest.raises(HomeError, match="--home"), locked_home(tmp_path):
        pass
