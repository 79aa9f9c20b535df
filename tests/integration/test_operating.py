"""What an operator is told: the metrics, one request followed through all logs, the document. One server for all."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from typing import Any, get_args
from urllib.request import urlopen

import aiohttp
import pytest
import pytest_asyncio
import yaml
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from service import __version__
from service.api.metrics.families import FAMILIES
from service.api.problems import KINDS
from service.model.events import PluginChange
from service.model.task_events import TaskChange
from service.settings import describe_settings
from tests.integration.guide import ADDRESS, ROOT, Reader, steps_of
from tests.integration.live import Live, live_server, save, search_plugin, write
from tests.integration.process_tree import template_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNTIL_S = 20.0
DOCUMENTS = ("operations.md", "operations.zh.md")
# Of limits and of logs.
HEADS = {"operations.md": ("Limits", "Logs"), "operations.zh.md": ("各项上限", "日志")}
FUNCTIONS = {"by", "changes", "histogram_quantile", "increase", "rate", "sum"}
SECRET = "sixteen-or-more-characters"

DEMO = """\
import asyncio, os, sys
from service.sdk import SearchPlugin, SearchResult


class Demo(SearchPlugin):
    name = "demo"
    version = "1"
    description = "says what it does"

    async def search(self, keyword, **kwargs):
        if keyword == "raise":
            raise ValueError("as asked")
        if keyword == "exit":
            os._exit(3)
        self.log.warning("logged %s\\ntwo lines", keyword)
        print("printed", keyword)
        print("<;forged id>", "<;x" * 3, sep="\\n")
        await asyncio.gather(self.part(keyword), asyncio.to_thread(print, "in a thread"))
        return [SearchResult(title=keyword, url="http://example.org/")]

    async def part(self, keyword):
        sys.stderr.write("half a ")
        sys.stderr.write("line\\n")

    async def start(self):
        print("started")
"""

FETCHER = """\
from service.sdk import DownloadPlugin


class Fetcher(DownloadPlugin):
    name = "fetcher"
    version = "1"
    description = "reports and is done"
    supported_protocols = ["made-up"]

    async def download(self, task):
        print("fetching")
        await task.report(progress=50.0, downloaded=1500, total=3000)
        await task.report(progress=100.0, downloaded=3000, total=3000)
        return True
"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    """A server that logs everything, with a plugin that talks, one that fetches, and one that does not load."""
    home = tmp_path_factory.mktemp("operator") / "plugbay"
    write(home / "plugins/search/demo_plugin.py", DEMO)
    write(home / "plugins/download/fetcher_plugin.py", FETCHER)
    write(home / "plugins/search/broken_plugin.py", "import nothing_of_that_name\n")
    async with live_server(
        home, PLUGBAY_LOGS__LEVEL="debug", PLUGBAY_LIMITS__CRASH_BACKOFF_MIN_S="0.01"
    ) as live:
        yield live


async def metrics(live: Live) -> dict[str, Metric]:
    """All families, by the name that they are documented by."""
    answer = await live.get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    found = {}
    for family in read_text(answer.body):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert name not in found, "once"
        found[name] = family
    return found


def value(found: dict[str, Metric], name: str, **labels: str) -> float:
    """One number; a histogram's is named by its `_count`."""
    family = found.get(name) or found[name.rpartition("_")[0]]
    values = [one.value for one in family.samples if one.name == name and one.labels == labels]
    assert len(values) == 1, (name, labels, [one.labels for one in family.samples][:8])
    return values[0]


async def settled(live: Live, name: str, wanted: float, **labels: str) -> dict[str, Metric]:
    """Read until a number is as wanted."""
    async with asyncio.timeout(UNTIL_S):
        while True:
            found = await metrics(live)
            try:
                if value(found, name, **labels) == wanted:
                    return found
            except (AssertionError, KeyError):
                pass
            await asyncio.sleep(0.05)


async def logged(live: Live, id: str, event: str) -> dict[str, Any]:
    """Wait for a line of the server's log about a request."""
    async with asyncio.timeout(UNTIL_S):
        while True:
            for line in lines_of(live):
                if (line.get("request_id"), line["event"]) == (id, event):
                    return line
            await asyncio.sleep(0.02)


