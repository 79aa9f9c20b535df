"""Homes for the tests here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The program that is killed is a module of the tests too.
sys.path.insert(0, str(Path(__file__).parent))

import homes


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder."""
    with homes.in_memory() as found:
        yield found


@pytest.fixture
def home(folder: Path) -> Path:
    found = folder / "home"
    homes.furnish(found)
    return found
