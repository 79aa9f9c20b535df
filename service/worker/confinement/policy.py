"""What the processes of plugins may do, as the server tells them: plain values that fit into JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Ground(NamedTuple):
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

    def to_json(self) -> dict[str, Any]:
        """Itself as a JSON object."""
        return self._asdict()

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Ground:
        """What `to_json` gave."""
        return cls(**_with_tuples(told))


class Policy(NamedTuple):
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

    def to_json(self) -> dict[str, Any]:
        """Itself as a JSON object."""
        return self._asdict()

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Policy:
        """What `to_json` gave."""
        return cls(**_with_tuples(told))

    def covers(self, other: Policy) -> bool:
        """Whether whoever may do this may do all of the other, too."""
        return self.network in (True, other.network) and all(
            set(theirs) <= set(ours) for ours, theirs in zip(self._files, other._files, strict=True)
        )

    def with_all_of(self, other: Policy) -> Policy:
        """The files of both, and the network of this one."""
        both = zip(self._files, other._files, strict=True)
        return Policy(self.network, *(tuple(dict.fromkeys(ours + theirs)) for ours, theirs in both))

    @property
    def _files(self) -> tuple[tuple[str, ...], ...]:
        return self.run, self.read, self.write, self.own


def _with_tuples(told: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in told.items()}