def lines_of(live: Live) -> list[dict[str, Any]]:
    """The server's log so far."""
    whole = live.server.printed.rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]


async def plugin_lines(live: Live, id: str, message: str) -> list[dict[str, Any]]:
    """A plugin's log, once it has a message."""
    async with asyncio.timeout(UNTIL_S):
        while True:
            lines: list[dict[str, Any]] = (await live.get(f"/api/plugins/{id}/logs")).body["lines"]
            if any(line["message"] == message for line in lines):
                return lines
            await asyncio.sleep(0.02)


async def test_every_metric_is_there_and_right(live: Live) -> None:
    before = await metrics(live)
    for keyword in ("a", "b", "raise"):
        await live.search("demo", keyword)
    await live.get("/api/search/none-of-that-name?keyword=x")
    task = (await live.post("/api/download", {"url": "made-up://x", "title": "x"})).body["task"]
    await live.subscribe("tasks/**", "logs/**")
    # A save that loads, and one that does not.
    save(live.plugins / "search/demo_plugin.py", DEMO.replace('version = "1"', 'version = "2"'))
    await live.event("reloaded", "search/demo")
    save(live.plugins / "search/broken_plugin.py", "import nothing_of_that_name_either\n")
    count = len(live.events)
    await live.event("failed", "search/broken", after=count)
    await live.post("/api/plugins/reload", {"plugin_type": "search", "plugin_name": "demo"})
    # A crash, and the start that follows it.
    count = len(live.events)
    assert (await live.search("demo", "exit")).body["code"] == "plugin_crashed"
    await live.event("loaded", "search/demo", after=count)
    # An install that comes to nothing.
    refused = await live.post(
        "/api/plugins/install", {"url": "http://127.0.0.1:9/x.py", "plugin_type": "search"}
    )
    assert refused.status == 502
    # A change by request.
    await live.request("PUT", "/api/plugins/search/demo/config", json={"anything": "x"})
    # Two more clients: one that resumes, one that asks for what is long gone.
    epoch = (await live.get("/api/plugins")).body["epoch"]
    async with aiohttp.ClientSession() as http:
        for position in (f"{epoch}:0", "other:5"):
            source = await http.get(f"{live.server.url}/api/events", headers={"Last-Event-ID": position})
            await source.content.readany()
        found = await settled(live, "plugbay_live_clients", 2, transport="sse")
        assert value(found, "plugbay_clients") == 3
    found = await settled(live, "plugbay_tasks_ended_total", 1, kind="download", status="completed")
    assert task["kind"] == "download"
    found = await settled(live, "plugbay_live_clients", 0, transport="sse")

    # Every family has its kind and its labels.
    for family in FAMILIES:
        one = found[family.name]
        assert (one.type, one.documentation) == (family.kind, family.help), family
        for sample in one.samples:
            assert set(sample.labels) - {"le"} == set(family.labels), sample
            assert math.isfinite(sample.value) and sample.value >= 0, sample
    assert {name for name in found if name.startswith("plugbay_")} == {one.name for one in FAMILIES}
    filled = {one.name for one in FAMILIES if found[one.name].samples}
    assert {one.name for one in FAMILIES} - filled <= {"plugbay_tasks"}, "no task is under way any more"

    demo, search = {"plugin": "search/demo"}, "/api/search/{plugin}"
    expected: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}

    def expect(name: str, number: float, **labels: str) -> None:
        expected[name, tuple(labels.items())] = number

    expect("plugbay_http_requests_total", 2, route=search, method="GET", status="200")
    expect("plugbay_http_requests_total", 1, route=search, method="GET", status="404")
    expect("plugbay_http_request_seconds_count", 5, route=search)
    expect("plugbay_http_requests_running", 2)  # this one, and the WebSocket
    expect("plugbay_plugin_calls_total", 2, **demo, method="search", outcome="ok")
    expect("plugbay_plugin_calls_total", 1, **demo, method="search", outcome="plugin_error")
    expect("plugbay_plugin_calls_total", 1, plugin="download/fetcher", method="download", outcome="ok")
    expect("plugbay_plugin_errors_total", 2, **demo)
    expect("plugbay_plugin_call_errors_total", 1, **demo, code="plugin_error")
    expect("plugbay_plugin_call_errors_total", 1, **demo, code="plugin_crashed")
    expect("plugbay_plugin_call_seconds_count", 4, **demo)
    expect("plugbay_plugin_running_calls", 0, **demo)
    expect("plugbay_plugins", 1, type="search", state="active")
    expect("plugbay_plugins", 1, type="search", state="failed")
    expect("plugbay_plugin_state", 1, plugin="search/broken", state="failed")
    expect("plugbay_plugin_generations_total", 5, **demo)
    expect("plugbay_plugin_crashes_total", 1, **demo)
    expect("plugbay_plugin_restarts_total", 1, **demo)
    expect("plugbay_plugin_crashes_total", 0, plugin="search/broken")
    expect("plugbay_change_seconds_count", 1, cause="file", outcome="succeeded")
    expect("plugbay_change_seconds_count", 1, cause="file", outcome="failed")
    expect("plugbay_change_seconds_count", 1, cause="startup", outcome="failed")
    expect("plugbay_change_seconds_count", 1, cause="crash", outcome="succeeded")
    expect("plugbay_reloads_total", 1, outcome="succeeded")
    expect("plugbay_workers", 2, state="serving")
    expect("plugbay_templates", 1, kind="base")
    expect("plugbay_template_starts_total", 1)
    expect("plugbay_workers_ended_total", 0, reason="memory")
    expect("plugbay_loads", 0, state="running")
    expect("plugbay_loads", 0, state="waiting")
    expect("plugbay_installs", 0, state="running")
    expect("plugbay_installs_failed_total", 1)
    expect("plugbay_changes_total", 1, kind="config")
    expect("plugbay_download_bytes_total", 3000)
    expect("plugbay_events_published_total", 1, type="plugbay.plugin.crashed")
    expect("plugbay_resumes_total", 1, outcome="lost")
    expect("plugbay_live_clients", 1, transport="websocket")
    expect("plugbay_clients_connected_total", 2, transport="sse")
    expect("plugbay_clients_dropped_total", 0, reason="slow_consumer")
    expect("plugbay_ready", 1)
    expect("plugbay_part_ok", 1, part="workers")
    expect("plugbay_worker_processes", 1, **demo)
    expect("plugbay_inotify_overflows_total", 0)
    wrong = {
        (name, labels): (value(found, name, **dict(labels)), number)
        for (name, labels), number in expected.items()
        if value(found, name, **dict(labels)) != number
    }
    assert not wrong
    [build] = found["plugbay_build_info"].samples
    assert (build.labels["version"], build.value) == (__version__, 1)
    head = int((await live.get("/api/server")).body["events"]["seq"])
    assert value(found, "plugbay_event_log_head") <= head
    assert value(found, "plugbay_events_replayed_total") >= 1
    assert value(found, "plugbay_event_log_events") > value(before, "plugbay_event_log_events")
    assert value(found, "plugbay_load_seconds_count", outcome="failed") == 2
    assert value(found, "plugbay_worker_resident_bytes", **demo) > 1 << 20
    assert value(found, "plugbay_worker_open_fds", **demo) >= 4
    assert value(found, "plugbay_inotify_watches") >= 4
    assert value(found, "plugbay_database_bytes") > 4096
    assert value(found, "process_open_fds") > 10
    assert value(found, "process_cpu_seconds_total") > 0

    # Buckets cumulate, and the last is all.
    buckets = [one for one in found["plugbay_plugin_call_seconds"].samples if one.labels.get("le")]
    of_one = [one.value for one in buckets if one.labels["plugin"] == "search/demo"]
    assert of_one == sorted(of_one) and of_one[-1] == 4


