"""What each plugin's process may do, worked out from what the plugin is, asks for and was granted.

Ground    the guards of the kernel, and the files that all plugins may read: the same for all, see `ground`
Policy    network and folders of one plugin; its own folder is made here, for the user that plugins run as
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from service.errors import PlugbayError
from service.host.files.sources import Unit
from service.host.workers.granted_folders import GrantedFolders, PlantedLink
from service.host.workers.ground import PACKAGE, ground_of
from service.host.workers.peers import Peers
from service.model.identity import PluginType
from service.model.text import Text
from service.worker.confinement import landlock
from service.worker.confinement.policy import Ground, Policy
from service.worker.confinement.report import Report, probe
from service.worker.runtime import TEMPORARY_FOLDER

log = structlog.get_logger(__name__)

_DOWNLOADS = "{downloads}"


class SandboxIncomplete(PlugbayError):
    """Plugins cannot be wholly confined, and `sandbox.required` asks for that; the server does not start."""

    code = "sandbox_incomplete"

    def __init__(self, problem: Text) -> None:
        super().__init__(
            Text(
                zh=f"{problem.zh}。sandbox.required 要求完整的限制，因此没有启动；请升级内核，或把它设为 false",
                en=f"{problem.en}. sandbox.required asks for all of it, so the server does not start; use a newer "
                "kernel, or set it to false",
            )
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a plugin lies, and what it has there.

    Attributes:
        unit: its files.
        source: its own file or folder.
        data_dir: the folder that is its own.
        site: of what it depends on, where it declares anything.
    """

    unit: Unit
    source: Path
    data_dir: Path
    site: Path | None


class Sandbox:
    """See the module.

    Args:
        home: the server's home.
        downloads_dir: where plugins download to.
        ground: what is the same for all plugins.
        report: what the kernel has.
        own_ports: those that the server listens on, which no plugin may connect to.

    Attributes:
        peers: tells plugins from others who connect.
        missing: what plugins could be kept from if the kernel could, each with what that means.
    """

    def __init__(
        self,
        home: Path,
        downloads_dir: Path,
        report: Report,
        ground: Ground,
        *,
        own_ports: Iterable[int] = (),
    ) -> None:
        self.ground = ground
        self.report = report
        self._home = home
        self._downloads_dir = downloads_dir
        self._own_ports = frozenset(own_ports)
        self._granted = GrantedFolders(home, downloads_dir, _code_of_the_server(), ground.user)
        self.peers = Peers(ground.user)
        self.missing = [*_missing(report, ground), *_missing_of(self.peers)]

    @classmethod
    def of_this_kernel(cls, home: Path, downloads_dir: Path, *, own_ports: Iterable[int] = ()) -> Sandbox:
        """With all guards that the kernel has. Reads the disk."""
        report = probe()
        return cls(home, downloads_dir, report, ground_of(report, home), own_ports=own_ports)

    @staticmethod
    def opens_folders(place: Place, allowed: Mapping[str, Any]) -> bool:
        """Whether a plugin may look into folders besides its own."""
        return bool(allowed["read"] or allowed["write"]) or place.unit.type is PluginType.DOWNLOAD

    def policy(
        self, place: Place, allowed: Mapping[str, Any], config: Mapping[str, Any]
    ) -> tuple[Policy, bool]:
        """What a plugin's process may do. Makes the plugin's folder where it is not there yet; call it in a thread.

        Args:
            place: where it lies.
            allowed: what it was granted of what it asks for, see `service.host.permissions`.
            config: its stored values: a folder may be the one that a field names.

        A folder is one of these, in `read` and `write`:

            /srv/films, ~/films, films    that one; a relative one lies below home
            {downloads}                   the folder that is downloaded to
            {folder}                      what the field `folder` of the plugin's configuration names, or all that it
                                          does where it is a list

        Whatever is granted, home's own state and, for writing, the server's code are no part of it, and no link is
        followed that a plugin may have made, see `service.host.workers.granted_folders`.

        Returns:
            the policy, and whether the plugin's own folder was not as it has to be and had to be mended for it.

        Raises:
            OSError: its folder cannot be made.
        """
        was_mended = self._make_own(place.data_dir)
        writable = list(self._folders(allowed["write"], config))
        if place.unit.type is PluginType.DOWNLOAD:
            writable.append(self._downloads_dir)
        # The outer ones first: what lies in them may lead anywhere.
        write = self._real(sorted(writable, key=lambda one: len(one.parts)), to_write=True)
        read = self._real(self._folders(allowed["read"], config), to_write=False)
        network = allowed["network"]
        if isinstance(network, list):
            network = tuple(sorted({*network} - self._own_ports))
        policy = Policy(
            network=network,
            run=(os.path.realpath(place.site),) if place.site is not None else (),
            # A file's text is sent; what lies beside the modules of a package is only there.
            read=tuple(
                dict.fromkeys([*([os.path.realpath(place.source)] if place.unit.is_package else []), *read])
            ),
            write=tuple(dict.fromkeys(write)),
            own=(os.path.realpath(place.data_dir),),
        )
        return policy, was_mended

    @property
    def problem(self) -> Text | None:
        """All that is missing, each in a line; `None` where nothing is."""
        if not self.missing:
            return None
        return Text(
            zh="插件没有被完全限制：\n" + "；\n".join(one.zh for one in self.missing),
            en="Plugins are not wholly confined:\n" + ";\n".join(one.en for one in self.missing),
        )

    def tell_what_is_missing(self) -> None:
        """Put each of it into the server's log."""
        for missing in self.missing:
            log.warning("sandbox.incomplete", missing=missing.en)

    def require_all(self) -> None:
        """Do nothing where nothing is missing.

        Raises:
            SandboxIncomplete
        """
        if self.problem is not None:
            raise SandboxIncomplete(self.problem)

    # -- folders -----------------------------------------------------------------------------------------------------

    def _folders(self, named: Iterable[str], config: Mapping[str, Any]) -> Iterator[Path]:
        for name in named:
            if name == _DOWNLOADS:
                yield self._downloads_dir
            elif name.startswith("{") and name.endswith("}"):
                # As the plugin itself takes them: it stands where the server does.
                yield from (_expanded(one).absolute() for one in _named_in(config.get(name[1:-1])))
            else:
                yield self._home / _expanded(name)

    def _real(self, folders: Iterable[Path], *, to_write: bool) -> list[str]:
        """The real names of what is granted of folders; one to write to is made where it is not there yet."""
        found: list[str] = []
        for folder in folders:
            try:
                real = self._granted.real(folder)
            except PlantedLink:
                # Refused by the plugin's own process, too, and told in its log like one that is not there.
                found.append(str(folder))
                continue
            if to_write:
                self._granted.note_writable([real])
            granted = list(self._granted.open_to_plugins(real, to_write=to_write))
            found += map(str, granted)
            if to_write and granted == [real]:
                # Where it cannot be had, the plugin's log says so, or the plugin does.
                with contextlib.suppress(OSError):
                    _make(real)
                    self._hand_over(real)
        return found

    def _hand_over(self, folder: Path) -> None:
        """Give a folder of this home to the user of plugins, where that one cannot pass over modes."""
        user = self.ground.user
        if (
            user is not None
            and not self.ground.capabilities
            and folder.is_relative_to(self._home)
            and os.lstat(folder).st_uid != user
        ):
            os.lchown(folder, user, user)

    def _make_own(self, folder: Path) -> bool:
        temporary = folder / TEMPORARY_FOLDER
        was_there = temporary.is_dir()
        _make(temporary)
        user = self.ground.user
        if user is None:
            return not was_there
        if os.lstat(folder).st_uid != user:
            _give(folder, user)
            return True
        if os.lstat(temporary).st_uid == os.geteuid():
            os.lchown(temporary, user, user)
            return True
        return not was_there


