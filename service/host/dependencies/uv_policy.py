"""What uv may do besides what it does in its own folder: keep its cache, and read what it is configured by."""

from __future__ import annotations

import contextlib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from service.worker.confinement.policy import Policy

_SYSTEM_CONFIGURATION = (Path("/etc/uv/uv.toml"), Path("/etc/xdg/uv/uv.toml"))
# In a variable or a file: paths, alone, in a list, or as addresses of files.
_PATHS = re.compile(r"(?:^|file://|[\s:;,\"'\[=])(/[^\s:;,\"'\]]+)", re.MULTILINE)
_VARIABLES = ("UV_", "SSL_", "NETRC")


def allowed(variables: Mapping[str, str], program: str) -> Policy:
    """What uv may do with these variables. Looks at the disk.

    It reads what its variables and its configuration name, such as certificates or a folder of wheels.

    Args:
        variables: those that it is given.
        program: where it lies.
    """
    files = [*_SYSTEM_CONFIGURATION, *_own_configuration(variables)]
    texts = {file: text for file in files if (text := _text(file))}
    caches = [*_caches(texts.values()), *_named(variables, "UV_CACHE_DIR")]
    if not caches and (usual := usual_cache(variables)) is not None:
        caches = [usual]
    for cache in caches:
        with contextlib.suppress(OSError):  # uv says so better
            cache.mkdir(parents=True, exist_ok=True)
    read = [*texts, *_credentials()]
    for value in (*texts.values(), *(variables[name] for name in variables if name.startswith(_VARIABLES))):
        read += map(Path, _PATHS.findall(value))
    return Policy(
        run=(str(Path(program).resolve().parent),),
        read=tuple(str(path) for path in dict.fromkeys(read) if path.exists()),
        own=tuple(map(str, caches)),
    )


def usual_cache(variables: Mapping[str, str]) -> Path | None:
    """Where uv keeps what it fetched, where nobody says otherwise."""
    base = variables.get("XDG_CACHE_HOME", "")
    if base.startswith("/"):
        return Path(base) / "uv"
    home = _home()
    return home / ".cache" / "uv" if home is not None else None


def _own_configuration(variables: Mapping[str, str]) -> Iterator[Path]:
    yield from _named(variables, "UV_CONFIG_FILE")
    base = variables.get("XDG_CONFIG_HOME", "")
    if base.startswith("/"):
        yield Path(base) / "uv" / "uv.toml"
    elif (home := _home()) is not None:
        yield home / ".config" / "uv" / "uv.toml"


def _credentials() -> Iterator[Path]:
    if (home := _home()) is not None:
        yield home / ".netrc"
        yield home / ".local" / "share" / "uv" / "credentials"


def _caches(texts: Iterable[str]) -> Iterator[Path]:
    for text in texts:
        with contextlib.suppress(tomllib.TOMLDecodeError):
            named = tomllib.loads(text).get("cache-dir")
            if isinstance(named, str) and named.startswith("/"):
                yield Path(named)


def _named(variables: Mapping[str, str], name: str) -> Iterator[Path]:
    if variables.get(name):
        yield Path(variables[name])


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:
        return None
