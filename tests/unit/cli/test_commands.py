from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import LOAD_ERROR, FakeServer, Run, plugin

PROBLEM = {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "there is none", "code": "x"}


async def test_list_is_a_table_of_eighty_columns_without_colour(server: FakeServer, run: Run) -> None:
    server.plugins["search/broken"] = plugin("search", "broken", state="failed", error=LOAD_ERROR)
    server.plugins["parser/long"] = plugin(
        "parser", "long", description="words " * 40, version="2026.11.22.rc1"
    )
    result = await run("list")
    assert result.exit_code == 0
    assert all(len(line) <= 80 for line in result.stdout.splitlines())
    assert "\x1b" not in result.stdout
    assert "search/demo" in result.stdout
    assert "failed" in result.stdout
    assert "plugins/search/broken_plugin.py:7" in result.stdout
    assert "name 'sudo' is not defined" in " ".join(result.stdout.split())


async def test_list_as_json_is_what_the_server_answered(server: FakeServer, run: Run) -> None:
    result = await run("list", "--json")
    answer = json.loads(result.stdout)
    assert [one["id"] for one in answer["search"]] == ["search/demo"]
    assert answer["epoch"] == "k1"


async def test_an_empty_list_says_what_to_do(server: FakeServer, run: Run) -> None:
    server.plugins.clear()
    assert "plugbay install" in (await run("list")).stdout


async def test_text_of_a_plugin_is_not_taken_for_markup(server: FakeServer, run: Run) -> None:
    server.plugins["search/demo"]["description"] = "[bold]x[/nope]"
    result = await run("list")
    assert "[bold]x[/nope]" in result.stdout


async def test_the_token_and_the_language_are_sent(server: FakeServer, run: Run) -> None:
    await run("list", "--token", "s3cret-s3cret-s3cret")
    await run("list", env={"PLUGBAY_TOKEN": "from-the-environment"})
    assert [one["Authorization"] for one in server.headers] == [
        "Bearer s3cret-s3cret-s3cret",
        "Bearer from-the-environment",
    ]
    assert server.headers[0]["Accept-Language"] == "en"


async def test_install_by_url_sends_only_what_was_asked_for(server: FakeServer, run: Run) -> None:
    result = await run("install", "https://example.org/demo_plugin.py", "--type", "search", "--replace")
    assert result.exit_code == 0
    assert server.requests[-1] == (
        "POST",
        "/api/plugins/install",
        {"url": "https://example.org/demo_plugin.py", "plugin_type": "search", "replace": True},
    )
    assert "installed" in result.stdout
    assert "search/demo" in result.stdout


