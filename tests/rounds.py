"""How long the tests go that draw from chance: a short round in `make test`, full size under `make soak`."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")

# The same seed draws the same round; the seed of a run that failed stands in its message.
SEED = int(os.environ.get("PLUGBAY_SEED", "20261128"))
SOAK = os.environ.get("PLUGBAY_SOAK") == "1"


def sized(short: T, full: T) -> T:
    """The value that goes with this run: `short` in `make test`, `full` in `make soak`."""
    return full if SOAK else short
