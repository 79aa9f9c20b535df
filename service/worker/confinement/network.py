"""The network, for plugins that may have none of it, or only some ports.

    none     a network namespace of its own where one can be made: there is no interface in it but a loopback that is
             down; and always a filter that refuses sockets of the internet families, which says so with `EPERM`
    ports    Landlock for TCP; raw sockets, other transports and ways around a connect are refused by the filter

With a list of ports, UDP is open, as names are found over it; who wants to send data somewhere can do so over UDP, or
ask for names that carry it. The ports are those of any host. Without a network nothing is left but what the process was
born with: a pair of sockets to the server, which speaks the plugin's protocol and nothing else.
"""

from __future__ import annotations

from service.worker.confinement import landlock, seccomp
from service.worker.confinement.kernel import syscall
from service.worker.confinement.policy import Ground


def apply(network: bool | tuple[int, ...], ground: Ground) -> seccomp.Program | None:
    """Leave the network behind, as far as it is denied and the kernel can keep it from a process.

    Args:
        network: as in `Policy`.
        ground: what the kernel can do.

    Returns:
        a filter that belongs to it, to be installed after everything else.

    Raises:
        OSError: what is denied could not be kept from it.
    """
    if network is True:
        return None
    if network is False:
        if ground.namespaces:
            try:
                syscall(seccomp.number_of("unshare"), seccomp.CLONE_NEWNET)
            except OSError:  # such as where there are as many as there may be; the filter does without
                if not ground.seccomp:
                    raise
        return seccomp.without_network() if ground.seccomp else None
    if ground.landlock >= landlock.NETWORK_SINCE:
        landlock.limit_connections(network)
        return seccomp.connecting_only() if ground.seccomp else None
    return None
