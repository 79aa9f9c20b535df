"""The recipes: each is run against a real server; those that follow it are cut off in between."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from service.sdk.testing.process import server_process
from tests.integration.guide import ADDRESS, ROOT, Reader, Step, missing_line, steps_of

RECIPES = "recipes.md"
SITE = "https://example.org/"
SECONDS = 15.0
EXPERIMENTS = ("--experimental-websocket", "--experimental-eventsource")
GREETER = """\
from service.sdk import SearchPlugin, SearchResult


class GreeterPlugin(SearchPlugin):
    name = "greeter"
    version = "2.0.0"
    description = "Greets"

    async def search(self, keyword, **kwargs):
        return [SearchResult(title=f"Hello, {keyword}", url="https://example.org/")]
"""


@functools.cache
def node_options() -> str | None:
    """What node needs to have `WebSocket` and `EventSource`; None where there is none that has."""
    node = shutil.which("node")
    if node is None:
        return None
    wanted = "process.exit(typeof WebSocket === 'undefined' || typeof EventSource === 'undefined' ? 1 : 0)"
    for options in ("", *EXPERIMENTS[1:], " ".join(EXPERIMENTS)):
        environ = {**os.environ, "NODE_OPTIONS": options}
        if not subprocess.run([node, "-e", wanted], env=environ, capture_output=True).returncode:
            return f"{options} --no-warnings".strip()
    return None


needs_node = pytest.mark.skipif(
    node_options() is None, reason="there is no node with WebSocket and EventSource"
)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """What stands for https://example.org/."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "greeter_plugin.py").write_text(GREETER)
    (folder / "night.bin").write_bytes(bytes(range(250)) * 1200)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class Job:
    """A program in the background, with what it has printed."""

    def __init__(self, command: str, cwd: Path, environ: dict[str, str]) -> None:
        self._path = cwd / f"job-{time.monotonic_ns()}.log"
        with self._path.open("wb") as log:
            self.process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"], cwd=cwd, env=environ, stdout=log, stderr=log
            )
        self._told = 0

    @property
    def printed(self) -> str:
        return self._path.read_text(encoding="utf-8")

    def news(self) -> str:
        """What it has printed since this was last taken."""
        return self.printed[self._told :]

    def take(self) -> None:
        self._told = len(self.printed)

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(SECONDS)


class Cook(Reader):
    """Follows the recipes. What a program in the background prints counts for the command before it."""

    def __init__(self, folder: Path, addresses: dict[str, str]) -> None:
        environ = {"UV_NO_INDEX": "1", "PYTHONPATH": str(ROOT), "NODE_OPTIONS": node_options() or ""}
        super().__init__(folder, environ, addresses)
        self.jobs: list[Job] = []

    def __exit__(self, *error: object) -> None:
        for job in self.jobs:
            job.end()
        super().__exit__(*error)

    def _do(self, step: Step) -> None:
        command = step.text
        if command.startswith("node ") and node_options() is None:
            return
        if step.file is not None:
            for shown, real in self.addresses.items():
                step = step._replace(
                    text=step.text.replace(f"{shown}'", f"{real}'").replace(f'{shown}"', f'{real}"')
                )
                if not shown.endswith("8000"):
                    step = step._replace(
                        text=re.sub(rf"{re.escape(shown)}(?=greeter|night)", real, step.text)
                    )
            super()._do(step)
        elif command.endswith(" &"):
            self.jobs.append(Job(command.removesuffix(" &"), self.folder, self.environ))
            self._until(step.prints, "")
        elif command.startswith("kill "):
            for _ in re.findall(r"%\d", command):
                if self.jobs:
                    self.jobs.pop(0).end()
        elif self.jobs:
            for job in self.jobs:
                job.take()
            super()._do(step._replace(prints=[]))
            self._until(step.prints, "")
        else:
            super()._do(step)

    def _until(self, prints: list[str], printed: str) -> None:
        """Waits until every program in the background has printed it, the newest only where it just began."""
        deadline = time.monotonic() + SECONDS
        for job in self.jobs[-1:] if "following" in prints else self.jobs:
            while missing := missing_line(prints, job.news()):
                assert time.monotonic() < deadline, f"does not print {missing!r} but\n{job.printed}"
                time.sleep(0.01)
            if "following" in prints:
                job.take()

    def _run(self, command: str) -> tuple[int, str]:
        file = self.folder / command.removeprefix("python ")
        if command.startswith("python ") and "service.client" in file.read_text(encoding="utf-8"):
            # In this process, which is quicker.
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed), contextlib.chdir(self.folder):
                runpy.run_path(str(file), run_name="__main__")
            return 0, printed.getvalue()
        return super()._run(command)


