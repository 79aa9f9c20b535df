"""A plugin in a running server, as its tests see it."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import quote, urlencode

from service.sdk.testing.download import DOWNLOAD_S, Download
from service.sdk.testing.failures import CallFailed, PluginFailed

if TYPE_CHECKING:
    from service.sdk.testing.server import Server

TYPES = ("search", "download", "parser")
Method = Literal["search", "parse", "video_info", "download"]
_POLL_S = 0.01
_BEGIN_S = 30.0
_CALL_S = 60.0
_TITLE_MAX_LENGTH = 1000
# Dependencies may have to come from the package registry first.
LOAD_S = 120.0


class Call:
    """A call that runs in a thread of its own; see `Plugin.running`."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._future: Future[Any] = Future()
        self._told = False
        # A daemon: a test that fails in the middle does not wait for it.
        self._thread = threading.Thread(target=self._run, args=(function,), daemon=True)
        self._thread.start()

    def _run(self, function: Callable[[], Any]) -> None:
        try:
            self._future.set_result(function())
        except BaseException as error:
            self._future.set_exception(error)

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._future.done()

    def result(self, timeout: float = _CALL_S) -> Any:
        """What it gave, or raises what it raised; waits for it, `timeout` seconds at most."""
        try:
            return self._future.result(timeout)
        finally:
            self._told = self._told or self._future.done()

    def _end(self) -> None:
        """Wait for it, and raise what it raised unless somebody was told already."""
        self._thread.join(_CALL_S)
        if not self.done:
            raise TimeoutError(f"the call has not ended {_CALL_S:g} s after the block")
        if not self._told:
            self._future.result()


