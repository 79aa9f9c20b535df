"""What is the same for the processes of all plugins: the guards that the kernel has, and what all may read."""

from __future__ import annotations

import os
import ssl
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from service.worker.confinement.identity import CAP_DAC_OVERRIDE
from service.worker.confinement.policy import Ground
from service.worker.confinement.report import Report

PACKAGE = Path(__file__).parents[2]

# Programs and libraries, the same on every machine.
_SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/etc/ld.so.cache",
    "/etc/alternatives",
)
# Names and addresses, certificates, time zones and types of files; nothing of it is secret.
_SETTINGS = """
    /etc/resolv.conf /run/systemd/resolve /etc/hosts /etc/host.conf /etc/nsswitch.conf /etc/gai.conf /etc/services
    /etc/protocols /etc/networks /etc/hostname /etc/localtime /etc/timezone /etc/mime.types /etc/os-release
    /etc/ssl/certs /etc/ssl/openssl.cnf /etc/ssl/cert.pem /etc/ca-certificates /etc/pki/tls/certs
    /etc/pki/tls/cert.pem /etc/pki/tls/openssl.cnf /etc/pki/ca-trust /etc/crypto-policies
    /sys/devices/system/cpu /sys/kernel/mm/transparent_hugepage
    /proc/cpuinfo /proc/meminfo /proc/stat /proc/loadavg /proc/uptime /proc/version /proc/filesystems
    /proc/sys/kernel /proc/sys/vm/overcommit_memory /proc/sys/net/core/somaxconn
""".split()
_CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

# Ids that no distribution gives to anybody; where a container knows only the lower ones, those that are given for as
# long as a service runs (systemd's "dynamic users").
_ONLY_FOR_PLUGINS = range(1_900_000_000, 1_900_000_000 + (1 << 24))
_USERS = (_ONLY_FOR_PLUGINS, range(61_184, 61_184 + 4_336))


def ground_of(report: Report, home: Path) -> Ground:
    """What plugins get of what the kernel has. Reads the disk.

    Args:
        report: what it has.
        home: the server's home; nothing of it is for all plugins but the interpreter, should that lie there.
    """
    run = [*_around(map(Path, _SYSTEM), home), *_python(home)]
    home = home.resolve()
    user: int | None = None
    capabilities: tuple[int, ...] = ()
    if report.is_root and report.users:
        if report.landlock and report.passes_modes:
            user, capabilities = _user(home), (CAP_DAC_OVERRIDE,)
        elif all(map(_is_open_to_all, _needed())) and _is_passable(home):
            user = _user(home)
    certificates = ssl.get_default_verify_paths()
    named = [os.environ.get(name) for name in _CERTIFICATE_VARIABLES]
    read = [*_SETTINGS, certificates.cafile, certificates.capath, *named]
    run = _outermost(run)
    return Ground(
        landlock=report.landlock,
        seccomp=report.seccomp,
        namespaces=report.namespaces,
        user=user,
        capabilities=capabilities,
        run=tuple(map(str, run)),
        read=tuple(
            str(path) for path in _outermost(Path(one) for one in read if one) if not _is_below(path, run)
        ),
        devices=tuple(path for path in _DEVICES if os.path.exists(path)),
    )


def is_for_plugins(user: int) -> bool:
    """Whether an id is one that the plugins of any server may have, and nobody else."""
    return user in _ONLY_FOR_PLUGINS


def _python(home: Path) -> Iterator[Path]:
    yield PACKAGE
    own = (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)
    program = str(Path(sys.executable).resolve().parent)
    # What `.pth` files add, too: a plugin sees the environment that the server runs in.
    # The first of its paths is where it was started, which is no part of that.
    paths = sys.path if sys.flags.safe_path else sys.path[1:]
    yield from _around(map(Path, dict.fromkeys([*own, program, *paths])), home)


def _needed() -> list[Path]:
    sites = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    return [Path(sys.executable).resolve(), PACKAGE, *map(Path, sites)]


def _around(folders: Iterable[Path], kept_out: Path) -> Iterator[Path]:
    """The folders, and instead of one that the other lies in, what else is in it; whatever name leads there."""
    for folder in folders:
        real = Path(os.path.realpath(folder))
        if not folder.is_absolute() or real == kept_out:
            continue
        if not kept_out.is_relative_to(real):
            yield folder
        elif real.is_dir():
            # A link to where home lies is gone through from there, if at all.
            inside = (one for one in sorted(real.iterdir()) if not _is_link_around(one, kept_out))
            yield from _around(inside, kept_out)


def _is_link_around(path: Path, kept_out: Path) -> bool:
    return path.is_symlink() and kept_out.is_relative_to(os.path.realpath(path))


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """Those that are there, by their real names, without those that lie in another: each costs every process time."""
    real = dict.fromkeys(Path(os.path.realpath(path)) for path in paths if path.exists())
    return [path for path in real if not _is_below(path, real)]


def _is_below(path: Path, others: Iterable[Path]) -> bool:
    return any(path != other and path.is_relative_to(other) for other in others)


def _is_open_to_all(path: Path) -> bool:
    try:
        return path.stat().st_mode & 0o4 != 0 and _is_passable(path.parent)
    except OSError:
        return False


def _is_passable(folder: Path) -> bool:
    """Whether any user gets to what lies in a folder, as to the data of a plugin in a home."""
    try:
        return all(one.stat().st_mode & 0o1 for one in (folder, *folder.parents))
    except OSError:
        return False


def _user(home: Path) -> int | None:
    """An id for the plugins of this home: another one for each home, so that two servers' plugins are strangers."""
    known = [_known(Path(f"/proc/self/{kind}_map")) for kind in ("uid", "gid")]
    for users in _USERS:
        user = users[zlib.crc32(os.fsencode(home)) % len(users)]
        if all(any(user in one for one in ranges) for ranges in known):
            return user
    return None


def _known(map_: Path) -> list[range]:
    lines = [line.split() for line in map_.read_text().splitlines()]
    return [range(int(start), int(start) + int(count)) for start, _, count in lines]
