"""Plans, checks, source, revisions, updates, changes and dependencies in the terminal."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from aiohttp.test_utils import TestServer
from rich.cells import cell_len

from service.api.token import ensure_token
from service.cli.progress import stage_text
from tests.unit.cli.conftest import Run
from tests.unit.cli.test_words import ROOT
from tests.unit.cli.version_server import NEW, OLD, PLAN, UNRESOLVED, URL, VersionServer, change, revision

DEMO = "search/demo"


@pytest.fixture
async def server() -> AsyncIterator[VersionServer]:
    fake = VersionServer()
    async with TestServer(fake.app()) as running:
        fake.url = str(running.make_url("")).rstrip("/")
        yield fake


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "demo_plugin.py"
    file.write_text("from service.sdk import SearchPlugin\n\nclass Demo(SearchPlugin): ...\n")
    return file


def posted(server: VersionServer) -> list[tuple[str, Any]]:
    return [(unquote(path), body) for method, path, body in server.requests if method != "GET"]


def fits(text: str) -> bool:
    return all(cell_len(line) <= 80 for line in text.splitlines())


def outdated(id: str, state: str, **more: Any) -> dict[str, Any]:
    known: dict[str, Any] = {"id": id, "version": "1.0", "latest_version": None, "url": URL, "state": state}
    return known | {"sha256": NEW if state in ("outdated", "modified") else None, "problem": None} | more


# Plans and checks


@pytest.mark.parametrize("option", ["--plan", "--dry-run"])
async def test_a_plan_is_understood_at_a_glance(server: VersionServer, run: Run, option: str) -> None:
    result = await run("install", URL, "--type", "search", option)
    assert result.exit_code == 0
    assert posted(server)[-1][1]["dry_run"] is True
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "search/demo 1.1 → plugins/search/demo_plugin.py"
    assert "+ httpx 0.28.1 71.8 KiB" in lines
    assert "+ anyio 4.11.0 106.5 KiB" in lines
    assert "3 packages ≥ 178.3 KiB" in lines
    assert any(line.startswith("= there already: msgspec>=0.18 (0.19.0)") for line in lines)
    assert any("replaces search/demo" in line for line in lines)
    assert any("asks for: network, ports 443; read /srv/media" in line for line in lines)
    assert any("provides: search, get_video_info" in line for line in lines)
    assert any("settings: api_key (required), limit" in line for line in lines)
    assert any("now: upload" in line for line in lines)
    assert lines[-1] == "Nothing was changed"


async def test_a_plan_that_fails_gives_the_reason_indented_and_ends_with_one(
    server: VersionServer, run: Run
) -> None:
    server.plan = PLAN | {"error": UNRESOLVED, "dependencies": {"add": [], "satisfied": []}}
    result = await run("install", URL, "--type", "search", "--plan")
    assert result.exit_code == 1
    assert "✗ The dependencies contradict each other: six" in result.stdout
    assert "  Because you require six==1.16.0 and six==1.17.0," in result.stdout
    assert fits(result.stdout)


async def test_a_name_that_is_taken_is_told(server: VersionServer, run: Run) -> None:
    server.plan = PLAN | {"conflicts": [{"id": DEMO, "file": "plugins/search/demo_plugin.py"}]}
    result = await run("install", URL, "--type", "search", "--plan")
    assert result.exit_code == 0
    assert "search/demo is already there (plugins/search/demo_plugin.py)" in " ".join(result.stdout.split())
    assert "replaces" not in result.stdout


# Source and revisions


async def test_source_is_printed_byte_for_byte_and_put_back(
    server: VersionServer, run: Run, tmp_path: Path
) -> None:
    result = await run("source", DEMO)
    assert result.stdout_bytes == server.content
    told = json.loads((await run("source", DEMO, "--json", "--path", "part.py")).stdout)
    assert server.requests[-1][1].endswith("/source?path=part.py")
    file = tmp_path / "edited.py"
    file.write_bytes(b"x = 2\r\n")
    wrong = await run("source", DEMO, "--put", str(file), "--over", "0" * 64)
    assert (wrong.exit_code, server.content) == (1, result.stdout_bytes)
    assert "plugbay source" in wrong.stderr
    put = await run("source", DEMO, "--put", str(file), "--over", told["sha256"])
    assert (put.exit_code, server.content) == (0, b"x = 2\r\n")
    assert put.stdout.startswith("search/demo 1.0.0  active")
    await run("source", DEMO, "--put", "-", input=b"x = 3\n")
    assert server.content == b"x = 3\n"


async def test_source_that_does_not_load_says_that_nothing_was_changed(
    server: VersionServer, run: Run, file: Path
) -> None:
    server.refusal = 422, {"code": "plugin_invalid", "detail": "It does not load", "error": UNRESOLVED}
    result = await run("source", DEMO, "--put", str(file))
    assert result.exit_code == 1
    assert "what served before serves on" in result.stderr
    assert "Because you require" in result.stderr


async def test_source_of_a_revision(server: VersionServer, run: Run) -> None:
    server.plugins[DEMO]["file"] = "plugins/search/demo_plugin"
    assert (await run("source", DEMO, "--revision", NEW[:8])).stdout == f"# {NEW[:8]}\n"
    assert (await run("source", DEMO, "--revision", NEW[:8], "--path", "part.py")).stdout == "# a part\n"
    missing = await run("source", DEMO, "--revision", NEW[:8], "--path", "none.py")
    assert missing.exit_code == 1
    assert "demo_plugin/part.py" in missing.stderr.replace("\n", "")


async def test_revisions_are_a_table_with_the_current_one_marked(server: VersionServer, run: Run) -> None:
    result = await run("revisions", DEMO)
    assert result.exit_code == 0
    rows = result.stdout.splitlines()
    assert fits(result.stdout)
    assert [row for row in rows if "●" in row] == [row for row in rows if NEW[:12] in row]
    assert "put there by hand" in result.stdout
    assert json.loads((await run("revisions", DEMO, "--json")).stdout) == {"revisions": server.revisions}
    server.revisions = []
    assert "No revision" in (await run("revisions", DEMO)).stdout


@pytest.mark.parametrize(
    ("state", "listed", "expected"),
    [
        ("active", [revision(NEW, "1.1", current=True), revision(OLD, "1.0")], OLD),
        ("active", [revision(OLD, "1.0"), revision(NEW, "1.1", current=True)], OLD),
        ("degraded", [revision(NEW, "1.1"), revision(OLD, "1.0")], NEW),
        ("failed", [revision(NEW, "1.1", current=True), revision(OLD, "1.0")], NEW),
    ],
)
async def test_without_a_revision_it_goes_back_to_the_one_before(
    server: VersionServer, run: Run, state: str, listed: list[dict[str, Any]], expected: str
) -> None:
    server.plugins[DEMO]["state"], server.revisions = state, listed
    result = await run("rollback", DEMO)
    assert result.exit_code == 0
    assert posted(server) == [("/api/plugins/search/demo/rollback", {"revision": expected})]
    assert f"revision {expected[:12]}" in result.stdout
    await run("diff", DEMO)
    assert server.requests[-1][1] == f"/api/plugins/search/demo/diff?from={expected}"


async def test_where_there_is_none_before_that_is_told(server: VersionServer, run: Run) -> None:
    server.revisions = [revision(NEW, "1.1", current=True)]
    result = await run("rollback", DEMO)
    assert result.exit_code == 1
    assert "no earlier revision" in result.stderr
    assert posted(server) == []


async def test_a_difference_is_printed_as_it_is(server: VersionServer, run: Run) -> None:
    result = await run("diff", DEMO, OLD[:8], NEW[:8])
    assert server.requests[-1][1] == f"/api/plugins/search/demo/diff?from={OLD[:8]}&to={NEW[:8]}"
    assert result.stdout == "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-x = 1\n+x = [bold]2\n"
    same = await run("diff", DEMO, OLD, OLD)
    assert (same.exit_code, same.stdout) == (0, "")
    assert "no difference" in same.stderr


# Updates


async def test_outdated_shows_what_can_be_updated(server: VersionServer, run: Run) -> None:
    assert "No plugin" in (await run("outdated")).stdout
    server.outdated = [
        outdated(DEMO, "outdated", latest_version="1.1"),
        outdated("parser/edited", "modified"),
        outdated("download/lost", "unreachable", problem="example.org does not answer"),
    ]
    result = await run("outdated")
    assert result.exit_code == 0
    assert fits(result.stdout)
    assert "plugbay update --all" in result.stdout
    assert "download/lost: example.org does not answer" in result.stdout
    assert "edited here" in result.stdout
    assert json.loads((await run("outdated", "--json")).stdout)["plugins"] == server.outdated


async def test_one_is_updated_in_a_line(server: VersionServer, run: Run) -> None:
    first = await run("update", DEMO)
    assert (first.exit_code, first.stdout) == (0, "search/demo  1.0.0 → 1.1\n")
    assert (await run("update", DEMO)).stdout == "search/demo  current (1.1)\n"
    assert posted(server)[0] == ("/api/plugins/search/demo/update", {})
    planned = await run("update", DEMO, "--plan", "--replace")
    assert "Nothing was changed" in planned.stdout
    assert posted(server)[-1][1] == {"dry_run": True, "replace": True}


async def test_all_are_updated_in_a_line_each(server: VersionServer, run: Run) -> None:
    server.outdated = [
        outdated(DEMO, "outdated"),
        outdated("download/http", "outdated"),
        outdated("search/new", "current"),
        outdated("parser/edited", "modified"),
        outdated("parser/kept", "modified", sha256=None),
        outdated("parser/lost", "unreachable", problem="no answer"),
    ]
    server.refusals["download/http"] = (
        422,
        {
            "code": "plugin_invalid",
            "detail": "It does not load",
            "error": UNRESOLVED,
        },
    )
    result = await run("update", "--all")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert "search/demo  1.0.0 → 1.1" in lines
    assert "download/http  It does not load" in lines
    assert any(line.startswith("parser/edited  edited here") for line in lines)
    assert "parser/lost  no answer" in lines
    assert not any(name in result.stdout for name in ("search/new", "parser/kept"))
    assert [path for path, _ in posted(server)] == [
        f"/api/plugins/{id}/update" for id in (DEMO, "download/http")
    ]
    told = json.loads((await run("update", DEMO, "download/http", "--json")).stdout)["results"]
    assert [(one["id"], one["status"]) for one in told] == [(DEMO, "current"), ("download/http", "refused")]
    server.outdated = []
    assert "nothing to update" in (await run("update", "--all")).stdout


ELSEWHERE = {
    "code": "origin_changed",
    "detail": "It is served by evil.example now",
    "recorded": "good.example",
    "offered": "evil.example",
}


async def test_another_origin_is_refused_where_nobody_can_be_asked(server: VersionServer, run: Run) -> None:
    server.refusals[DEMO] = 409, ELSEWHERE
    result = await run("update", DEMO, input="y\n")
    assert result.exit_code == 1
    assert "--accept-origin" in result.stderr
    assert len(posted(server)) == 1
    accepted = await run("update", DEMO, "--accept-origin")
    assert accepted.exit_code == 0
    assert posted(server)[-1][1] == {"accept_origin": True}


@pytest.mark.parametrize(("answer", "status", "asked"), [("y", 0, 2), ("n", 1, 1), ("", 1, 1)])
async def test_another_origin_is_asked_about_in_a_terminal(
    server: VersionServer, answer: str, status: int, asked: int
) -> None:
    server.refusals[DEMO] = 409, ELSEWHERE
    ended, screen = await in_terminal(server, ["update", DEMO], {"Accept the new origin?": f"{answer}\n"})
    assert ended == status, screen
    assert "good.example" in screen and "evil.example" in screen
    assert len(posted(server)) == asked


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("locally_modified", "--replace"),
        ("no_origin", "plugbay install"),
        ("revision_not_found", "plugbay revisions"),
        ("change_superseded", "plugbay history"),
        ("registry_unreachable", "UV_DEFAULT_INDEX"),
        ("dependencies_timeout", "dependencies.timeout_s"),
    ],
)
async def test_a_refusal_says_what_to_do(server: VersionServer, run: Run, code: str, remedy: str) -> None:
    server.refusals[DEMO] = 409, {"code": code, "detail": "No"}
    result = await run("update", DEMO)
    assert result.exit_code == 1
    assert remedy in " ".join(result.stderr.split())


# Changes


async def test_history_is_a_table(server: VersionServer, run: Run) -> None:
    result = await run("history")
    assert result.exit_code == 0
    assert fits(result.stdout)
    assert "undone by f00dfee" in " ".join(result.stdout.split())
    assert "abcdef0 " in result.stdout, "ids are as long as it takes to tell them apart"
    assert "cannot be undone" in " ".join(result.stdout.split())
    await run("history", DEMO, "--limit", "3")
    assert unquote(server.requests[-1][1]) == "/api/changes?limit=3&plugin=search/demo"
    assert (await run("history", "--limit", "0")).exit_code == 2
    server.changes = []
    assert "Nothing" in (await run("history")).stdout


async def test_undo_takes_the_newest_that_still_counts(server: VersionServer, run: Run) -> None:
    result = await run("undo")
    assert result.exit_code == 0
    assert posted(server) == [("/api/changes/abcdef003/undo", None)]
    assert "Undone: parser/a_plugin_with_a_long_name delete of 1.1" in " ".join(result.stdout.split())
    assert "search/demo 1.0.0  active" in result.stdout


async def test_undo_takes_the_beginning_of_an_id(server: VersionServer, run: Run) -> None:
    assert (await run("undo", "f00df")).exit_code == 0
    several = await run("undo", "abcdef")
    assert several.exit_code == 1
    assert "abcdef003, abcdef104" in several.stderr
    await run("undo", "unknown")
    assert [path for path, _ in posted(server)] == [
        "/api/changes/f00dfeed1/undo",
        "/api/changes/unknown/undo",
    ]
    server.changes = []
    assert "nothing to undo" in (await run("undo")).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("source", DEMO, "--put", "/no/such/file.py"),
        ("source", DEMO, "--put", "-", "--revision", NEW),
        ("source", DEMO, "--over", NEW),
        ("rollback",),
        ("update",),
        ("update", DEMO, "--all"),
        ("update", "demo"),
        ("env", "nonsense"),
    ],
)
async def test_wrong_usage_asks_nobody(server: VersionServer, run: Run, arguments: tuple[str, ...]) -> None:
    result = await run(*arguments)
    assert result.exit_code == 2
    assert server.requests == []


# The token


async def test_a_new_token_is_told_with_where_to_sign_in(server: VersionServer, run: Run) -> None:
    result = await run("token", "rotate")
    assert result.exit_code == 0
    assert fits(result.stdout)
    assert f"{server.url}/?token=n3w-t0ken" in result.stdout
    assert json.loads((await run("token", "rotate", "--json")).stdout)["token"] == "n3w-t0ken"


async def test_the_token_is_read_where_the_server_reads_it(run: Run, tmp_path: Path) -> None:
    shown = await run("token", "show", "--home", str(tmp_path))
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert "has no token" in shown.stderr
    kept = await asyncio.to_thread(ensure_token, tmp_path)
    assert (await run("token", "show", "--home", str(tmp_path))).stdout == f"{kept}\n"
    (tmp_path / "data" / "token").write_text("short")
    assert "fewer than 16" in (await run("token", "show", "--home", str(tmp_path))).stderr
    await asyncio.to_thread((tmp_path / "config").mkdir)
    (tmp_path / "config" / "service.toml").write_text('[server]\ntoken = "of-the-settings-1"\n')
    assert (await run("token", "show", "--home", str(tmp_path))).stdout == "of-the-settings-1\n"


# Sets of packages


async def test_sets_are_a_table_with_their_users(server: VersionServer, run: Run) -> None:
    result = await run("env", "list")
    assert result.exit_code == 0
    assert fits(result.stdout)
    for words in ("eeeeeeeeeeee", "httpx==0.28.1", "3.3 MiB", "search/demo", "nobody", "plugbay env prune"):
        assert words in result.stdout
    pruned = await run("env", "prune")
    assert "1 set removed, 1.0 KiB freed" in pruned.stdout
    assert "dddddddddddd" in pruned.stdout
    server.environments = []
    assert "None is installed" in (await run("env", "list")).stdout


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize("command", ["revisions search/demo", "outdated", "history", "env list"])
async def test_tables_fit(server: VersionServer, run: Run, command: str, width: int) -> None:
    server.outdated = [outdated("parser/a_name", "outdated", latest_version="2026.11.22.post1+local.build")]
    server.changes = [change("f00dfeed1", "config", undone_by="f00dbeef2")]
    result = await run(*command.split(), env={"COLUMNS": str(width)})
    assert max(cell_len(line) for line in result.stdout.splitlines()) <= width, result.stdout


# Waiting


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"stage": "load"}, "load and check"),
        ({"stage": "dependencies"}, "dependencies"),
        (
            {"stage": "dependencies", "progress": {"step": "resolve", "packages": []}},
            "resolving dependencies",
        ),
        (
            {
                "stage": "dependencies",
                "progress": {"step": "download", "packages": ["a", "b", "c", "d"], "done": 1, "total": 4},
            },
            "downloading dependencies 1/4: a, b, c and more",
        ),
    ],
)
def test_a_stage_in_words(data: dict[str, Any], text: str) -> None:
    assert stage_text(data) == text


async def test_a_terminal_is_told_how_far_it_is(server: VersionServer, file: Path) -> None:
    server.gate = asyncio.Event()

    async def tell() -> None:
        await server.subscriptions.get()
        progress = {"step": "download", "packages": ["pandas"], "done": 2, "total": 5}
        await server.publish(
            "installing", "plugins/search/demo", {"stage": "dependencies", "url": None, "progress": progress}
        )

    telling = asyncio.create_task(tell())
    arguments = ["install", str(file), "--type", "search"]
    status, screen = await in_terminal(
        server, arguments, {"downloading dependencies 2/5: pandas": server.gate.set}
    )
    await telling
    assert status == 0, screen
    assert "installed" in screen


async def in_terminal(
    server: VersionServer, arguments: Iterable[str], replies: dict[str, Any]
) -> tuple[int, str]:
    """Runs the command in a terminal; where the words of a reply are on the screen, it is typed, or called."""
    ours, theirs = pty.openpty()
    environment = {
        **os.environ, "PLUGBAY_LANG": "en", "PLUGBAY_URL": server.url, "COLUMNS": "100", "TERM": "xterm",
        "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", *arguments),
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.set_blocking(ours, False)
    screen, due = "", dict(replies)
    readable = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(ours, readable.set)
    ended = asyncio.create_task(process.wait())
    try:
        async with asyncio.timeout(30):
            while True:
                waiting = asyncio.create_task(readable.wait())
                await asyncio.wait({waiting, ended}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                readable.clear()
                try:
                    screen += os.read(ours, 65536).decode("utf-8", "replace")
                except BlockingIOError:
                    pass
                except OSError:  # the other end is closed, and all of it is read
                    break
                for words in [words for words in due if words in screen]:
                    reply = due.pop(words)
                    if callable(reply):
                        reply()
                    else:
                        os.write(ours, reply.encode())
                if ended.done() and not _has_more(ours):
                    break
        return await ended, screen
    finally:
        loop.remove_reader(ours)
        os.close(ours)
        if process.returncode is None:
            process.kill()
            await process.wait()


def _has_more(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])
