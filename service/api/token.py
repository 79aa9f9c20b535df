"""The token on disk: made once, readable by its owner only."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from service.api.authority import is_loopback_name
from service.errors import PlugbayError
from service.model.text import Text

TOKEN_FILE = Path("data") / "token"
TOKEN_MIN_LENGTH = 16
_TOKEN_BYTES = 32
_MODE = 0o600


class TokenUnusable(PlugbayError):
    """`data/token` is there and cannot be used as it is."""

    code = "token_unusable"


def made_token(
    home: Path, listen_host: str, allowed_hosts: Sequence[str], trusted_proxies: Sequence[str]
) -> str | None:
    """The token that a server makes itself where none is configured; `None` where all who may come need none.

    The arguments besides `home` are as for `Door`.

    Raises:
        TokenUnusable, OSError: as `ensure_token` does.
    """
    is_local = is_loopback_name(listen_host.strip("[]").lower())
    only_loopback = is_local and not (allowed_hosts or trusted_proxies)
    return None if only_loopback else ensure_token(home)


def ensure_token(home: Path) -> str:
    """Give the token of this home, making `data/token` where there is none. Blocks on the disk.

    Of several callers at once, in any number of processes, all get the same token: the file appears whole, under
    its final name, only if there is none yet.

    Args:
        home: the server's home.

    Raises:
        TokenUnusable: the file is a link, or empty, or too short, or belongs to somebody else.
        OSError: the disk refuses.
    """
    path = home / TOKEN_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(path):
        _create(path)
    return _read(path)


def read_token(home: Path) -> str | None:
    """The token of this home; `None` where it has none. Blocks on the disk.

    Raises:
        TokenUnusable, OSError: as `ensure_token` does.
    """
    path = home / TOKEN_FILE
    return _read(path) if os.path.lexists(path) else None


def replace_token(home: Path) -> str:
    """Put a new token in the place of this home's, and give it. Blocks on the disk.

    Whoever reads the file meanwhile, and whatever happens to the machine, has either token whole.

    Raises:
        OSError: the disk refuses; the token is as it was.
    """
    path = home / TOKEN_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    temporary = _written(path, token)
    try:
        os.rename(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
    _sync(path.parent)
    return token


def _written(path: Path, token: str) -> Path:
    """A file beside `path` that holds a token."""
    temporary = path.with_name(f".token-{os.getpid()}-{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(token + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        os.unlink(temporary)
        raise
    return temporary


def _create(path: Path) -> None:
    temporary = _written(path, secrets.token_urlsafe(_TOKEN_BYTES))
    try:
        try:
            # Unlike a rename, a link never takes the place of a file that another process has made meanwhile.
            os.link(temporary, path)
        except FileExistsError:
            return
    finally:
        os.unlink(temporary)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        if path.is_symlink():
            raise _unusable("是符号链接", "is a symbolic link") from error
        raise
    with os.fdopen(descriptor, "rb") as file:
        if os.fstat(descriptor).st_mode & 0o777 != _MODE:
            try:
                os.fchmod(descriptor, _MODE)
            except PermissionError as error:
                raise _unusable("属于其他用户", "belongs to another user") from error
        token = file.read(4096).strip()
    if len(token) < TOKEN_MIN_LENGTH:
        raise _unusable(f"少于 {TOKEN_MIN_LENGTH} 个字符", f"has fewer than {TOKEN_MIN_LENGTH} characters")
    try:
        return token.decode("ascii")
    except UnicodeDecodeError as error:
        raise _unusable("含有非 ASCII 字符", "is not ASCII") from error


def _unusable(zh: str, en: str) -> TokenUnusable:
    return TokenUnusable(
        Text(
            zh=f"{TOKEN_FILE} {zh}，不能用作访问令牌；请删除它，服务器会重新生成",
            en=f"{TOKEN_FILE} {en} and cannot serve as the token; delete it, and the server makes a new one",
        )
    )
