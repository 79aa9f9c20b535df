"""Moments as clients are told them."""

from __future__ import annotations

from datetime import UTC, datetime


def now(precision: str = "milliseconds") -> str:
    """This moment as RFC 3339 in UTC; `precision` is `milliseconds` or `microseconds`."""
    return datetime.now(UTC).isoformat(timespec=precision).replace("+00:00", "Z")