async def test_openmetrics_for_who_asks(live: Live) -> None:
    asked = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.3"
    answer = await live.get("/metrics", headers={"Accept": asked})
    assert answer.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    names = {family.name for family in read_openmetrics(answer.body)}
    assert {one.name.removesuffix("_total") for one in FAMILIES} <= names
    for other in (
        "application/openmetrics-text;version=nonsense;q=0",
        "text/plain;version=x",
        "*/*",
        "\xff;",
    ):
        answer = await live.get("/metrics", headers={"Accept": other})
        assert (answer.status, answer.headers["Content-Type"][:10]) == (200, "text/plain"), other


async def test_a_plugin_that_went_leaves_no_series(live: Live) -> None:
    write(live.plugins / "search/passing_plugin.py", search_plugin("passing"))
    await live.event("loaded", "search/passing")
    await live.search("passing")
    found = await metrics(live)
    assert (
        value(found, "plugbay_plugin_calls_total", plugin="search/passing", method="search", outcome="ok")
        == 1
    )
    (live.plugins / "search/passing_plugin.py").unlink()
    await live.event("unloaded", "search/passing")
    assert "search/passing" not in (await live.get("/metrics")).body


async def test_a_request_is_followed_through_every_log(live: Live) -> None:
    told = {"X-Request-ID": "nightly-import.42"}
    answer = await live.get("/api/search/demo?keyword=hello", headers=told)
    assert answer.headers["X-Request-ID"] == "nightly-import.42"
    # In the server's log: the call, and the request.
    call = await logged(live, "nightly-import.42", "plugin.call")
    generation = (await live.plugin("search/demo"))["generation"]
    assert (call["plugin"], call["generation"], call["method"]) == ("search/demo", generation, "search")
    line = await logged(live, "nightly-import.42", "request")
    assert (line["method"], line["path"], line["status"]) == ("GET", "/api/search/demo", 200)
    # In the plugin's own: what was logged, printed, and printed by its tasks and threads.
    lines = await plugin_lines(live, "search/demo", "in a thread")
    marked = {one["message"]: one for one in lines if one.get("request") == "nightly-import.42"}
    assert {"logged hello", "two lines", "printed hello", "half a line", "in a thread"} <= set(marked)
    assert marked["logged hello"]["level"] == marked["two lines"]["level"] == "warning"
    assert {"<;forged id>", "<;x<;x<;x"} <= set(marked), "what a plugin prints is kept as it is"
    assert {one["message"] for one in lines if "request" not in one} >= {"started"}

    # A failure says it in its body too.
    failed = await live.get("/api/search/demo?keyword=raise", headers={"X-Request-ID": "b-1"})
    assert failed.body["request_id"] == failed.headers["X-Request-ID"] == "b-1"
    call = await logged(live, "b-1", "plugin.call")
    assert (call["level"], call["outcome"], call["plugin"]) == ("warning", "plugin_error", "search/demo")


