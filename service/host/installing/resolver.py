"""Looking up hosts for installs, so that the address that was checked is the one that is connected to.

A name may give a harmless address to whoever checks and another a moment later to whoever connects. Here both are
one: the connector asks this resolver, and every address that it could connect to has been checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from service.host.installing.addresses import address_reason, refuse
from service.model.text import Text

Check = Callable[[str], Text | None]

_MAX_LOOKUPS = 16
_lookups = threading.BoundedSemaphore(_MAX_LOOKUPS)


class SystemResolver(AbstractResolver):
    """`getaddrinfo` in threads of its own.

    A lookup cannot be stopped and may take half a minute. In the shared pool it would hold up every file write, and
    as an ordinary thread the end of the program.
    """

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of the host.

        Raises:
            OSError: it has none, or too many lookups are under way.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[ResolveResult]] = loop.create_future()

        def settle(found: list[ResolveResult] | OSError) -> None:
            if not answer.done():
                if isinstance(found, OSError):
                    answer.set_exception(found)
                else:
                    answer.set_result(found)

        def look_up() -> None:
            try:
                found: list[ResolveResult] | OSError = _look_up(host, port, family)
            except OSError as error:
                found = error
            except UnicodeError as error:
                found = OSError(str(error))
            finally:
                _lookups.release()
            # The loop may have ended meanwhile.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, found)

        if not _lookups.acquire(blocking=False):
            raise OSError("too many lookups are under way")
        threading.Thread(target=look_up, name="lookup", daemon=True).start()
        return await answer

    async def close(self) -> None:
        """Nothing to close."""


class GuardedResolver(AbstractResolver):
    """Passes on what `inner` finds, or refuses the host where any of its addresses is refused.

    Args:
        inner: looks hosts up.
        check: says why an address is refused, None where it is not.
    """

    def __init__(self, inner: AbstractResolver | None = None, check: Check = address_reason) -> None:
        self._inner = inner or SystemResolver()
        self._check = check

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """All addresses of the host.

        Raises:
            RequestRefused: one of them is refused; code `url_refused`.
            OSError: the host is not known.
        """
        found = await self._inner.resolve(host, port, family)
        for one in found:
            reason = self._check(one["host"])
            if reason is not None:
                raise refuse(f"{host} ({one['host']})", reason)
        return found

    async def close(self) -> None:
        """Close `inner`."""
        await self._inner.close()


def guarded_socket(address: aiohttp.AddrInfoType, check: Check = address_reason) -> socket.socket:
    """A socket to connect to `address`, the last point at which one that `check` refuses can be stopped."""
    family, kind, protocol, _, where = address
    reason = check(str(where[0]))
    if reason is not None:
        raise refuse(str(where[0]), reason)
    return socket.socket(family, kind, protocol)


def _look_up(host: str, port: int, family: int) -> list[ResolveResult]:
    found = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [
        ResolveResult(
            hostname=host,
            host=str(where[0]),
            port=port,
            family=kind,
            proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for kind, _, protocol, _, where in found
        if kind in (socket.AF_INET, socket.AF_INET6)
    ]
