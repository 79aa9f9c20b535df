"""What the command line says: remedies that can be typed, and all of it in the reader's language."""

from __future__ import annotations

import asyncio
import os
import re
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
    [],
]
HTTP = re.compile(r"\b(GET|POST|PUT) |Authorization|Bearer|plugin_type|replace: true|/api/")


async def plugbay(*arguments: str, language: str, stdin: bytes = b"") -> tuple[int, str]:
    """Runs the command as a process, since a language is chosen once; its status and all that it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", *arguments),
        env={**os.environ, "PLUGBAY_LANG": language, "COLUMNS": "80", "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(stdin), 30)
    return process.returncode or 0, out.decode()


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_every_help_fits_80_columns_and_is_of_one_language(language: str) -> None:
    gate = asyncio.Semaphore(2)

    async def help_of(command: list[str]) -> tuple[int, str]:
        async with gate:
            return await plugbay(*command, "--help", language=language)

    for command, (status, text) in zip(COMMANDS, await asyncio.gather(*map(help_of, COMMANDS)), strict=True):
        assert status == 0, command
        assert max(cell_len(line) for line in text.splitlines()) <= 80, text
        if language == "zh":
            assert not re.search(r"Usage|Options:|Commands:|Show this|env var|default:|required", text), text
        else:
            assert text.replace("中文", "").replace("…", "").isascii(), text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bogus"], "没有命令 bogus"),
        (["list", "--bogus"], "没有选项 --bogus"),
        (["list", "more"], "多余的参数：more"),
        (["list", "--url"], "需要一个值"),
        (["install"], "缺少参数"),
        (["install", "/nowhere.py"], "缺少选项"),
        (["install", "/nowhere.py", "--type", "film"], "film 不是"),
        (["enable", "demo"], "类型/名称"),
        (["serve", "--port", "99999"], "不在范围"),
        (["config", "import", "/nowhere.json"], "无法读取 /nowhere.json"),
        (["config", "import", "-"], "不是有效的 JSON"),
        (["config", "set", "search/demo"], "KEY=VALUE"),
    ],
)
async def test_wrong_usage_is_told_in_chinese(arguments: list[str], words: str) -> None:
    status, text = await plugbay(*arguments, language="zh", stdin=b"{")
    assert status == 2
    assert words in text
    assert not re.search(r"Usage|Error|Invalid|Missing|Try|No such|Got ", text), text


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
