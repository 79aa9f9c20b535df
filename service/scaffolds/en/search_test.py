"""Tests of the plugin in a real server, which the fixture starts and ends. Run them with: pytest"""

from __future__ import annotations

from service.sdk.testing import Server

PLUGIN = "scaffold_plugin.py"


def test_it_finds_something(plugbay_server: Server) -> None:
    plugin = plugbay_server.add(PLUGIN)
    results = plugin.search("hello")
    assert [one["title"] for one in results] == ["hello 1", "hello 2", "hello 3"]
    assert results[0]["url"] == "https://example.org/hello/1"


def test_it_goes_by_its_settings(plugbay_server: Server) -> None:
    plugin = plugbay_server.add(PLUGIN).configure({"site": "https://example.com", "limit": 1})
    assert [one["url"] for one in plugin.search("hello")] == ["https://example.com/hello/1"]


def test_an_edit_serves_at_once(plugbay_server: Server) -> None:
    plugin = plugbay_server.add(PLUGIN)
    plugin.edit('title=f"{keyword} {number}"', 'title=f"{number}. {keyword}"')
    assert plugin.search("hello")[0]["title"] == "1. hello"
