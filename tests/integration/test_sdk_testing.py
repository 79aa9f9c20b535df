"""What authors test their plugins with, against real servers: the fixture comes from the installed package."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from service.sdk.testing import Call, CallFailed, PluginFailed, Server

ROOT = Path(__file__).parents[2]

DEMO = """\
import asyncio

from service.sdk import ConfigField, SearchPlugin, SearchResult


class Demo(SearchPlugin):
    name = "demo"
    version = "1.0"
    description = "Greets"

    def get_config_schema(self):
        return [ConfigField(name="greeting", default="Hello")]

    async def search(self, keyword, **kwargs):
        self.log.info("asked for %s", keyword)
        while keyword == "slow" and not (self.data_dir / "go").exists():
            await asyncio.sleep(0.01)
        return [SearchResult(title=f"{self.config['greeting']}, {keyword} {self.version}", url="https://example.org/")]

    async def get_video_info(self, url):
        return SearchResult(title="one", url=url)
"""

LINKS = """\
from service.sdk import ParserPlugin


class Links(ParserPlugin):
    name = "links"
    version = "1.0"
    description = "Takes addresses apart"

    def can_parse(self, url):
        return "example.org" in url

    def parse_url(self, url):
        if url.endswith("/none"):
            raise LookupError("nothing there")
        return [{"name": "one", "url": url}]
"""

FILES = """\
import asyncio

from .names import name_of

from service.sdk import DownloadPlugin


class Files(DownloadPlugin):
    name = "files"
    version = "1.0"
    description = "Writes files"
    supported_protocols = ["example"]

    async def download(self, task):
        if "refused" in task.url:
            task.error = "refused"
            return False
        while "slow" in task.url and not (self.data_dir / "go").exists():
            await asyncio.sleep(0.01)
        await task.checkpoint({"at": 1})
        self.downloads_dir.mkdir(parents=True, exist_ok=True)
        file = self.downloads_dir / name_of(task.url)
        file.write_text(self.version)
        task.save_path = str(file)
        return True
"""


def test_edits_under_running_calls_broken_saves_and_configuration(plugbay_server: Server) -> None:
    demo = plugbay_server.add(DEMO)
    assert (demo.id, demo.state, demo.generation, demo.error) == ("search/demo", "active", 1, None)
    with demo.running("search", "slow") as call:
        demo.edit('"1.0"', '"2.0"')
        assert not call.done
        assert (demo.version, demo.search("quick")[0]["title"]) == ("2.0", "Hello, quick 2.0")
        (plugbay_server.home / "data/plugins/search/demo/go").touch()
    assert call.result()[0]["title"] == "Hello, slow 1.0"

    with pytest.raises(
        PluginFailed, match=r"plugins/search/demo_plugin\.py:14: SyntaxError.*\[syntax_error\]"
    ):
        demo.edit("async def search", "async deff search")
    assert demo.state == "degraded" and demo.error is not None and demo.error["line"] == 14
    assert demo.search("still")[0]["title"] == "Hello, still 2.0"
    demo.edit("async deff search", "async def search")
    assert demo.state == "active"

    assert demo.configure({"greeting": "Hi"}).search("you")[0]["title"] == "Hi, you 2.0"
    with pytest.raises(CallFailed, match="greeting") as refused:
        demo.configure({"greeting": 3})
    assert refused.value.code == "config_invalid"
    assert demo.log()[0] == "asked for slow"
    assert demo.video_info("https://example.org/1")["title"] == "one"

    demo.edit('name = "demo"', 'name = "renamed"')
    assert demo.id == "search/renamed" and plugbay_server.plugin("search/renamed").file == demo.file
    demo.edit('self.log.info("asked for %s", keyword)', 'raise LookupError("nothing")')
    with pytest.raises(CallFailed, match=r"line 15, in search") as raised:
        demo.search("x")
    assert raised.value.code == "plugin_error"
    with pytest.raises(ValueError, match="occurs 0 times"):
        demo.edit("no such text", "")
    with pytest.raises(ValueError, match="occurs 1 times"):
        demo.edit("class Demo", "class Demo")


def test_parsers_downloads_packages_and_files(
    plugbay_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("links_plugin.py").write_text(LINKS)
    Path("links_requirements.txt").write_text("pytest>=1\n")
    links = plugbay_server.add("links_plugin.py")
    assert links.id == "parser/links"
    assert (plugbay_server.home / "plugins/parser/links_requirements.txt").is_file()
    assert links.parse("https://example.org/1") == [
        {"plugin": "links", "name": "one", "url": "https://example.org/1"}
    ]
    assert links.parse("https://elsewhere.test/") == []
    with pytest.raises(CallFailed, match="nothing there"):
        links.parse("https://example.org/none")
    with pytest.raises(CallFailed) as refused:
        links.search("x")
    assert refused.value.code == "plugin_not_found"

    package = tmp_path / "files_plugin"
    package.mkdir()
    (package / "__init__.py").write_text(FILES)
    (package / "names.py").write_text('def name_of(url):\n    return "one.txt"\n')
    files = plugbay_server.add(package)
    with files.running("download", "example:slow") as call:
        files.edit("one.txt", "two.txt")
        (plugbay_server.home / "data/plugins/download/files/go").touch()
    task = call.result()
    assert task["status"] == "completed", task["error"]
    assert (task["status"], Path(task["save_path"]).name) == ("completed", "one.txt")
    assert Path(files.download("example:again")["save_path"]).name == "two.txt"
    assert files.generation == plugbay_server.add(files.file).generation
    (package / "names.py").write_text('def name_of(url):\n    return "three.txt"\n')
    assert plugbay_server.add(package).download("example:again")["save_path"].endswith("three.txt")
    task = files.download("example:refused", title="no")
    assert (task["status"], task["title"]) == ("failed", "no") and "refused" in task["error"]
    with pytest.raises(FileNotFoundError):
        plugbay_server.add("other_plugin.py")
    with pytest.raises(ValueError, match="type="):
        plugbay_server.add("value = 1\n")


def test_the_server_ends_with_a_killed_test_run(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "plugins").mkdir(parents=True)
    program = (
        "import sys, time, pathlib; from service.sdk.testing.process import server_process\n"
        f"with server_process(pathlib.Path({str(home)!r})) as url: print(url, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as tests:
        assert tests.stdout is not None and tests.stdout.readline().startswith("http://127.0.0.1:")
        server = int((home / "data/lock").read_text())
        tests.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{server}").exists():
        assert time.monotonic() < deadline, "the server goes on"
        time.sleep(0.02)


def test_a_call_gives_what_it_raised() -> None:
    call = Call(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        call.result()
    assert call.done


COUNT = """\
import asyncio

