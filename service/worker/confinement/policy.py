"""What the processes of plugins may do, as the server tells them: plain values that fit into JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

_FILES = ("run", "read", "write", "own")


@dataclass(frozen=True, slots=True)
class _Told:
    def to_json(self) -> dict[str, Any]:
        """Itself as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        names = {field.name for field in fields(cls)}
        return cls(
            **{
                name: tuple(value) if isinstance(value, list) else value
                for name, value in told.items()
                if name in names
            }
        )


@dataclass(frozen=True, slots=True)
class Ground(_Told):
    """What is the same for every plugin of a server.

    Attributes:
        landlock: the version of Landlock's interface that the kernel has, 0 for none.
        seccomp: whether the kernel filters system calls.
        namespaces: whether this process may make a network namespace.
        user: the user id that plugins get, `None` where they keep the server's.
        capabilities: those that they keep besides, by number, see `identity`.
        run: files and folders that they may read, and run programs from.
        read: files and folders that they may read.
        devices: files that they may read and write.
    """

    landlock: int = 0
    seccomp: bool = False
    namespaces: bool = False
    user: int | None = None
    capabilities: tuple[int, ...] = ()
    run: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy(_Told):
    """What one plugin may do besides.

    Attributes:
        network: all of it, none of it, or TCP connections to these ports and what finds names.
        run: as for `Ground`: what the plugin depends on.
        read: what it may read.
        write: folders that it may read and write.
        own: folders that it may do anything in, and run programs from.
    """

    network: bool | tuple[int, ...] = True
    run: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    own: tuple[str, ...] = ()

    def covers(self, other: Policy) -> bool:
        """Whether whoever may do this may do all of the other, too."""
        return self.network in (True, other.network) and all(
            set(getattr(other, key)) <= set(getattr(self, key)) for key in _FILES
        )

    def with_all_of(self, other: Policy) -> Policy:
        """The files of both, and the network of this one."""
        return replace(
            self,
            **{key: tuple(dict.fromkeys([*getattr(self, key), *getattr(other, key)])) for key in _FILES},
        )