async def test_install_of_a_file_uploads_it_under_its_name(
    server: FakeServer, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "demo_plugin.py"
    file.write_text("# 你好\n", encoding="utf-8")
    result = await run("install", str(file), "--type", "search", "--keep", "--sha256", "0" * 64)
    assert result.exit_code == 0
    assert server.requests[-1][2] == {
        "plugin_type": "search",
        "keep": "true",
        "sha256": "0" * 64,
        "file": ("demo_plugin.py", "# 你好\n"),
    }


async def test_a_file_tells_its_type_and_a_folder_is_told_where_to_go(
    server: FakeServer, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "page_plugin.py"
    file.write_text("from service.sdk import ParserPlugin\nclass Page(ParserPlugin):\n    pass\n")
    result = await run("install", str(file))
    assert result.exit_code == 0, result.stderr
    [(_, _, body)] = server.requests
    assert body["plugin_type"] == "parser"

    server.requests.clear()
    odd = tmp_path / "odd_plugin.py"
    odd.write_text("x = 1\n")
    for source, said in (
        (odd, "does not tell what type of plugin it is"),
        ("https://example.org/x_plugin.py", "add --type"),
        (tmp_path, "copy the folder into plugins/TYPE/"),
    ):
        refused = await run("install", str(source))
        assert refused.exit_code == 2
        assert said in " ".join(refused.stderr.replace("│", " ").split())
    assert server.requests == []


async def test_a_refused_install_shows_place_and_traceback(server: FakeServer, run: Run) -> None:
    server.refusal = 422, PROBLEM | {"detail": "it does not load", "error": LOAD_ERROR}
    result = await run("install", "https://example.org/broken_plugin.py", "--type", "search")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "Error: it does not load" in result.stderr
    assert "plugins/search/broken_plugin.py:7:3  [import]" in result.stderr
    assert "NameError: name 'sudo' is not defined" in result.stderr


async def test_a_problem_as_json_goes_to_standard_error(server: FakeServer, run: Run) -> None:
    server.refusal = 404, PROBLEM
    result = await run("delete", "search/none", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert json.loads(result.stderr)["code"] == "x"


@pytest.mark.parametrize(
    ("arguments", "request_line"),
    [
        (
            ("delete", "search/demo"),
            ("POST", "/api/plugins/delete", {"plugin_type": "search", "plugin_name": "demo"}),
        ),
        (
            ("delete", "search/demo", "--purge"),
            ("POST", "/api/plugins/delete", {"plugin_type": "search", "plugin_name": "demo", "purge": True}),
        ),
        (("reload",), ("POST", "/api/plugins/reload", None)),
        (
            ("reload", "search/demo"),
            ("POST", "/api/plugins/reload", {"plugin_type": "search", "plugin_name": "demo"}),
        ),
        (("grant", "search/demo", "--all"), ("POST", "/api/plugins/search/demo/grant", {"grant": True})),
        (("grant", "search/demo", "--none"), ("POST", "/api/plugins/search/demo/grant", {"grant": False})),
        (
            ("grant", "search/demo", "--network", "80,443", "--read", "/a", "--read", "/b", "--write", "/c"),
            (
                "POST",
                "/api/plugins/search/demo/grant",
                {"grant": {"network": [80, 443], "read": ["/a", "/b"], "write": ["/c"]}},
            ),
        ),
        (
            ("grant", "search/demo", "--network", "none"),
            ("POST", "/api/plugins/search/demo/grant", {"grant": {"network": False}}),
        ),
        (("enable", "search/demo"), ("POST", "/api/plugins/search/demo/toggle?enabled=true", None)),
        (("disable", "parser/名 字"), ("POST", "/api/plugins/parser/名 字/toggle?enabled=false", None)),
    ],
)
async def test_changes_are_sent_as_the_interface_says(
    server: FakeServer, run: Run, arguments: tuple[str, ...], request_line: tuple[str, str, object]
) -> None:
    result = await run(*arguments)
    assert result.exit_code == 0
    method, path, body = server.requests[-1]
    from urllib.parse import unquote

    assert (method, unquote(path), body) == request_line


async def test_reload_ends_with_one_where_a_plugin_did_not_load(server: FakeServer, run: Run) -> None:
    server.plugins["search/broken"] = plugin("search", "broken", state="failed", error=LOAD_ERROR)
    result = await run("reload")
    assert result.exit_code == 1
    assert "search/broken: name 'sudo' is not defined" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("delete", "demo"),
        ("delete", "other/demo"),
        ("delete", "search/"),
        ("delete",),
        ("install", "https://example.org/x.py"),
        ("install", "https://example.org/x.py", "--type", "other"),
        ("install", "/no/such/file_plugin.py", "--type", "search"),
        ("config", "set", "search/demo"),
        ("config", "set", "search/demo", "=1"),
        ("config", "import", "/no/such/file.json"),
        ("list", "--nonsense"),
        ("nonsense",),
    ],
)
async def test_wrong_usage_ends_with_two_and_asks_nobody(
    server: FakeServer, run: Run, arguments: tuple[str, ...]
) -> None:
    result = await run(*arguments)
    assert result.exit_code == 2
    assert "Usage" in result.stderr
    assert server.requests == []


async def test_every_command_has_help_of_its_own(run: Run) -> None:
    commands = [
        (), ("serve",), ("list",), ("install",), ("delete",), ("reload",), ("enable",), ("disable",), ("events",),
        ("grant",), ("config",), ("config", "get"), ("config", "set"), ("config", "export"), ("config", "import"),
    ]  # fmt: skip
    for command in commands:
        result = await run(*command, "--help")
        assert result.exit_code == 0
        lines = result.stdout.splitlines()
        assert len(lines) > 4 and lines[2].strip(), command
        assert all(len(line) <= 80 for line in lines), command


async def test_config_get_shows_labels_and_hides_nothing_else(server: FakeServer, run: Run) -> None:
    server.plugins["search/demo"]["config_schema"] = [
        {"name": "greeting", "label": "What to say", "type": "text", "required": True},
        {"name": "volume", "label": "How loud", "type": "number"},
    ]
    result = await run("config", "get", "search/demo")
    assert "What to say (required)" in result.stdout
    assert "How loud" in result.stdout
    assert "********" in result.stdout
    assert json.loads((await run("config", "get", "search/demo", "--json")).stdout) == {
        "config": server.config
    }


async def test_config_set_lays_values_over_those_that_are_stored(server: FakeServer, run: Run) -> None:
    server.plugins["search/demo"]["config_schema"] = [
        {"name": "greeting", "type": "text"},
        {"name": "volume", "type": "number"},
        {"name": "loud", "type": "boolean"},
        {"name": "rows", "type": "list"},
    ]
    result = await run(
        "config", "set", "search/demo", "greeting=123", "volume=7", "loud=true", 'rows=[{"a": 1}]'
    )
    assert result.exit_code == 0
    assert server.config == {
        "greeting": "123",
        "secret": "********",
        "volume": 7,
        "loud": True,
        "rows": [{"a": 1}],
    }
    assert "unknown: odd" in result.stderr


async def test_config_set_asks_unseen_for_a_value_that_is_not_given(server: FakeServer, run: Run) -> None:
    result = await run("config", "set", "search/demo", "secret", input="open sesame\n")
    assert result.exit_code == 0
    assert server.config["secret"] == "open sesame"
    assert "open sesame" not in result.output


async def test_config_set_takes_a_file(server: FakeServer, run: Run) -> None:
    await run("config", "set", "search/demo", "--file", "-", input='{"volume": 3}')
    assert server.config == {"greeting": "hi", "secret": "********", "volume": 3}
    wrong = await run("config", "set", "search/demo", "--file", "-", input='{"volume": }')
    assert wrong.exit_code == 2
    assert "line 1" in wrong.stderr


async def test_every_wrong_field_is_named(server: FakeServer, run: Run) -> None:
    server.refusal = (
        422,
        PROBLEM | {"errors": [{"field": "a", "message": "no"}, {"field": "b", "message": "nor"}]},
    )
    result = await run("config", "import", "-", input="{}")
    assert result.exit_code == 1
    assert "a: no" in result.stderr
    assert "b: nor" in result.stderr


async def test_export_to_a_file_is_the_owners_alone_and_import_takes_it_back(
    server: FakeServer, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "config.json"
    file.write_text("what was there")
    file.chmod(0o644)
    assert (await run("config", "export", str(file))).exit_code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads((await run("config", "export")).stdout) == json.loads(file.read_text())
    assert (await run("config", "import", str(file))).exit_code == 0
    assert server.requests[-1][2] == {"config": {"search:demo": {"secret": "open sesame"}}}


async def test_no_server_is_explained(run: Run, unused_tcp_port: int) -> None:
    result = await run("list", "--url", f"http://127.0.0.1:{unused_tcp_port}")
    assert result.exit_code == 1
    assert "connection refused" in result.stderr
    assert "plugbay serve" in result.stderr


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "nonsense", "http://"])
async def test_a_wrong_address_is_explained(run: Run, url: str) -> None:
    result = await run("list", "--url", url)
    assert result.exit_code == 1
    assert "http://127.0.0.1:8000" in result.stderr


