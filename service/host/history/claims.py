"""What changes under way touch, so that no two of them touch the same at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Set


class Claims:
    """See the module."""

    def __init__(self) -> None:
        self._busy: set[str] = set()
        self._freed = asyncio.Event()

    async def claim(self, keys: Set[str]) -> None:
        """Wait until nobody else has any of the keys, and take them all."""
        while keys & self._busy:
            await self._freed.wait()
        self._busy |= keys

    def release(self, keys: Set[str]) -> None:
        """Give them back."""
        self._busy -= keys
        self._freed.set()
        self._freed = asyncio.Event()