from service.sdk import DownloadPlugin


class Count(DownloadPlugin):
    name = "count"
    version = "1.0"
    description = "Counts up to what the address says, as far as it may"
    supported_protocols = ["count"]
    resumable = True

    async def download(self, task):
        done = task.resume["done"] if task.resume else 0
        self.log.info("from %d", done)
        while done < 100:
            while done == 50 and not (self.data_dir / "go").exists():
                await asyncio.sleep(0.01)
            done += 10
            await task.checkpoint({"done": done})
            await task.report(progress=done)
        return "fails" not in task.url

    def discard(self, task):
        self.log.info("discards %d", task.resume["done"])
"""


def test_a_download_is_paused_killed_and_goes_on(plugbay_server: Server) -> None:
    count = plugbay_server.add(COUNT)
    demo = plugbay_server.add(DEMO)
    download = count.begin_download("count:" + "x" * 2000)
    assert download.wait_until(lambda task: task["progress"] == 50)["status"] == "downloading"
    with pytest.raises(TimeoutError, match="downloading after"):
        download.wait(timeout=0.05)
    generations = count.generation, demo.generation
    plugbay_server.kill_workers()
    assert generations < (count.generation, demo.generation) and count.state == demo.state == "active"
    assert demo.search("you")[0]["title"] == "Hello, you 1.0"
    assert download.pause()["status"] == download.status == download.wait()["status"] == "paused"
    with pytest.raises(RuntimeError, match="is paused"):
        download.wait_until(lambda task: task["progress"] > 50)
    (plugbay_server.home / "data/plugins/download/count/go").touch()
    download.resume()
    assert (download.wait()["status"], download.view["progress"]) == ("completed", 100)
    first, *others = count.log()
    assert (first, set(others)) == ("from 0", {"from 50"}), "once more after the kill, if it had come so far"
    with pytest.raises(CallFailed) as refused:
        download.pause()
    assert refused.value.code == "task_conflict"

    failing = count.begin_download("count:fails", title="no")
    assert (failing.wait()["status"], failing.view["title"]) == ("failed", "no")
    failing.retry()
    assert failing.wait()["status"] == "failed"
    (plugbay_server.home / "data/plugins/download/count/go").unlink()
    cancelled = count.begin_download("count:it")
    cancelled.wait_until(lambda task: task["progress"] == 50)
    cancelled.pause()
    assert cancelled.cancel()["status"] == "cancelled"
    assert count.log()[-1] == "discards 50"


def test_running_takes_what_there_is_and_hides_no_error(plugbay_server: Server) -> None:
    demo = plugbay_server.add(
        DEMO.replace("while keyword", "if keyword == 'bad': 1 / 0\n        while keyword")
    )
    name: Any = "serach"
    with pytest.raises(
        ValueError, match="'serach' cannot run; what can: search, parse, video_info, download"
    ):
        demo.running(name, "words")
    with pytest.raises(TypeError, match="keyword"):
        demo.running("search")
    with pytest.raises(CallFailed, match="ZeroDivisionError"), demo.running("search", "bad"):
        pass
    with demo.running("search", "bad") as call, pytest.raises(CallFailed, match="ZeroDivisionError"):
        call.result()
    with pytest.raises(LookupError, match="of the block"), demo.running("search", "bad"):
        raise LookupError("of the block")
