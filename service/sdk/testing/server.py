"""A running server that plugins are put into."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from service.sdk.testing.failures import CallFailed, PluginFailed
from service.sdk.testing.plugin import LOAD_S, TYPES, Plugin, newest_in, view_in, wait_until_loaded
from service.sdk.testing.process import kill_workers

_BASE = re.compile(r"^class\s+\w+\s*\([^)]*\b(Search|Download|Parser)Plugin\b", re.MULTILINE)
_NAME = re.compile(r"^    name\s*(?::\s*str\s*)?=\s*[\"']([^\"'/\s]+)[\"']", re.MULTILINE)
_POLL_S = 0.01
_LOCALES = ("PLUGBAY_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
# The server is on this machine: no proxy.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Server:
    """A running server.

    Attributes:
        home: its home folder, with `plugins/`, `config/` and `data/`.
        url: its address, such as `http://127.0.0.1:40123`.

    Args:
        folders: where plugins are looked for, besides the working directory.
    """

    def __init__(self, home: Path, url: str, folders: Sequence[Path]) -> None:
        self.home = home
        self.url = url
        self._folders = folders

    def add(
        self,
        plugin: str | Path,
        type: str | None = None,
        name: str | None = None,
        *,
        timeout: float = LOAD_S,
    ) -> Plugin:
        """Put a plugin into the home, and wait until it serves.

        Args:
            plugin: a file or a folder, looked for below the working directory, then below the test's own folder and the
                one above; its requirements file comes along. Or the text of a plugin.
            type: `search`, `download` or `parser`, where neither the class nor the folder tells.
            name: what its file is called, without `_plugin.py`.
            timeout: seconds.

        Raises:
            PluginFailed: it does not load. Its file stays, and `plugin(…)` finds it by its file's name.
            FileNotFoundError: there is no such file.
            ValueError: nothing tells its type.
        """
        if isinstance(plugin, str) and "\n" in plugin:
            type = _type_of(plugin, None, type)
            match = _NAME.search(plugin)
            target = self.home / "plugins" / type / f"{name or (match and match[1]) or 'demo'}_plugin.py"
            source = None
        else:
            source = self._found(Path(plugin))
            main = source / "__init__.py" if source.is_dir() else source
            type = _type_of(main.read_text(encoding="utf-8"), source.parent.name, type)
            stem = source.name.removesuffix(".py").removesuffix("_plugin")
            suffix = "_plugin" if source.is_dir() else "_plugin.py"
            target = self.home / "plugins" / type / f"{name or stem}{suffix}"
            for beside in (f"{stem}_requirements.txt", f"{stem}_plugin_requirements.txt"):
                if (source.parent / beside).is_file():
                    shutil.copyfile(
                        source.parent / beside, target.parent / f"{name or stem}_requirements.txt"
                    )
        known = view_in(self, target)
        before = 0 if known is None else newest_in(known)
        # Put together aside and renamed into place, so that nothing is loaded half.
        aside = target.with_name(f".{target.name}.new")
        if source is None:
            aside.write_text(str(plugin), encoding="utf-8")
        elif source.is_dir():
            shutil.copytree(source, aside, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copyfile(source, aside)
        added = Plugin(self, target)
        # The same contents once more are no change: what came of them stands already.
        before = 0 if _contents(aside) == _contents(target) else before
        if target.is_dir():
            shutil.rmtree(target)
        aside.rename(target)
        wait_until_loaded(added, before, timeout)
        return added

    def plugin(self, id: str) -> Plugin:
        """The plugin of that identity, such as `search/demo`.

        Raises:
            CallFailed: there is none (`plugin_not_found`).
        """
        return Plugin(self, self.home / self.request("GET", f"/api/plugins/{quote(id)}")["file"])

    def kill_workers(self, *, timeout: float = LOAD_S) -> None:
        """Kill the processes of all plugins, as a crash does, and wait until each plugin serves in a new one.

        Calls that run fail (`plugin_crashed`); a download whose plugin is `resumable` goes on from its last checkpoint.

        Args:
            timeout: seconds.

        Raises:
            PluginFailed: one serves no more, such as after too many crashes (`crash_loop`).
            TimeoutError: one does not serve again after `timeout` seconds.
        """
        serving = {one["id"]: one for one in self._plugins() if one["state"] in ("active", "degraded")}
        kill_workers(int((self.home / "data" / "lock").read_text(encoding="utf-8")))
        deadline = time.monotonic() + timeout
        while True:
            for now in self._plugins():
                before = serving.get(now["id"])
                if before is None or now["state"] == "loading":
                    continue
                if now["state"] == "failed":
                    raise PluginFailed(now["error"])
                if now["generation"] != before["generation"]:
                    del serving[now["id"]]
            if not serving:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{', '.join(serving)} do not serve again after {timeout:g} s")
            time.sleep(_POLL_S)

    def _plugins(self) -> list[dict[str, Any]]:
        listed = self.request("GET", "/api/plugins")
        return [view for type in TYPES for view in listed[type]]

    def request(self, method: str, path: str, body: Any = None, *, timeout: float = LOAD_S) -> dict[str, Any]:
        """What the API answers, for whatever the other methods do not do.

        Args:
            method: of HTTP.
            path: from `/api` on.
            body: JSON, where there is one.
            timeout: seconds.

        Raises:
            CallFailed: the server refused; has its problem object.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, _headers(), method=method)
        try:
            with _opener.open(request, timeout=timeout) as response:
                answer: dict[str, Any] = json.loads(response.read())
                return answer
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode("utf-8", "replace")
        try:
            problem = json.loads(text)
        except ValueError:
            problem = {"title": text}
        raise CallFailed(problem)

    def _found(self, path: Path) -> Path:
        candidates = [folder / path.expanduser() for folder in (Path.cwd(), *self._folders)]
        for candidate in candidates:
            if candidate.is_file() or (candidate / "__init__.py").is_file():
                return candidate.resolve()
        raise FileNotFoundError(f"no plugin at {', '.join(dict.fromkeys(map(str, candidates)))}")


def _type_of(text: str, folder: str | None, given: str | None) -> str:
    types = {match[1].lower() for match in _BASE.finditer(text)}
    found = given or (types.pop() if len(types) == 1 else folder)
    if found not in TYPES:
        raise ValueError(f"give type=, one of {', '.join(TYPES)}: the plugin's class does not tell it")
    return found


def _contents(path: Path) -> dict[str, bytes]:
    """The files of a plugin; none where there is nothing."""
    files = [path] if path.is_file() else path.rglob("*.py")
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def _headers() -> dict[str, str]:
    locale = next((value for name in _LOCALES if (value := os.environ.get(name))), "en")
    language = "zh" if locale.lower().startswith("zh") else "en"
    return {"Content-Type": "application/json", "Accept-Language": language}
