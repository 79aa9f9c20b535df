"""在真实的服务器中测试这个插件；服务器由 fixture 启动和关闭。运行方法：pytest"""

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
    plugin = plugbay_server.add(PLUGIN).configure({"chunk": 1})  # 足够慢，来得及做下面这些事
    content = "0123456789" * 500
    download = plugin.begin_download(f"data:,{content}")
    before = download.wait_until(lambda task: task["progress"] > 0)
    plugbay_server.kill_workers()  # 如同崩溃；它会在新的进程中自行继续
    download.wait_until(lambda task: task["generation"] > before["generation"])
    assert download.pause()["status"] == "paused"
    plugin.configure({"chunk": 1024})
    download.resume()
    task = download.wait()
    assert (task["status"], task["downloaded"], task["total"]) == ("completed", 5000, 5000), task["error"]
    assert Path(task["save_path"]).read_text(encoding="utf-8") == content
    assert any("字节继续" in line for line in plugin.log())

    plugin.configure({"chunk": 1})
    download = plugin.begin_download(f"data:,{content}")
    download.wait_until(lambda task: task["progress"] > 0)
    download.pause()
    download.cancel()
    assert [file.name for file in Path(task["save_path"]).parent.iterdir()] == [Path(task["save_path"]).name]


def test_it_says_why_it_failed(plugbay_server: Server) -> None:
    task = plugbay_server.add(PLUGIN).download("other:thing")
    assert task["status"] == "failed"
    assert "只能下载 data: 地址" in task["error"]
