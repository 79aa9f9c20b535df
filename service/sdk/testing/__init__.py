"""A plugin's own tests: the pytest fixture `plugbay_server`, which runs plugins as the server does.

    def test_demo(plugbay_server):
        demo = plugbay_server.add("demo_plugin.py")
        assert demo.search("hello")[0]["title"]

pytest finds the fixture by itself wherever Plugbay is installed. Every test has a server of its own, a real process on
a free port of this machine with an empty home, which ends with the test. All methods block, and raise `PluginFailed`
where the plugin does not load and `CallFailed` where a call gives no result. Standard library and pytest only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.sdk.testing.download import Download
from service.sdk.testing.failures import CallFailed, PluginFailed
from service.sdk.testing.plugin import Call, Plugin
from service.sdk.testing.process import server_process
from service.sdk.testing.server import Server

__all__ = ["Call", "CallFailed", "Download", "Plugin", "PluginFailed", "Server", "plugbay_server"]


@pytest.fixture
def plugbay_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A running server with an empty home, for one test; see `service.sdk.testing`."""
    home = tmp_path / "plugbay"
    (home / "plugins").mkdir(parents=True)
    here = request.path.parent
    with server_process(home) as url:
        yield Server(home, url, [here, here.parent])