def test_the_recipes(tmp_path: Path, site: str) -> None:
    plugins = tmp_path / "plugbay/plugins/download"
    plugins.mkdir(parents=True)
    shutil.copytree(ROOT / "plugins/download/http_plugin", plugins / "http_plugin")
    if (ROOT / "plugins/shared").is_dir():
        shutil.copytree(ROOT / "plugins/shared", tmp_path / "plugbay/plugins/shared")
    with Cook(tmp_path, {SITE: site}) as cook:
        cook.follow(RECIPES)


class Proxy:
    """Stands between a client and a server, and cuts them off."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._is_open = True
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if not self._is_open:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._port))
                self._pairs.append((client, server))
            threading.Thread(target=self._carry, args=(client, server), daemon=True).start()

    @staticmethod
    def _carry(client: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as selector, client, server:
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in selector.select():
                    try:
                        data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                        if not data:
                            return
                        key.data.sendall(data)
                    except OSError:
                        return

    def cut(self) -> None:
        """Ends every connection, and takes no new one until `mend`."""
        with self._lock:
            self._is_open = False
            for pair in self._pairs:
                for one in pair:
                    with contextlib.suppress(OSError):
                        one.shutdown(socket.SHUT_RDWR)
            self._pairs.clear()

    def mend(self) -> None:
        with self._lock:
            self._is_open = True

    def close(self) -> None:
        self.cut()
        # Only this wakes a thread that waits in accept.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def following(command: str, folder: Path, url: str) -> Iterator[tuple[Job, Proxy]]:
    """A program of the recipes that has begun to follow the server at `url`, through a proxy."""
    proxy = Proxy(int(url.rpartition(":")[2]))
    try:
        for step in steps_of(RECIPES):
            if step.file is not None and "/" not in step.file:
                text = step.text.replace(ADDRESS, proxy.url)
                # They come back sooner than those who are no test.
                text = text.replace("time.sleep(1)", "time.sleep(0.1)").replace(
                    "resolve, 1000)", "resolve, 100)"
                )
                text = text.replace("45_000", "2_000")
                (folder / step.file).write_text(text, encoding="utf-8")
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "NODE_OPTIONS": node_options() or ""}
        programs = str(Path(sys.executable).parent)
        environ["PATH"] = os.pathsep.join([programs, environ.get("PATH", "")])
        job = Job(command, folder, environ)
        try:
            until(lambda: "following" in job.printed, job)
            yield job, proxy
        finally:
            job.end()
    finally:
        proxy.close()


def until(holds: Callable[[], bool], job: Job) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, job.printed
        assert job.process.poll() is None, job.printed
        time.sleep(0.01)


def switch(url: str, enabled: bool) -> None:
    path = f"/api/plugins/search/greeter/toggle?enabled={'true' if enabled else 'false'}"
    with urlopen(Request(url + path, method="POST"), timeout=SECONDS) as answer:
        assert answer.status == 200


def test_what_follows_misses_nothing_and_repeats_nothing_over_a_cut(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "plugins/search").mkdir(parents=True)
    (home / "plugins/search/greeter_plugin.py").write_text(GREETER)
    commands = ["python follow.py", "python follow_http.py"]
    if node_options() is not None:
        commands += ["node follow.mjs", "node page.mjs"]
    with server_process(home, {"UV_NO_INDEX": "1"}) as url, contextlib.ExitStack() as stack:
        wait_for_the_plugin(url)
        running = []
        for command in commands:
            folder = tmp_path / command.replace(" ", "-")
            folder.mkdir()
            for name in ("seen.txt", "seen_http.txt"):
                (folder / name).write_text("gone:41")  # of an earlier run of the server
            running.append(stack.enter_context(following(command, folder, url)))
        for job, _ in running[:2]:
            until(lambda job=job: "plugbay.stream.reset stream" in job.printed, job)  # type: ignore[misc]
        switch(url, False)
        for job, _ in running:
            until(lambda job=job: "plugin.disabled" in job.printed, job)  # type: ignore[misc]
        for _, proxy in running:
            proxy.cut()
        switch(url, True)  # while none of them is there
        switch(url, False)
        for _, proxy in running:
            proxy.mend()
        for job, _ in running:
            until(lambda job=job: job.printed.count("plugin.disabled") == 2, job)  # type: ignore[misc]
        switch(url, True)
        for job, _ in running:
            until(lambda job=job: job.printed.count("plugin.enabled") == 2, job)  # type: ignore[misc]
            seen = re.findall(r"plugbay\.plugin\.(enabled|disabled) plugins/search/greeter", job.printed)
            assert seen == ["disabled", "enabled", "disabled", "enabled"], job.printed
        resets = [job.printed.count("stream.reset") for job, _ in running]
        assert resets == [1, 1, 0, 0][: len(running)], "only where the position was gone"


def wait_for_the_plugin(url: str) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        with urlopen(f"{url}/api/plugins", timeout=SECONDS) as answer:
            if b'"state":"active"' in answer.read():
                return
        assert time.monotonic() < deadline
        time.sleep(0.02)