def _make(folder: Path) -> None:
    """Have a folder be there. To ask for one that is there already may wait for a slow disk, or be refused by it."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)


def _code_of_the_server() -> Iterator[Path]:
    yield PACKAGE
    yield Path(os.__file__).parent
    if sys.prefix != sys.base_prefix:
        yield Path(sys.prefix)
    # Where packages are that were installed without an environment.
    yield from (Path(one) for one in sys.path if one.endswith(("site-packages", "dist-packages")))


def _expanded(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # nobody's home
        return Path(name)


def _named_in(value: Any) -> Iterator[str]:
    """The folders that a value of a configuration names: one, or a list of them or of objects with a `path`."""
    for one in value if isinstance(value, list) else [value]:
        path = one.get("path") if isinstance(one, dict) else one
        if isinstance(path, str) and path.strip():
            yield path.strip()


def _give(folder: Path, user: int) -> None:
    """Have a folder and all in it be that user's; links are not followed."""
    for _, folders, files, at in os.fwalk(folder):
        for name in (*folders, *files):
            os.chown(name, user, user, dir_fd=at, follow_symlinks=False)
    os.chown(folder, user, user, follow_symlinks=False)


def _missing_of(peers: Peers) -> Iterator[Text]:
    if not peers.can_tell:
        yield Text(
            zh="无法查明连接来自哪个进程：插件可以像本机用户一样使用服务器的接口",
            en="It cannot be told which process a connection comes from: plugins can use the server's API as its user "
            "does",
        )


def _missing(report: Report, ground: Ground) -> Iterator[Text]:
    shares = ground.user is None
    if not report.landlock:
        yield Text(
            zh="内核没有启用 Landlock：插件可以读取"
            + ("并修改服务器用户的文件" if shares else "所有用户可读的文件"),
            en="The kernel has no Landlock: plugins can read "
            + ("and change the files of the server's user" if shares else "files that everybody may read"),
        )
    elif report.landlock < 3:
        yield Text(
            zh=f"Landlock 版本 {report.landlock} 过旧：插件可以截断不属于它的文件（需要 3，即 Linux 6.2）",
            en=f"Landlock {report.landlock} is too old: plugins can empty files of others (3 is needed, Linux 6.2)",
        )
    if report.landlock < landlock.NETWORK_SINCE:
        yield Text(
            zh="Landlock 不能限制端口：只获准连接某些端口的插件可以连接所有端口（需要 4，即 Linux 6.7）",
            en="Landlock cannot limit ports: a plugin that was granted some can connect to all (4 is needed, "
            "Linux 6.7)",
        )
    if report.landlock < landlock.SCOPES_SINCE:
        yield Text(
            zh="Landlock 不能限制信号：插件可以向"
            + ("服务器用户的进程" if shares else "其他插件的进程")
            + "发送信号（需要 6，即 Linux 6.12）",
            en="Landlock cannot limit signals: plugins can signal the processes of "
            + ("the server's user" if shares else "other plugins")
            + " (6 is needed, Linux 6.12)",
        )
    if not report.seccomp:
        yield Text(
            zh="无法过滤系统调用：插件可以使用路径套接字等未受限制的接口"
            + ("" if report.namespaces else "，也无法断开它的网络"),
            en="System calls cannot be filtered: plugins can use path sockets and other ways out"
            + ("" if report.namespaces else ", and cannot be kept from the network"),
        )
    if report.is_root and shares:
        yield Text(
            zh="服务器以 root 运行，而插件不能使用另一个用户：请以普通用户运行服务器",
            en="The server runs as root and plugins cannot have a user of their own: run it as an ordinary user",
        )
