"""What all plugins may read is never the home of the server, whatever leads there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from service.host.workers.ground import ground_of
from service.worker.confinement.report import Report

ALL = Report(landlock=7, seccomp=True, namespaces=True, users=True, passes_modes=True, is_root=True)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "site/home"
    home.mkdir(parents=True)
    for other in ("package", "home-two"):
        (tmp_path / "site" / other).mkdir()
    (tmp_path / "site/link").symlink_to(home)
    (tmp_path / "site/up").symlink_to(tmp_path)
    return home


def readable(home: Path) -> list[str]:
    ground = ground_of(ALL, home)
    return [os.path.realpath(path) for path in (*ground.run, *ground.read)]


def test_a_folder_of_packages_that_home_lies_in_is_left_out(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    site = home.parent
    monkeypatch.setattr(sys, "path", ["", str(site), str(site / "link")])
    found = readable(home)
    assert {str(site / "package"), str(site / "home-two")} <= set(found)
    assert not [path for path in found if home.is_relative_to(path)]


def test_where_the_server_was_started_is_no_folder_of_packages(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setattr(sys, "path", [str(home.parent / "package")])
    assert str(home.parent / "package") not in readable(home)


def test_two_homes_have_two_users(home: Path) -> None:
    users = {ground_of(ALL, one).user for one in (home, home.parent / "home-two")}
    assert len(users) == 2


def test_without_landlock_nobody_passes_over_modes(home: Path) -> None:
    assert ground_of(ALL, home).capabilities
    assert not ground_of(Report(0, True, True, True, True, True), home).capabilities


def test_without_landlock_plugins_of_a_private_home_can_be_no_other_user(home: Path) -> None:
    home.parent.chmod(0o700)
    assert ground_of(Report(0, True, True, True, True, True), home).user is None
