"""The right to use a set of packages, held for as long as a worker process does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from service.host.dependencies.lock import Package


@dataclass(frozen=True, slots=True)
class DependencySet:
    """One set: `path` is a folder for `sys.path` with all of `packages` in it."""

    id: str
    path: Path
    packages: tuple[Package, ...]


class Lease:
    """The right to one set, for as long as a worker uses it.

    Attributes:
        lines: the requirements that it answers.
        is_new: whether what they resolve to was not remembered before it.
        was_in_vain: whether it was given back by something that never served.
    """

    def __init__(
        self,
        set: DependencySet,
        user: str,
        on_release: Callable[[Lease], None],
        *,
        lines: tuple[str, ...] = (),
    ) -> None:
        self.set = set
        self.user = user
        self.lines = lines
        self.is_new = False
        self.was_in_vain = False
        self._on_release: Callable[[Lease], None] | None = on_release

    def release(self, *, in_vain: bool = False) -> None:
        """Give it back, when the worker's process is gone. Calling it twice is safe.

        Args:
            in_vain: nothing came of it, so that nothing shall be remembered of it.
        """
        on_release, self._on_release = self._on_release, None
        if on_release is not None:
            self.was_in_vain = in_vain
            on_release(self)
