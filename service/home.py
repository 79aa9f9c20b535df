"""The home folder: `plugins/`, `config/` and `data/`, and what a new one begins with."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.errors import PlugbayError
from service.model.text import Text

PLUGIN_FOLDERS = ("search", "download", "parser")

# Given by name: a checkout that is a home has its owner's plugins in the same folders. A folder stands for every module
# in it.
BUNDLED = (
    "plugins/search/feeds_plugin",
    "plugins/search/library_plugin",
    "plugins/search/maccms_plugin",
    "plugins/search/torznab_plugin",
    "plugins/search/plugin_template.py",
    "plugins/download/aria2_plugin",
    "plugins/download/hls_plugin",
    "plugins/download/http_plugin",
    "plugins/download/qbittorrent_plugin.py",
    "plugins/download/transmission_plugin.py",
    "plugins/download/plugin_template.py",
    "plugins/parser/m3u8_plugin.py",
    "plugins/parser/page_plugin",
    "plugins/parser/torrent_plugin.py",
    "plugins/parser/plugin_template.py",
    "plugins/shared",
    "config/service.toml",
)


class HomeError(PlugbayError):
    """The home folder cannot be used, so the server does not start."""

    code = "home_unusable"


def bundled_folder() -> Path:
    """Where the bundled files lie: in the package when installed, else in the checkout."""
    package = Path(__file__).resolve().parent
    bundled = package / "_bundled"
    return bundled if bundled.is_dir() else package.parent


def bundled_files() -> list[str]:
    """Every bundled file, relative to `bundled_folder`: what `BUNDLED` names, with every module below its folders."""
    root = bundled_folder()
    files: list[str] = []
    for name in BUNDLED:
        if (root / name).is_dir():
            files += sorted(path.relative_to(root).as_posix() for path in (root / name).rglob("*.py"))
        else:
            files.append(name)
    return files


def bundled_plugins() -> dict[str, Path]:
    """The main file of each bundled plugin, by the plugin's file or folder relative to a home."""
    root = bundled_folder()
    return {
        name: root / name if name.endswith(".py") else root / name / "__init__.py"
        for name in BUNDLED
        if name.removesuffix(".py").endswith("_plugin")
    }


def prepare_home(home: Path) -> bool:
    """Makes the folders that are missing; a home without `plugins/` also gets the bundled plugins and settings.

    Files that are there already are left as they are. Blocks: call it before the event loop runs.

    Returns:
        whether the bundled plugins were put there.

    Raises:
        HomeError: a folder cannot be made or a file cannot be written.
    """
    try:
        fresh = not (home / "plugins").exists()
        if fresh:
            _copy_bundled(home)
        for folder in ("config", "data", *(f"plugins/{name}" for name in PLUGIN_FOLDERS)):
            (home / folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(home, error) from error
    return fresh


@contextmanager
def locked_home(home: Path) -> Iterator[None]:
    """While it lasts, no other server uses this home; the kernel ends the lock with the process, however that ends.

    Raises:
        HomeError: another server uses it, or it cannot be written to.
    """
    try:
        file = (home / "data" / "lock").open("a+", encoding="ascii")
    except OSError as error:
        raise _unusable(home, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            pid = file.read(20).strip() or "?"
            raise HomeError(
                Text(
                    zh=f"目录 {home} 正被另一个服务器使用（进程 {pid}）；请先停止它，或用 --home 指定另一个目录",
                    en=f"{home} is in use by another server (process {pid}); stop it first, or name another folder "
                    "with --home",
                )
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _unusable(home: Path, error: OSError) -> HomeError:
    return HomeError(
        Text(
            zh=f"无法使用目录 {home}：{error.strerror}。请用 --home 指定可写的目录，或修改其权限",
            en=f"{home} cannot be used as home: {error.strerror}. Name a writable folder with --home, "
            "or change its permissions",
        )
    )


def _copy_bundled(home: Path) -> None:
    """Copies all of `plugins/` or nothing: put together aside and renamed, so that a cut start can be repeated."""
    source = bundled_folder()
    staging = home / f".plugins-{os.getpid()}"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        for name in bundled_files():
            if not (source / name).is_file():
                continue
            target = (
                home / name if name.startswith("config/") else staging / Path(name).relative_to("plugins")
            )
            if target.exists():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target)
        staging.mkdir(parents=True, exist_ok=True)
        staging.rename(home / "plugins")
    finally:
        shutil.rmtree(staging, ignore_errors=True)
