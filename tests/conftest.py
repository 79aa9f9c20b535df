"""What every test runs under."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from tests.rounds import SOAK

HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    # A setting or a server of the one who runs the tests must not decide how they end, nor the language they have.
    kept = {"PLUGBAY_SOAK", "PLUGBAY_SEED"}
    for name in [name for name in os.environ if name.startswith("PLUGBAY_") and name not in kept]:
        del os.environ[name]
    os.environ["PLUGBAY_LANG"] = "en"
    # Whoever runs the tests in the background has SIGINT ignored, and every process started here would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def in_turn(files: Sequence[Path]) -> list[Path]:
    """The files of tests in the order in which they are begun, several at once.

    Those with browsers need all of a processor, those with servers wait a good deal: so that some of each run at any
    time, they are dealt out evenly. What is quick comes last and fills the end.
    """
    kinds: dict[str, list[Path]] = {}
    for file in files:
        folder = file.relative_to(HERE).parts[0]
        kinds.setdefault(folder if folder in ("browser", "unit") else "server", []).append(file)
    turns = {
        file: (kind == "unit", (number + 0.5) / len(of_kind))
        for kind, of_kind in kinds.items()
        for number, file in enumerate(of_kind)
    }
    return sorted(files, key=turns.__getitem__)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    turns = {
        file: turn for turn, file in enumerate(in_turn(list(dict.fromkeys(item.path for item in items))))
    }
    items.sort(key=lambda item: turns[item.path])
    if SOAK:
        return
    skip = pytest.mark.skip(reason="full size and length: run it with make soak")
    for item in items:
        if item.get_closest_marker("soak"):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def blockbuster(request: pytest.FixtureRequest) -> Iterator[BlockBuster | None]:
    """Fails a test in which code of the server blocks the event loop."""
    with blockbuster_ctx("service") as buster:
        yield buster
