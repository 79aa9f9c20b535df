"""uv reads what it is configured by and writes to its cache, wherever the user has put these."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.host.dependencies.uv_policy import allowed


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_the_usual_cache_is_made_and_its_own(home: Path) -> None:
    assert allowed({}, "/usr/bin/uv").own == (f"{home}/.cache/uv",)
    assert (home / ".cache/uv").is_dir()
    assert allowed({"XDG_CACHE_HOME": f"{home}/x"}, "/usr/bin/uv").own == (f"{home}/x/uv",)
    assert allowed({"UV_CACHE_DIR": f"{home}/c"}, "/usr/bin/uv").own == (f"{home}/c",)


def test_what_the_configuration_names_is_read(home: Path) -> None:
    wheels, cache, certificate = home / "wheels", home / "kept", home / "ca.pem"
    wheels.mkdir()
    certificate.touch()
    configuration = home / ".config/uv/uv.toml"
    configuration.parent.mkdir(parents=True)
    configuration.write_text(f'cache-dir = "{cache}"\n[pip]\nfind-links = ["file://{wheels}"]\n')
    policy = allowed({"SSL_CERT_FILE": str(certificate)}, "/usr/bin/uv")
    assert policy.own == (str(cache),)
    assert {str(configuration), str(wheels), str(certificate)} <= set(policy.read)


def test_no_more_of_the_users_home_is_read(home: Path) -> None:
    (home / ".ssh").mkdir()
    policy = allowed({"UV_DEFAULT_INDEX": "https://example.org/simple", "HOME": str(home)}, "/usr/bin/uv")
    assert [path for path in policy.read if path.startswith(str(home))] == []
