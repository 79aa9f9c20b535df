"""Tests of the plugin in a real server, which the fixture starts and ends. Run them with: pytest"""

from __future__ import annotations

from pathlib import Path

from service.sdk.testing import Server

PLUGIN = "scaffold_plugin.py"


def test_it_downloads(plugbay_server: Server) -> None:
    plugin = plugbay_server.add(PLUGIN)
    task = plugin.download("data:text/plain,hello%20world")
    assert task["status"] == "completed", task["error"]
    assert Path(task["save_path"]).read_text(encoding="utf-8") == "hello world"


def test_it_goes_on_where_it_was_and_leaves_nothing(plugbay_server: Server) -> None:
    plugin = plugbay_server.add(PLUGIN).configure({"chunk": 1})  # so slow that there is time for all this
    content = "0123456789" * 500
    download = plugin.begin_download(f"data:,{content}")
    before = download.wait_until(lambda task: task["progress"] > 0)
    plugbay_server.kill_workers()  # as in a crash; it goes on by itself, in a new process
    download.wait_until(lambda task: task["generation"] > before["generation"])
    assert download.pause()["status"] == "paused"
    plugin.configure({"chunk": 1024})
    download.resume()
    task = download.wait()
    assert (task["status"], task["downloaded"], task["total"]) == ("completed", 5000, 5000), task["error"]
    assert Path(task["save_path"]).read_text(encoding="utf-8") == content
    assert any("goes on after" in line for line in plugin.log())

    plugin.configure({"chunk": 1})
    download = plugin.begin_download(f"data:,{content}")
    download.wait_until(lambda task: task["progress"] > 0)
    download.pause()
    download.cancel()
    assert [file.name for file in Path(task["save_path"]).parent.iterdir()] == [Path(task["save_path"]).name]


def test_it_says_why_it_failed(plugbay_server: Server) -> None:
    task = plugbay_server.add(PLUGIN).download("other:thing")
    assert task["status"] == "failed"
    assert "only data: addresses are taken" in task["error"]