async def test_a_server_of_another_kind_is_said(server: FakeServer, run: Run) -> None:
    result = await run("list", "--url", f"{server.url}/elsewhere")
    assert result.exit_code == 1
    assert "is not a Plugbay" in result.stderr


async def test_a_missing_token_says_where_it_is(server: FakeServer, run: Run) -> None:
    server.refusal = 401, PROBLEM | {"detail": "a token is needed"}
    result = await run("list")
    assert "PLUGBAY_TOKEN" in result.stderr
    assert "plugbay token show" in result.stderr


async def test_what_a_plugin_lacks_is_listed_and_shown(server: FakeServer, run: Run) -> None:
    lacking = {"network": [80], "read": ["/srv/\x1b[31mfilms"]}
    server.plugins["search/demo"]["permissions"] = {
        "asked": lacking,
        "granted": {"network": False},
        "lacking": lacking,
    }
    assert "not granted: " in (await run("list")).stdout
    shown = await run("grant", "search/demo")
    assert server.requests[-1][:2] == ("GET", "/api/plugins/search/demo")
    assert shown.stdout.splitlines() == [
        "search/demo",
        "  asks for:    network, ports 80; read /srv/films",
        "  granted:     no network",
        "  not granted: network, ports 80; read /srv/films",
    ]


@pytest.mark.parametrize(
    "options", [("--all", "--none"), ("--all", "--read", "/a"), ("--network", "ssh"), ("--network", "0")]
)
async def test_a_grant_is_one_thing(server: FakeServer, run: Run, options: tuple[str, ...]) -> None:
    assert (await run("grant", "search/demo", *options)).exit_code == 2
    assert server.requests == []
