"""uv, asked to resolve requirements into a lock and to install a lock into a folder of its own.

Nothing of any package runs: `--no-build` stands on every command unless builds are allowed. uv itself is confined as
plugins are: it writes to its own folder and to its cache, reads what it is configured by, and has the network.

The user's own uv configuration and its `UV_*` variables count, mirrors among them; what would lead it to another
environment, or to a project file that happens to lie about, does not.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import uv

from service.host.dependencies.running import Ended, Programs
from service.host.dependencies.uv_policy import allowed, usual_cache

LOCK_NAME = "pylock.toml"
SET_NAME = "set"

_REQUIREMENTS_NAME = "plugin-requirements.in"
_NICE = 15
_RETRIES = 2
_MOST_SILENT_SECONDS = 8.0

_SYSTEM_CERTIFICATES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),  # Debian, Arch
    Path("/etc/pki/tls/certs/ca-bundle.crt"),  # Fedora
    Path("/etc/ssl/ca-bundle.pem"),  # openSUSE
    Path("/etc/ssl/cert.pem"),  # Alpine
)

# Of the server, or of the shell that it was started from: they name other environments, other folders, or lift what
# is refused here.
_DROPPED = frozenset(
    """
    VIRTUAL_ENV CONDA_PREFIX CONDA_DEFAULT_ENV PYTHONHOME PYTHONPATH PYTHONSTARTUP
    UV_PROJECT UV_PROJECT_ENVIRONMENT UV_WORKING_DIR UV_WORKING_DIRECTORY UV_PYTHON UV_SYSTEM_PYTHON
    UV_BREAK_SYSTEM_PACKAGES UV_MANAGED_PYTHON UV_NO_MANAGED_PYTHON UV_PYTHON_PREFERENCE
    UV_COMPILE_BYTECODE UV_LINK_MODE UV_NO_VERIFY_HASHES UV_PRERELEASE_MODE UV_QUIET UV_ENV_FILE
    UV_NO_BUILD UV_NO_BUILD_PACKAGE UV_NO_BINARY UV_NO_BINARY_PACKAGE UV_NO_BUILD_ISOLATION UV_ISOLATED
    RUST_LOG RUST_BACKTRACE
    """.split()
)


class Uv:
    """The two commands.

    Args:
        own_cache: where uv keeps what it fetched if its usual folder cannot be written.
        timeout_s: how long a command may take; how long a registry may be silent follows from it.
    """

    def __init__(self, programs: Programs, *, own_cache: Path, timeout_s: float) -> None:
        self._programs = programs
        self._own_cache = own_cache
        self._timeout_s = timeout_s

    async def resolve(
        self,
        lines: Sequence[str],
        folder: Path,
        *,
        builds: bool,
        offline: bool,
        on_line: Callable[[str], None],
    ) -> Ended:
        """Resolve requirements; the lock is `pylock.toml` in `folder` where it ends well.

        Args:
            lines: PEP 508 requirements and nothing else.
            folder: is made, for this command alone.
            builds: whether source packages may be built, which runs their code.
            offline: ask nobody; use what was fetched before.
            on_line: called with each line that uv says.

        Raises:
            OSError: it could not be started; FileNotFoundError where uv is not installed.
        """
        given = "".join(f"{line}\n" for line in lines)
        arguments = ["compile", "--format", "pylock.toml", "--output-file", LOCK_NAME, "--no-header"]
        return await self._run(
            [*arguments, _REQUIREMENTS_NAME],
            folder,
            {_REQUIREMENTS_NAME: given},
            builds=builds,
            offline=offline,
            on_line=on_line,
        )

    async def install(
        self, lock: str, folder: Path, *, builds: bool, offline: bool, on_line: Callable[[str], None]
    ) -> Ended:
        """Install a lock into `set` in `folder`; it is there where it ends well. Otherwise as `resolve`."""
        arguments = ["install", "--target", SET_NAME, "-r", LOCK_NAME, "--no-deps", "--link-mode", "copy"]
        return await self._run(
            arguments, folder, {LOCK_NAME: lock}, builds=builds, offline=offline, on_line=on_line
        )

    async def _run(
        self,
        arguments: list[str],
        folder: Path,
        files: Mapping[str, str],
        *,
        builds: bool,
        offline: bool,
        on_line: Callable[[str], None],
    ) -> Ended:
        options = ["--python", sys.executable, "--color", "never", "--preview-features", "pylock"]
        if not builds:
            options.append("--no-build")
        if offline:
            options.append("--offline")
        program, variables = await asyncio.to_thread(self._prepare, folder, files)
        return await self._programs.run(
            [program, "pip", *arguments, *options],
            folder=folder,
            environment=variables,
            policy=await asyncio.to_thread(allowed, variables, program),
            on_line=on_line,
            nice=_NICE,
        )

    def _prepare(self, folder: Path, files: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        folder.mkdir(mode=0o755)
        for name, content in files.items():
            (folder / name).write_text(content, encoding="utf-8")
        # A project file of the home or of a folder above it must not be taken for the plugin's.
        (folder / "uv.toml").touch()
        temporary = folder / "tmp"
        temporary.mkdir()
        variables = environment(
            os.environ, own_cache=self._own_cache, temporary=temporary, timeout_s=self._timeout_s
        )
        return uv.find_uv_bin(), variables


def environment(
    outer: Mapping[str, str], *, own_cache: Path, temporary: Path, timeout_s: float
) -> dict[str, str]:
    """What uv is given of the server's environment. Looks at the disk."""
    kept = {
        name: value
        for name, value in outer.items()
        if name not in _DROPPED and not name.startswith("PLUGBAY_")
    }
    kept["TMPDIR"] = str(temporary)
    # A registry that accepts and then says nothing is given up long before the whole time is over.
    silent_s = max(1.0, min(_MOST_SILENT_SECONDS, timeout_s / 4))
    kept.setdefault("UV_HTTP_TIMEOUT", str(int(silent_s)))
    kept.setdefault("UV_HTTP_RETRIES", str(_RETRIES))
    # As pip does: who trusts a proxy or a mirror of their own has told the system so, not each program.
    if any(file.exists() for file in _SYSTEM_CERTIFICATES):
        kept.setdefault("UV_SYSTEM_CERTS", "1")
    if "UV_CACHE_DIR" not in kept and not _usable(usual_cache(kept)):
        kept["UV_CACHE_DIR"] = str(own_cache)
    return kept


def _usable(folder: Path | None) -> bool:
    if folder is None:
        return False
    for one in (folder, *folder.parents):
        if one.exists():
            return one.is_dir() and os.access(one, os.W_OK | os.X_OK)
    return False