class Plugin:
    """A plugin in a running server, known by its file: an edit may change its name.

    Attributes:
        server: the server that it is in.
        file: its file, or its folder where it is a package.
    """

    def __init__(self, server: Server, file: Path) -> None:
        self.server = server
        self.file = file

    def __repr__(self) -> str:
        return f"<Plugin {self.file.relative_to(self.server.home)}>"

    @property
    def view(self) -> dict[str, Any]:
        """All that the server says of it, as in `GET /api/plugins`.

        Raises:
            LookupError: the server knows of none in that file.
        """
        view = view_in(self.server, self.file)
        if view is None:
            raise LookupError(f"the server has no plugin in {self.file}")
        return view

    @property
    def id(self) -> str:
        """`search/demo`."""
        return str(self.view["id"])

    @property
    def name(self) -> str:
        """What requests call it by."""
        return str(self.view["name"])

    @property
    def version(self) -> str:
        """The version that serves."""
        return str(self.view["version"])

    @property
    def state(self) -> str:
        """`active`, `degraded` (an older generation serves), `failed`, `disabled` or `loading`."""
        return str(self.view["state"])

    @property
    def generation(self) -> int:
        """The number of the generation that serves."""
        return int(self.view["generation"])

    @property
    def error(self) -> dict[str, Any] | None:
        """Why the newest file does not load; `None` where it does."""
        error: dict[str, Any] | None = self.view["error"]
        return error

    def edit(self, old: str, new: str, *, timeout: float = LOAD_S) -> Plugin:
        """Save the plugin with `new` in the place of `old`, and wait for what that makes of it.

        Args:
            old: a text that occurs once in the plugin's file, or in one of the files of a package.
            new: what stands there instead.
            timeout: seconds.

        Raises:
            PluginFailed: it does not load; the code from before the edit serves on.
            ValueError: `old` does not occur just once, or nothing would change.
        """
        files = sorted(self.file.rglob("*.py")) if self.file.is_dir() else [self.file]
        texts = {file: file.read_text(encoding="utf-8") for file in files}
        found = [file for file, text in texts.items() for _ in range(text.count(old))]
        if old == new or len(found) != 1:
            raise ValueError(f"{old!r} occurs {len(found)} times in {self!r}; give a text that occurs once")
        before = newest_in(self.view)
        found[0].write_text(texts[found[0]].replace(old, new), encoding="utf-8")
        wait_until_loaded(self, before, timeout)
        return self

    def configure(self, values: Mapping[str, Any]) -> Plugin:
        """Replace its configuration, and wait for the generation that has it.

        Raises:
            PluginFailed: it does not load with these values; the generation before serves on.
            CallFailed: values do not fit the schema (`config_invalid`).
        """
        answer = self.server.request("PUT", f"/api/plugins/{quote(self.id)}/config", dict(values))
        if answer.get("error"):
            raise PluginFailed(answer["error"])
        return self

    def search(self, keyword: str) -> list[dict[str, Any]]:
        """What a search plugin finds.

        Raises:
            CallFailed: it raised, did not answer in time or cannot be called now.
        """
        query = urlencode({"keyword": keyword})
        answer = self.server.request("GET", f"/api/search/{quote(self.name)}?{query}")
        return list(answer["results"])

    def video_info(self, url: str) -> dict[str, Any]:
        """What a search plugin says of one address.

        Raises:
            CallFailed: see `search`; `method_not_supported` where it has no `get_video_info`.
        """
        return self.server.request("POST", "/api/video-info", {"url": url, "plugin_name": self.name})

    def parse(self, url: str) -> list[dict[str, Any]]:
        """What a parser plugin makes of an address; empty where its `can_parse` says no.

        Raises:
            CallFailed: see `search`.
        """
        view = self.view
        body: dict[str, Any] = {"url": url}
        if view["type"] != "parser" or view["state"] not in ("active", "degraded"):
            body["plugins"] = [view["name"]]  # which says why it cannot be asked
        answer = self.server.request("POST", "/api/parse", body)
        for failure in answer["errors"]:
            if failure["plugin"] == view["name"]:
                raise CallFailed(failure)
        return [link for link in answer["results"] if link["plugin"] == view["name"]]

    def download(
        self,
        url: str,
        *,
        title: str = "",
        metadata: Mapping[str, Any] | None = None,
        timeout: float = DOWNLOAD_S,
    ) -> dict[str, Any]:
        """Download an address with a download plugin, and wait for the end.

        Returns:
            the task as it ended: `status`, `save_path`, `error`, `progress` and more.

        Raises:
            CallFailed: the download was not begun. One that fails is a task with `status` `failed`.
            TimeoutError: it has not ended after `timeout` seconds; it goes on.
        """
        return self.begin_download(url, title=title, metadata=metadata).wait(timeout)

    def begin_download(
        self, url: str, *, title: str = "", metadata: Mapping[str, Any] | None = None
    ) -> Download:
        """Begin a download and do not wait for it, so that a test can pause it or kill its process.

        Raises:
            CallFailed: it was not begun.
        """
        wanted = {
            "url": url,
            "title": title or url[:_TITLE_MAX_LENGTH],
            "plugin_name": self.name,
            "metadata": dict(metadata or {}),
        }
        return Download(self.server, self.server.request("POST", "/api/download", wanted)["task"])

    def log(self) -> list[str]:
        """The lines of its log, the newest last."""
        answer = self.server.request("GET", f"/api/plugins/{quote(self.id)}/logs?lines=1000")
        return [str(line["message"]) for line in answer["lines"]]

    def running(self, method: Method, *arguments: Any, **options: Any) -> AbstractContextManager[Call]:
        """A call that goes on while the block runs, so that a test can edit the plugin under it.

            with demo.running("search", "words") as call:
                demo.edit("1.0", "2.0")
            assert call.result()

        The block begins once the call has come to the plugin, and its end waits for the call. Where that raised and
        `result` was not asked for in the block, the end of the block raises it.

        Args:
            method: `search`, `parse`, `video_info` or `download`.
            arguments, options: what that method of this class is given.

        Raises:
            ValueError: there is no such method.
            TypeError: the method does not take these arguments.
        """
        if method not in get_args(Method):
            raise ValueError(f"{method!r} cannot run; what can: {', '.join(get_args(Method))}")
        function: Callable[..., Any] = getattr(self, method)
        inspect.signature(function).bind(*arguments, **options)
        return self._running(method, lambda: function(*arguments, **options))

    @contextmanager
    def _running(self, method: str, function: Callable[[], Any]) -> Iterator[Call]:
        call = Call(function)
        deadline = time.monotonic() + _BEGIN_S
        while not call.done and not self.view["running_calls"]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{method} has not come to {self!r} after {_BEGIN_S:g} s")
            time.sleep(_POLL_S)
        yield call
        call._end()


def newest_in(view: Mapping[str, Any]) -> int:
    """The number of the newest generation that was tried, whether it serves or failed."""
    return max(int(view["generation"] or 0), int((view["error"] or {}).get("generation") or 0))


def view_in(server: Server, file: Path) -> dict[str, Any] | None:
    """What the server says of the plugin in that file; `None` where it knows of none."""
    name = file.relative_to(server.home).as_posix()
    listed = server.request("GET", "/api/plugins")
    return next((view for type in TYPES for view in listed[type] if view["file"] == name), None)


def wait_until_loaded(plugin: Plugin, before: int, timeout: float) -> None:
    """Wait until a generation newer than `before` serves.

    Raises:
        PluginFailed: it does not load.
        TimeoutError: neither has come about after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        view = view_in(plugin.server, plugin.file)
        if view is not None and newest_in(view) > before and view["state"] != "loading":
            if view["error"]:
                raise PluginFailed(view["error"])
            return
        if time.monotonic() > deadline:
            state = "not known" if view is None else view["state"]
            raise TimeoutError(f"{plugin!r} is {state} after {timeout:g} s")
        time.sleep(_POLL_S)
