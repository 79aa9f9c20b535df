"""All guards in their order, on this process."""

from __future__ import annotations

import os
import signal

from service.worker import linux
from service.worker.confinement import identity, landlock, modes, network, seccomp
from service.worker.confinement.kernel import forbid_new_privileges
from service.worker.confinement.policy import Ground, Policy


class NotConfined(Exception):
    """A guard that the kernel has could not be applied; nothing of a plugin may run here."""


class Confinement:
    """What this process will be confined to. It is made ahead of need and applied once.

    Args:
        ground: what is the same for every plugin.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._files: landlock.Ruleset | None = None
        self._held: int | None = None
        # Said by `apply`: what was allowed and is not there.
        self.missing: list[str] = []

    def prepare(self) -> None:
        """Do ahead what does not depend on the plugin; calling it twice is safe.

        Raises:
            NotConfined
        """
        ground = self._ground
        try:
            if self._held is None:
                self._held = identity.effective()
            if ground.landlock and self._files is None:
                self._files = landlock.Ruleset(ground.landlock)
                self._files.allow(ground.run, landlock.RUN)
                self._files.allow(ground.read, landlock.READ)
                self._files.allow(ground.devices, landlock.DEVICE)
                self._files.allow(("/proc/self",), landlock.READ)
        except OSError as error:
            raise NotConfined(str(error)) from error
        filter_calls(ground)

    def apply(self, policy: Policy, *, over_links: bool = False) -> None:
        """Confine this process, for good.

        Args:
            policy: what this plugin may do.
            over_links: whether symbolic links may lead to what the policy names; plugins could make some.

        Raises:
            NotConfined
        """
        self.prepare()
        ground = self._ground
        try:
            if not seccomp.own_thread_is_alone():
                raise NotConfined("it has threads already")
            more = network.apply(policy.network, ground)
            parent = os.getppid()
            identity.apply(
                ground.user, ground.capabilities, held=self._held or 0, debuggable=bool(ground.landlock)
            )
            # A change of the user ends what was arranged for the parent's end.
            linux.set_parent_death_signal(signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(0)
            if self._files is not None:
                self.missing = [
                    *self._files.allow(policy.run, landlock.RUN, over_links=over_links),
                    *self._files.allow(policy.read, landlock.READ, over_links=over_links),
                    *self._files.allow(policy.write, landlock.WRITE, over_links=over_links),
                    *self._files.allow(policy.own, landlock.OWN, over_links=over_links),
                ]
                self._files.enforce()
                self._files = None
            if more is not None:
                seccomp.install(more)
            if ground.seccomp and ground.user is None:
                modes.change_by_descriptor()
        except OSError as error:
            raise NotConfined(str(error)) from error


def filter_calls(ground: Ground) -> None:
    """Have the filter of system calls in this process, and in all that it forks; twice is as good as once.

    The template has it from its start: nothing that it does is refused, and to assemble it takes longer than the rest.

    Args:
        ground: whether there are filters, and whether plugins share the server's user.

    Raises:
        NotConfined
    """
    global _has_filter
    try:
        forbid_new_privileges()
        if ground.seccomp and not _has_filter:
            seccomp.install(seccomp.for_plugins(shared_user=ground.user is None))
            _has_filter = True
    except OSError as error:
        raise NotConfined(str(error)) from error


_has_filter = False
