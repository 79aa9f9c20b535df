"""What every test runs under."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from tests.rounds import SOAK


def pytest_configure(config: pytest.Config) -> None:
    # A setting or a server of the one who runs the tests must not decide how they end, nor the language they have.
    kept = {"PLUGBAY_SOAK", "PLUGBAY_SEED"}
    for name in [name for name in os.environ if name.startswith("PLUGBAY_") and name not in kept]:
        del os.environ[name]
    os.environ["PLUGBAY_LANG"] = "en"
    # Whoever runs the tests in the background has SIGINT ignored, and every process started here would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
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