@pytest.mark.parametrize("bad", ["", "with space", "-dash", "x" * 129, 'quo"te', "täxt", "a\tb", "a{b}"])
async def test_an_id_that_is_none_is_not_taken(live: Live, bad: str) -> None:
    answer = await live.get("/api/plugins", headers={"X-Request-ID": bad})
    assert answer.headers["X-Request-ID"] != bad
    assert answer.headers["X-Request-ID"].isascii() and len(answer.headers["X-Request-ID"]) < 30


async def test_what_a_request_began_has_its_id(live: Live) -> None:
    # A task: in what is told of it, in its lines, and in its plugin's.
    begun = await live.post(
        "/api/download", {"url": "made-up://y", "title": "y"}, headers={"X-Request-ID": "task/1"}
    )
    task = begun.body["task"]
    assert task["request_id"] == "task/1"
    done = await logged(live, "task/1", "task.completed")
    assert (done["task"], done["plugin"]) == (task["id"], "fetcher")
    lines = await plugin_lines(live, "download/fetcher", "fetching")
    assert any(one.get("request") == "task/1" for one in lines)
    # A reload.
    which = {"plugin_type": "search", "plugin_name": "demo"}
    await live.post("/api/plugins/reload", which, headers={"X-Request-ID": "reload-1"})
    line = await logged(live, "reload-1", "plugin.reloaded")
    assert (line["plugin"], line["cause"], line["by"]) == ("search/demo", "api", "127.0.0.1")
    # A change, with its own id to undo it by.
    done_change = await live.request(
        "PUT", "/api/plugins/search/demo/config", json={"x": "y"}, headers={"X-Request-ID": "change-1"}
    )
    assert done_change.status == 200
    line = await logged(live, "change-1", "change.recorded")
    assert (line["kind"], line["plugin"]) == ("config", "search/demo")
    assert line["change"] in str((await live.get("/api/changes")).body)
    assert (await logged(live, "change-1", "plugin.configured"))["plugin"] == "search/demo"
    # An install, one that comes to nothing.
    url = {"url": "http://127.0.0.1:9/none_plugin.py", "plugin_type": "search"}
    await live.post("/api/plugins/install", url, headers={"X-Request-ID": "install-1"})
    assert (await logged(live, "install-1", "install.failed"))["plugin"] == "search/none"
    # The crash of a worker that a request had loaded long ago is not that request's.
    count = len(live.events)
    await live.get("/api/search/demo?keyword=exit", headers={"X-Request-ID": "exit-1"})
    await live.event("loaded", "search/demo", after=count)
    assert (await logged(live, "exit-1", "plugin.call"))["outcome"] == "plugin_crashed"
    crashes = [one for one in lines_of(live) if one["event"] == "plugin.crashed"]
    assert crashes and not any("request_id" in one for one in crashes)
    # A save has no request.
    count = len(live.events)
    save(live.plugins / "search/demo_plugin.py", DEMO.replace('version = "1"', 'version = "9"'))
    await live.event("reloaded", "search/demo", after=count)
    reloads: list[dict[str, Any]] = []
    async with asyncio.timeout(UNTIL_S):
        while not reloads or reloads[-1]["cause"] != "file":
            await asyncio.sleep(0.02)
            reloads = [one for one in lines_of(live) if one["event"] == "plugin.reloaded"]
    assert "request_id" not in reloads[-1]


