"""How often an address has tried something, so that nobody can guess, or keep the server busy, for long. No I/O."""

from __future__ import annotations

import ipaddress
from collections import deque
from collections.abc import Callable

from service.api.authority import parse_ip

TRIES_A_MINUTE = 10

_WINDOW_S = 60.0
_ADDRESSES = 4096
# Whoever has one address of IPv6 has all of its network.
_NETWORK_BITS = 64


class TooManyTries(Exception):
    """Somebody there has tried too often; `retry_after` is in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"wait {retry_after:.1f} s")
        self.retry_after = retry_after


class Tries:
    """Counts tries by address.

    Args:
        clock: seconds that only ever grow.
        a_minute: how many an address has.
    """

    def __init__(self, clock: Callable[[], float], a_minute: int = TRIES_A_MINUTE) -> None:
        self._clock = clock
        self._a_minute = a_minute
        self._tries: dict[str, deque[float]] = {}

    def note(self, address: str) -> None:
        """Count a try that begins now.

        Raises:
            TooManyTries: there were as many within the last minute as there may be.
        """
        now, key = self._clock(), _network(address)
        tries = self._tries.pop(key, None) or deque(maxlen=self._a_minute)
        # Back at the end: the front is who has not tried for longest.
        self._tries[key] = tries
        if len(tries) == self._a_minute and (left := tries[0] + _WINDOW_S - now) > 0:
            raise TooManyTries(left)
        tries.append(now)
        if len(self._tries) > _ADDRESSES:
            del self._tries[next(iter(self._tries))]

    def forgive(self, address: str) -> None:
        """Forget the tries from an address: one was right."""
        self._tries.pop(_network(address), None)


def _network(address: str) -> str:
    try:
        ip = parse_ip(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    return str(ipaddress.ip_network((ip, _NETWORK_BITS), strict=False))
