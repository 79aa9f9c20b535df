"""Tests of the plugin in a real server, which the fixture starts and ends. Run them with: pytest"""

from __future__ import annotations

from service.sdk.testing import Server

PLUGIN = "scaffold_plugin.py"


def test_it_lists_the_best_first(plugbay_server: Server) -> None:
    plugin = plugbay_server.add(PLUGIN)
    links = plugin.parse("https://example.org/film")
    assert [one["name"] for one in links] == ["1080p", "720p", "480p"]
    assert links[0]["url"] == "https://example.org/film?quality=1080p"


def test_it_goes_by_its_settings(plugbay_server: Server) -> None:
    plugin = plugbay_server.add(PLUGIN).configure({"host": "example.com", "best": "480p"})
    assert [one["name"] for one in plugin.parse("https://example.com/film")] == ["480p"]


def test_other_addresses_are_not_its_own(plugbay_server: Server) -> None:
    plugin = plugbay_server.add(PLUGIN)
    assert plugin.parse("https://example.net/film") == []
