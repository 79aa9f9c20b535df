"""Waiting for something that a user's wish may come before."""

from __future__ import annotations

import asyncio
from typing import Any


async def first(done: asyncio.Future[Any], wished: asyncio.Event, *, seconds: float | None = None) -> bool:
    """Wait for a future or a wish; whether it was the future. The future goes on; its error is raised later."""
    wish = asyncio.ensure_future(wished.wait())
    try:
        await asyncio.wait((done, wish), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return done.done()
    finally:
        wish.cancel()
