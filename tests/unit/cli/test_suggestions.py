from __future__ import annotations

import pytest

from service.cli.suggestions import did_you_mean, nearest
from tests.unit.cli.conftest import FakeServer, Run, plugin

NOT_FOUND = {
    "type": "urn:plugbay:problem:plugin_not_found",
    "title": "There is no such plugin",
    "status": 404,
    "detail": "There is no search plugin named so",
    "code": "plugin_not_found",
}


def test_the_nearest_come_first_and_in_their_own_spelling() -> None:
    assert nearest("DEMI", ["http", "Demo", "dumb"]) == ["Demo"]
    assert nearest("quite else", ["http", "demo"]) == []
    assert did_you_mean(["a", "b"]) == "Did you mean a, b?"
    assert did_you_mean([]) == ""


@pytest.mark.parametrize(
    ("command", "meant"),
    [
        (("enable", "search/demi"), "Did you mean search/demo?"),
        (("enable", "search/http"), "Did you mean download/http?"),
        (("delete", "search/DEMO"), "Did you mean search/demo?"),
        (("reload", "search/quite-something-else"), ""),
        (("search", "--plugin", "search/demi", "words"), "Did you mean demo?"),
        (("download", "--plugin", "htp", "http://example.org/"), "Did you mean http?"),
        (("try", "search/demi", "search", "words"), "Did you mean search/demo?"),
    ],
)
async def test_a_plugin_that_is_not_there(
    server: FakeServer, run: Run, command: tuple[str, ...], meant: str
) -> None:
    server.missing = NOT_FOUND
    result = await run(*command)
    assert result.exit_code == 1
    assert "There is no search plugin named so" in result.stderr
    assert meant in result.stderr
    assert ("Did you mean" in result.stderr) == bool(meant)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("instal",), "install"),
        (("tasks", "shwo"), "Did you mean 'show'?"),
        (("--url", "http://127.0.0.1:9", "list"), "--url goes behind the command: plugbay list --url"),
        (("enable", "serch/demo"), "Did you mean search/demo?"),
        (("list", "--jsn"), "Did you mean '--json'?"),
    ],
)
async def test_wrong_usage_says_what_was_probably_meant(
    run: Run, command: tuple[str, ...], says: str
) -> None:
    result = await run(*command)
    assert result.exit_code == 2
    assert says in result.stderr


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("greting", "No field is named greting; its value is kept all the same. Did you mean greeting?"),
        ("odd", "its value is kept all the same. plugbay config get search/demo shows the fields"),
    ],
)
async def test_a_key_that_no_field_has(server: FakeServer, run: Run, key: str, says: str) -> None:
    server.plugins["search/demo"] = plugin(
        "search", "demo", config_schema=[{"name": "greeting", "type": "text", "default": "hi"}]
    )
    server.warnings = [key]
    result = await run("config", "set", "search/demo", f"{key}=1")
    assert result.exit_code == 0
    assert says in " ".join(result.stderr.split())
