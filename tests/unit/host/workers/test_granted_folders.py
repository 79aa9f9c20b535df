"""What a granted folder comes to: by the links of people, not by those of plugins, and without home's state."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from service.host.workers.granted_folders import GrantedFolders, PlantedLink


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "site/home"
    for name in ("config", "plugins", "data/downloads", "data/plugins", "films/night"):
        (home / name).mkdir(parents=True)
    (tmp_path / "site/music").mkdir()
    return home


def folders(home: Path, *, server: Iterable[Path] = (), plugin_user: int | None = None) -> GrantedFolders:
    return GrantedFolders(home, home / "data/downloads", server, plugin_user)


def granted(home: Path, folder: Path, *, to_write: bool = False, server: Iterable[Path] = ()) -> set[Path]:
    found = folders(home, server=server)
    return set(found.open_to_plugins(found.real(folder), to_write=to_write))


def test_links_of_people_are_followed(home: Path) -> None:
    (home / "up").symlink_to("../music")
    (home / "far").symlink_to(home / "up")
    assert folders(home).real(home / "far/new/../old") == home.parent / "music/old"


def test_a_link_of_the_plugins_user_is_not(home: Path) -> None:
    (home / "films/out").symlink_to("/")
    with pytest.raises(PlantedLink):
        folders(home, plugin_user=os.geteuid()).real(home / "films/out/etc")
    assert folders(home, plugin_user=os.geteuid() + 1).real(home / "films/out/etc") == Path("/etc")


@pytest.mark.parametrize("place", ["data/downloads", "data/plugins", "films"])
def test_where_plugins_share_the_user_no_link_is_where_one_may_write(home: Path, place: str) -> None:
    (home / place / "out").symlink_to("/")
    found = folders(home)
    found.note_writable([home / "films"])
    with pytest.raises(PlantedLink):
        found.real(home / place / "out")


def test_a_ring_of_links_leads_nowhere(home: Path) -> None:
    (home / "ring").symlink_to("ring")
    with pytest.raises(PlantedLink):
        folders(home).real(home / "ring")


def test_of_what_home_lies_in_its_state_is_left_out(home: Path) -> None:
    (home.parent / "link").symlink_to(home / "data")
    assert granted(home, home.parent) == {home.parent / "music", home / "films"}


@pytest.mark.parametrize("name", ["config", "data", "data/plugins/search", "plugins/search"])
def test_nothing_of_homes_state_is_granted(home: Path, name: str) -> None:
    assert granted(home, home / name) == set()


def test_the_downloads_are_granted(home: Path) -> None:
    assert granted(home, home / "data/downloads/x", to_write=True) == {home / "data/downloads/x"}


def test_the_servers_code_may_be_read_and_not_written(home: Path) -> None:
    server = (home.parent / "music",)
    assert granted(home, server[0], server=server) == set(server)
    assert granted(home, server[0], to_write=True, server=server) == set()