async def test_a_socket_has_one_id_and_each_call_its_own(live: Live) -> None:
    await live.rpc("ping", {})
    calls = [one for one in lines_of(live) if one["event"] == "rpc"]
    async with asyncio.timeout(UNTIL_S):
        while not calls or calls[-1]["method"] != "ping":
            await asyncio.sleep(0.02)
            calls = [one for one in lines_of(live) if one["event"] == "rpc"]
    assert len({one["request_id"] for one in calls}) == 1
    assert len({one["rpc_id"] for one in calls}) == len(calls)


async def test_every_answer_has_an_id_and_no_log_a_secret(live: Live) -> None:
    port = int(live.server.url.rpartition(":")[2])

    def raw(data: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.sendall(data)
            answer = b""
            while part := connection.recv(65536):
                answer += part
            return answer

    host = f"Host: 127.0.0.1:{port}\r\n".encode()
    close = b"Connection: close\r\n"
    for request in (
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n",
        b"GET /nothing-there HTTP/1.1\r\n" + host + close + b"\r\n",
        b"DELETE /api/plugins HTTP/1.1\r\n" + host + close + b"\r\n",
        b"GET /livez HTTP/1.1\r\nHost: elsewhere.example\r\n" + close + b"\r\n",
        b"GET /livez HTTP/1.1\r\n" + host + close + b"Origin: http://evil.example\r\n\r\n",
        b"POST /api/parse HTTP/1.1\r\n" + host + close + b"Content-Length: 1\r\nExpect: 200-ok\r\n\r\nx",
        b"GET /api/ws HTTP/1.1\r\n" + host + close + b"\r\n",
        b"HEAD /livez HTTP/1.1\r\n" + host + close + b"\r\n",
    ):
        head = await asyncio.to_thread(raw, request)
        assert head.lower().count(b"\r\nx-request-id: ") == 1, (request, head)
    await live.get(f"/?token={SECRET}", headers={"Authorization": f"Bearer {SECRET}"})
    url = f"http://user:{SECRET}@127.0.0.1:9/secret_plugin.py?key={SECRET}"
    await live.post("/api/plugins/install", {"url": url, "plugin_type": "search"})
    await live.get("/livez", headers={"X-Request-ID": "the-last-1"})
    await logged(live, "the-last-1", "request")
    assert SECRET not in live.server.printed


# The document


def text_of(document: str) -> str:
    return (ROOT / "docs" / document).read_text(encoding="utf-8")


def known(url: str) -> dict[str, Any]:
    """What a server knows that a backup shall bring back."""

    def get(path: str) -> Any:
        with urlopen(url + path, timeout=10) as response:
            return json.load(response)

    plugins = get("/api/plugins")
    listed = [one for type in ("search", "download") for one in plugins[type]]
    revisions = get("/api/plugins/search/demo/revisions")["revisions"]
    return {
        "plugins": {one["id"]: (one["state"], one["revision"], one["origin"]) for one in listed},
        "revisions": {one["revision"]: one["version"] for one in revisions},
        "changes": {one["id"]: one["kind"] for one in get("/api/changes")["changes"]},
        "tasks": {one["id"]: (one["status"], one["title"]) for one in get("/api/tasks")["tasks"]},
        "config": get("/api/config/export")["config"],
    }


async def test_the_documents_have_the_same_to_do() -> None:
    one, other = ([step.text for step in steps_of(document)] for document in DOCUMENTS)
    assert one == other and len(one) >= 10


async def test_a_backup_is_made_and_restored_as_the_document_says(live: Live) -> None:
    await live.request("PUT", "/api/plugins/search/demo/config", json={"kept": "in the backup"})
    begun = await live.post("/api/download", {"url": "made-up://z", "title": "before the backup"})
    id = begun.body["task"]["id"]
    async with asyncio.timeout(UNTIL_S):
        while (await live.get(f"/api/tasks/{id}")).body["status"] != "completed":
            await asyncio.sleep(0.02)
    before = await asyncio.to_thread(known, live.server.url)

    def follow() -> dict[str, Any]:
        folder = live.home.parent
        addresses = {ADDRESS: live.server.url}
        with Reader(folder, {"UV_NO_INDEX": "1", "PLUGBAY_URL": live.server.url}, addresses) as reader:
            reader.follow(DOCUMENTS[0])
            assert reader.addresses[ADDRESS] != live.server.url
            return known(reader.addresses[ADDRESS])

    after = await asyncio.to_thread(follow)
    assert after == before
    assert before["config"]["search:demo"]["kept"] == "in the backup"
    assert before["tasks"][id] == ("completed", "before the backup")
    # Nothing was held up, and what is secret in it others cannot read.
    assert (await live.search("demo")).status == 200
    assert (live.home.parent / "backup").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_the_document_names_every_metric_with_kind_and_labels(document: str) -> None:
    rows = re.findall(
        r"^\| `(plugbay_\w+)` \| (\w+) \| ([^|]*) \| [^|]+ \|$", text_of(document), re.MULTILINE
    )
    assert [(name, kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows] == [
        (one.name, one.kind, one.labels) for one in FAMILIES
    ]


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_what_the_document_names_is_there(live: Live, document: str) -> None:
    text = text_of(document)
    limits, logs = (text[text.index(f"\n## {head}") :] for head in HEADS[document])
    limits = limits[: limits.index("\n## ", 4)]
    settings = {f"{one.section}.{one.key}" for one in describe_settings()}
    before_logs = text[: text.index(f"\n## {HEADS[document][1]}")]
    named = set(
        re.findall(r"`((?:server|limits|watch|live|install|history|downloads|logs)\.\w+)", before_logs)
    )
    assert len(named) >= 20 and named <= settings, named - settings
    codes = set(re.findall(r"\d{3} `(\w+)`", limits))
    assert len(codes) >= 5 and codes <= set(KINDS)
    assert (KINDS["plugin_timeout"].status, KINDS["disk_full"].status) == (504, 507)
    # Every name of a metric that stands anywhere, in rules and in text.
    names = {one.name for one in FAMILIES}
    names |= {
        f"{one.name}_{part}" for one in FAMILIES if one.kind == "histogram" for part in ("bucket", "sum")
    }
    process = set(await metrics(live))
    for name in re.findall(r"\b((?:plugbay|process)_[a-z_]+)\b", text):
        assert name in names | process, name
    # Every event of the log is one that the server's own code writes.
    source = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "service").rglob("*.py")))
    changes = {f"plugin.{one}" for one in get_args(PluginChange)} | {
        f"task.{one}" for one in get_args(TaskChange)
    }
    for row in re.findall(
        r"^\| ((?:`[a-z_]+[.\w]*`(?:, |、)?)+) \| ", logs[: logs.index("\n## ", 4)], re.MULTILINE
    ):
        for event in re.findall(r"`([a-z_]+\.\w+|\w+_not_in_force)`", row):
            assert event in changes or f'"{event}"' in source, event


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_the_rules_can_be_loaded_and_ask_for_what_is_there(document: str) -> None:
    labels = {one.name: {*one.labels} for one in FAMILIES}
    labels |= {
        f"{one.name}_{part}": {*one.labels, "le"}
        for one in FAMILIES
        if one.kind == "histogram"
        for part in ("bucket", "sum", "count")
    }
    scrape, rules = (
        yaml.safe_load(one)
        for one in re.findall(r"^```yaml\n(.*?)^```$", text_of(document), re.MULTILINE | re.DOTALL)
    )
    assert [one["job_name"] for one in scrape["scrape_configs"]] == ["plugbay"]
    [group] = rules["groups"]
    alerts = [rule["alert"] for rule in group["rules"]]
    assert len(alerts) == len(set(alerts)) >= 12
    for rule in group["rules"]:
        assert set(rule) <= {"alert", "expr", "for", "annotations"}, rule
        assert re.fullmatch(r"[A-Za-z_]\w*", rule["alert"])
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
        expr = rule["expr"]
        bare = re.sub(r'"[^"]*"', '""', expr)
        for opening, closing in ("()", "[]", "{}"):
            assert bare.count(opening) == bare.count(closing), expr
        assert re.search(r"[<>=!]=|[<>]", re.sub(r"\{[^}]*\}", "", bare)), "it compares with something"
        for function in re.findall(r"(\w+) ?\(", bare):
            assert function in FUNCTIONS, function
        for name, inside in re.findall(r"\b(plugbay_\w+)(\{[^}]*\})?", expr):
            used = set(re.findall(r"(\w+)(?:=~|!~|!=|=)", inside))
            assert used <= labels[name] | {"job"}, (name, used)
        for name, window in re.findall(r"\b(plugbay_\w+)(?:\{[^}]*\})?(\[\w+\])", expr):
            counts = name.endswith(("_total", "_bucket")) or name == "plugbay_start_time_seconds"
            assert counts, f"{window} of what is no counter: {name}"
        for grouped in re.findall(r"by \(([^)]*)\)", expr):
            there = set.union(*(labels[name] for name in re.findall(r"\bplugbay_\w+", expr)))
            assert {one.strip() for one in grouped.split(",")} <= there, expr


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_the_lines_of_the_log_look_as_the_document_shows(live: Live, document: str) -> None:
    which = {"plugin_type": "search", "plugin_name": "demo"}
    id = f"reload.for/{document}"
    await live.post("/api/plugins/reload", which, headers={"X-Request-ID": id})
    await live.search("demo", "raise")
    await live.post("/api/download", {"url": "made-up://w", "title": "w"}, headers={"X-Request-ID": id})
    for event in ("plugin.reloaded", "request", "task.completed"):
        await logged(live, id, event)
    [block] = re.findall(r"^```json\n(.*?)^```$", text_of(document), re.MULTILINE | re.DOTALL)
    shown = [json.loads(line) for line in block.splitlines()]
    assert len({one["event"] for one in shown}) == len(shown) >= 4
    for one in shown:
        real = [line for line in lines_of(live) if line["event"] == one["event"]]
        assert any(set(one) == set(line) for line in real), (one, real[:2])
        assert all(
            type(value) is type(real[-1].get(name, value)) for name, value in one.items() if value is not None
        )
    # And those who follow one request find its lines alone.
    [follow] = re.findall(r"jq -c '(select.*)'$", text_of(document), re.MULTILINE)
    if (jq := shutil.which("jq")) is None:
        pytest.skip("there is no jq")
    asked = follow.replace("nightly-42", shown[0]["request_id"])
    done = subprocess.run(
        [jq, "-c", asked], input=block, capture_output=True, text=True, check=True, timeout=20
    )
    assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == ["plugin.call", "request"]


async def test_a_worker_of_a_killed_plugin_is_not_read_for_ever(live: Live) -> None:
    # Numbers of processes that are gone, or going, cost a line and never an answer.
    found = await metrics(live)
    assert value(found, "plugbay_worker_threads", plugin="search/demo") >= 1
    count = len(live.events)
    os.kill(template_of(live.server.process.pid), signal.SIGKILL)
    assert (await live.get("/metrics")).status == 200
    await live.event("loaded", "search/demo", after=count)
    await settled(live, "plugbay_template_starts_total", 2)
