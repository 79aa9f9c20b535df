"""What the command line says: remedies that can be typed, and all of it in the reader's language."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

from service.api.problems import KINDS
from service.cli.main import _COMMANDS
from service.cli.remedies import remedy_of, words_of
from tests.unit.cli.conftest import FakeServer, Run

ROOT = Path(__file__).parents[3]
COMMANDS = [
    *([name] for name in _COMMANDS),
    *(["config", name] for name in ("get", "set", "export", "import")),
    *(["env", name] for name in ("list", "prune")),
    *(["token", name] for name in ("rotate", "show")),
    *(["tasks", name] for name in ("show", "cancel", "pause", "resume", "retry")),
    [],
]
HTTP = re.compile(r"\b(GET|POST|PUT) |Authorization|Bearer|plugin_type|replace: true|/api/")


# Runs many commands in one process: each is what `plugbay` would do with these arguments, with `{` on stdin.
RUNNER = """
import json, sys
from click.testing import CliRunner
from service.cli.main import plugbay

runner = CliRunner()
for arguments in json.load(sys.stdin):
    result = runner.invoke(plugbay, arguments, prog_name="plugbay", input="{", catch_exceptions=False)
    print(json.dumps([result.exit_code, result.output]))
"""


def plugbay(commands: list[list[str]], language: str) -> list[tuple[int, str]]:
    """The status of each command and all that it prints, in a process of their own: a language is chosen once."""
    ran = subprocess.run(
        [sys.executable, "-c", RUNNER],
        env={**os.environ, "PLUGBAY_LANG": language, "COLUMNS": "80", "PYTHONPATH": str(ROOT)},
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert ran.returncode == 0, ran.stderr
    results: list[tuple[int, str]] = [
        (status, text) for status, text in map(json.loads, ran.stdout.splitlines())
    ]
    assert len(results) == len(commands)
    return results


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_help_fits_80_columns_and_is_of_one_language(language: str) -> None:
    helps = [[*command, "--help"] for command in COMMANDS]
    for command, (status, text) in zip(helps, plugbay(helps, language), strict=True):
        assert status == 0, command
        assert max(cell_len(line) for line in text.splitlines()) <= 80, text
        assert bool(re.search(r"[\u4e00-\u9fff]", text.replace("中文", ""))) == (language == "zh"), text
        if language == "zh":
            assert not re.search(r"Usage|Options:|Commands:|Show this|env var|default:|required", text), text
        else:
            assert text.replace("中文", "").replace("…", "").isascii(), text


# What is typed, and what the answer has to say of it.
WRONG_USAGE = [
    (["bogus"], "没有命令 bogus"),
    (["list", "--bogus"], "没有选项 --bogus"),
    (["list", "more"], "多余的参数：more"),
    (["list", "--url"], "需要一个值"),
    (["install"], "缺少参数"),
    (["install", "/nowhere.py"], "既不是文件"),
    (["install", "https://example.org/x_plugin.py"], "请加上 --type"),
    (["install", "/nowhere.py", "--type", "film"], "film 不是"),
    (["enable", "demo"], "类型/名称"),
    (["serve", "--port", "99999"], "不在范围"),
    (["config", "import", "/nowhere.json"], "无法读取 /nowhere.json"),
    (["config", "import", "-"], "不是有效的 JSON"),
    (["config", "set", "search/demo"], "KEY=VALUE"),
]


def test_wrong_usage_is_told_in_chinese() -> None:
    answers = plugbay([arguments for arguments, _ in WRONG_USAGE], "zh")
    for (arguments, words), (status, text) in zip(WRONG_USAGE, answers, strict=True):
        assert status == 2, arguments
        assert words in text
        assert not re.search(r"Usage|Error|Invalid|Missing|Try|No such|Got ", text), text


async def test_the_command_itself_has_the_language() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", "bogus"),
        env={**os.environ, "PLUGBAY_LANG": "zh", "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, "没有命令 bogus" in out.decode()) == (2, True)


async def test_an_import_names_what_is_no_entry(run: Run) -> None:
    result = await run("config", "import", "-", input='{"search:demo": 3}')
    assert result.exit_code == 2
    assert "search:demo" in result.stderr


async def test_what_is_no_utf8_is_told(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(b"\xff\xfe{")
    result = await run("config", "import", str(file))
    assert result.exit_code == 2
    assert "not UTF-8" in result.stderr


@pytest.mark.parametrize(
    ("problem", "remedy"),
    [
        ({"code": "plugin_not_found"}, "plugbay list"),
        ({"code": "plugin_exists", "id": "search/demo"}, "--replace"),
        ({"code": "plugin_disabled", "id": "search/demo"}, "plugbay enable search/demo"),
        ({"code": "config_missing", "id": "a/b", "config_missing": ["key"]}, "plugbay config set a/b key=…"),
        ({"code": "config_invalid"}, "plugbay config get"),
        ({"code": "plugin_invalid"}, "--keep"),
        ({"code": "hash_mismatch"}, "--sha256"),
        ({"code": "token_required", "detail": "send Authorization: Bearer TOKEN"}, "--token"),
        ({"code": "token_wrong"}, "PLUGBAY_TOKEN"),
        ({"code": "host_refused"}, "--url"),
        ({"code": "request_invalid", "field": "sha256"}, "--sha256"),
        ({"code": "request_invalid", "field": "plugin_type"}, "--type"),
    ],
)  # fmt: skip
async def test_a_refusal_says_what_to_type(
    server: FakeServer, run: Run, problem: dict[str, object], remedy: str
) -> None:
    server.refusal = 400, {"title": "Refused", "detail": "It is refused"} | problem
    result = await run("list")
    assert result.exit_code == 1
    assert remedy in result.stderr
    assert not HTTP.search(result.stderr)


async def test_json_has_the_refusal_as_it_came(server: FakeServer, run: Run) -> None:
    server.refusal = 409, {"code": "plugin_exists", "detail": "there", "status": 409}
    result = await run("list", "--json")
    assert '"plugin_exists"' in result.stderr
    assert "--replace" not in result.stderr
    nobody = await run("list", "--json", "--url", "http://127.0.0.1:1")
    assert (nobody.exit_code, nobody.stdout) == (1, "")
    assert '"server_unreachable"' in nobody.stderr


def test_every_code_with_a_remedy_is_one_of_the_server() -> None:
    known = [code for code in KINDS if remedy_of({"code": code})]
    assert len(known) >= 10
    assert words_of({"code": "token_required", "detail": "Authorization: Bearer"}) != "Authorization: Bearer"
