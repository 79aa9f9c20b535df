from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.api.token import TokenUnusable, ensure_token


def test_it_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    token = ensure_token(tmp_path)
    assert len(token) >= 40
    assert (tmp_path / "data" / "token").stat().st_mode & 0o777 == 0o600
    assert ensure_token(tmp_path) == token
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["token"]


def test_no_umask_opens_it(tmp_path: Path) -> None:
    code = (
        "import os, sys; os.umask(0); from pathlib import Path; from service.api.token import ensure_token;"
        "ensure_token(Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=30)
    assert (tmp_path / "data" / "token").stat().st_mode & 0o777 == 0o600


def test_all_who_ask_at_once_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(ensure_token, [tmp_path] * 64))) == 1
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["token"]


def test_one_that_others_could_read_is_closed(tmp_path: Path) -> None:
    token = ensure_token(tmp_path)
    (tmp_path / "data" / "token").chmod(0o644)
    assert ensure_token(tmp_path) == token
    assert (tmp_path / "data" / "token").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"short", b"\n" * 40, b"\xff" * 40])
def test_what_cannot_be_a_token_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data" / "token"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(TokenUnusable):
        ensure_token(tmp_path)
    assert path.read_bytes() == content


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("x" * 40)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "token").symlink_to(other)
    with pytest.raises(TokenUnusable):
        ensure_token(tmp_path)
    assert other.stat().st_mode & 0o777 != 0o600
