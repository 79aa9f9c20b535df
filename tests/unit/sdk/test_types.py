"""What a type checker says of plugins that are written against the installed package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# All that the interface allows: plain and `async`, lists and generators, attributes and properties.
RIGHT = """\
from collections.abc import AsyncIterator
from typing import Any

from service.sdk import (
    INTERFACE_VERSION, ConfigField, DownloadPlugin, DownloadTask, ParserPlugin, SearchPlugin, SearchResult,
)
from service.sdk.testing import Server


class Listing(SearchPlugin):
    name = "listing"
    version = "1"
    description = "A list"
    exclusive = True

    def get_config_schema(self) -> list[ConfigField]:
        return [ConfigField(name="count", type="number", default=1)]

    async def start(self) -> None:
        self.log.info("in %s", self.data_dir / INTERFACE_VERSION)

    def stop(self) -> None:
        self.config.clear()

    async def search(self, keyword: str) -> list[SearchResult]:
        return [SearchResult(title=keyword, url="https://example.org/")]

    async def get_video_info(self, url: str) -> SearchResult:
        return SearchResult(title=url, url=url)


class Yielding(SearchPlugin):
    config_schema = {"type": "object"}
    version = "1"
    description = "A generator"

    @property
    def name(self) -> str:
        return "yielding"

    async def search(self, keyword: str, **kwargs: Any) -> AsyncIterator[SearchResult]:
        yield SearchResult(title=keyword, url="https://example.org/")

    def self_check(self) -> bool:
        return True


class Plain(SearchPlugin):
    name = "plain"
    version = "1"
    description = "No coroutine"

    def search(self, words: str, **kwargs: Any) -> list[dict[str, Any]]:
        return [{"title": words}]


class Download(DownloadPlugin):
    name = "download"
    version = "1"
    description = "Downloads"
    supported_protocols = ("http",)
    resumable = True

    async def download(self, task: DownloadTask) -> bool:
        at: int = (task.resume or {}).get("at", 0)
        await task.report(downloaded=at, total=10)
        await task.checkpoint({"at": at + 1})
        return not task.cancelled

    async def discard(self, task: DownloadTask) -> None:
        (self.downloads_dir / task.id).unlink()


class Parser(ParserPlugin):
    name = "parser"
    version = "1"
    description = "Parses"

    def can_parse(self, url: str) -> bool:
        return True

    async def parse_url(self, url: str) -> list[dict[str, str]]:
        return [{"name": url, "url": url}]


def test_listing(plugbay_server: Server) -> None:
    listing = plugbay_server.add("listing_plugin.py").edit("1", "2")
    with listing.running("search", "x") as call:
        titles: list[str] = [found["title"] for found in listing.search("y")]
    assert call.result() or titles
"""

# Each is one mistake, and what the checker says of it.
WRONG = {
    "name = 3": 'base class "Plugin" defined the type as "str"',
    "async def search(self, keyword: str) -> int: return 3": 'Signature of "search" incompatible with supertype',
    "field = ConfigField(name='n', type='nubmer')": "has incompatible type",
    "def can_search(self) -> None: self.report.info('x')": 'has no attribute "report"',
}


ROOT = Path(__file__).parents[3]
SHOWN = ("plugin-guide.md", "sdk.md")


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What mypy says of each file, run once, in a folder that has nothing of ours but what is installed."""
    folder = tmp_path_factory.mktemp("author")
    head = "from service.sdk import ConfigField, SearchPlugin\n\n\nclass Wrong(SearchPlugin):\n    "
    (folder / "right_plugin.py").write_text(RIGHT, encoding="utf-8")
    for number, line in enumerate(WRONG):
        (folder / f"wrong{number}_plugin.py").write_text(head + line + "\n", encoding="utf-8")
    for document in SHOWN:
        text = (ROOT / "docs" / document).read_text(encoding="utf-8")
        for number, snippet in enumerate(
            re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        ):
            (folder / f"{document.removesuffix('.md').replace('-', '_')}_{number}.py").write_text(
                snippet, encoding="utf-8"
            )
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
    # What the checks of this project know of the standard library by now is taken over: to find it out again is most of
    # the work. It takes their options.
    options = "--strict --warn-unreachable --explicit-package-bases --namespace-packages".split()
    if (ROOT / ".mypy_cache").is_dir():
        shutil.copytree(ROOT / ".mypy_cache", folder / ".cache")
    command = [sys.executable, "-m", "mypy", *options, "--cache-dir", str(folder / ".cache"), "."]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=55)
    assert not done.stderr, done.stderr
    said: dict[str, str] = {}
    for line in done.stdout.splitlines():
        name, _, text = line.partition(":")
        said[name] = said.get(name, "") + text + "\n"
    return said


def test_what_is_right_has_no_error(checked: dict[str, str]) -> None:
    """The plugin above, and all that the documents show."""
    assert {
        name: said for name, said in checked.items() if name and not name.startswith(("wrong", "Found"))
    } == {}


@pytest.mark.parametrize("line", WRONG)
def test_a_mistake_is_told(line: str, checked: dict[str, str]) -> None:
    said = checked[f"wrong{list(WRONG).index(line)}_plugin.py"]
    assert WRONG[line] in said and said.count("error:") == 1, said
