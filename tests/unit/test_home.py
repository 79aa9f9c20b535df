from __future__ import annotations

from pathlib import Path

import pytest

from service.home import BUNDLED_FILES, HomeError, bundled_folder, prepare_home


def test_a_new_home_gets_the_bundled_plugins_and_settings(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    assert prepare_home(home) is True
    for name in BUNDLED_FILES:
        assert (home / name).read_bytes() == (bundled_folder() / name).read_bytes()
    assert (home / "data").is_dir()
    assert not [path for path in home.iterdir() if path.name.startswith(".")]


def test_every_bundled_plugin_of_the_checkout_is_named() -> None:
    names = {
        f"plugins/{path.parent.name}/{path.name}" for path in (bundled_folder() / "plugins").glob("*/*.py")
    }
    assert {name for name in BUNDLED_FILES if name.startswith("plugins/")} <= names
    kinds = {name.split("/")[1] for name in BUNDLED_FILES if name.endswith("_plugin.py")}
    assert kinds == {"search", "download", "parser"}


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
        if target.name == "page_plugin.py":
            raise OSError(28, "No space left on device")
        target.write_bytes(source.read_bytes())

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfile", cut)
        with pytest.raises(HomeError, match="No space left on device"):
            prepare_home(tmp_path)
    assert not (tmp_path / "plugins").exists()
    assert prepare_home(tmp_path) is True
    assert (tmp_path / "plugins" / "parser" / "page_plugin.py").is_file()


def test_a_file_in_its_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(HomeError) as caught:
        prepare_home(tmp_path / "home")
    assert "--home" in caught.value.text.en
    assert "--home" in caught.value.text.zh
