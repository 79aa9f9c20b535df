"""Plugins to measure with."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

LINES = 200

_HEAD = '''"""Searches a catalogue: a plugin as there are many."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urljoin, urlsplit

from service.sdk import ConfigField, SearchPlugin, SearchResult

BASE = "https://catalogue.example/"
TITLE = re.compile(r"<h2[^>]*>(?P<title>.*?)</h2>", re.DOTALL)
LINK = re.compile(r\'href="(?P<href>[^"]+)"\')
DURATION = re.compile(r"(?:(?P<hours>\\d+):)?(?P<minutes>\\d{1,2}):(?P<seconds>\\d{2})")
log = logging.getLogger(__name__)


@dataclass
class Entry:
    """One entry of a page."""

    title: str
    url: str
    seconds: int = 0
    tags: list[str] = field(default_factory=list)
    seen: datetime | None = None

    def result(self, platform: str) -> SearchResult:
        """The entry as clients get it."""
        return SearchResult(
            title=self.title,
            url=self.url,
            duration=str(timedelta(seconds=self.seconds)),
            platform=platform,
            metadata={"tags": sorted(self.tags), "seen": self.seen.isoformat() if self.seen else None},
        )


class CataloguePlugin(SearchPlugin):
    """The plugin."""

    name = "NAME"
    version = "VERSION"
    description = "Searches the catalogue"

    def __init__(self) -> None:
        self.pages: dict[str, list[Entry]] = {}
        self.requests = 0

    def get_config_schema(self) -> list[ConfigField]:
        return [
            ConfigField(name="base", label="Base URL", type="text", default=BASE),
            ConfigField(name="limit", label="Results", type="number", default=20),
            ConfigField(name="token", label="Token", type="password"),
        ]

    async def search(self, keyword: str, **kwargs: Any) -> list[SearchResult]:
        self.requests += 1
        entry = Entry(title=f"{keyword} VERSION", url=urljoin(BASE, quote(keyword)))
        return [entry.result("catalogue")]

    async def get_video_info(self, url: str) -> SearchResult:
        path = urlsplit(url).path
        return Entry(title=path.rpartition("/")[2] or "?", url=url).result("catalogue")

    def address(self, keyword: str, page: int = 1) -> str:
        """Where a page of results is."""
        query = urlencode({"q": keyword, "page": page})
        return f"{self.config.get('base', BASE)}search?{query}"

    def entries(self, page: str) -> Iterator[Entry]:
        """The entries of a page."""
        for title, link in zip(TITLE.finditer(page), LINK.finditer(page), strict=False):
            yield Entry(title["title"].strip(), urljoin(BASE, link["href"]))

'''
_METHOD = '''    def field_{n}(self, record: dict[str, Any]) -> str | None:
        """Field {n} of a record, as the catalogue writes it."""
        value = record.get("field_{n}")
        if isinstance(value, list):
            value = ", ".join(str(item) for item in value if item)
        elif isinstance(value, dict):
            value = json.dumps(value, ensure_ascii=False, sort_keys=True)
        if match := DURATION.fullmatch(str(value or "")):
            log.debug("field %s is a duration: %s", {n}, match.groupdict())
        return parse_qs(value).get("v", [value])[0] if value and "=" in value else value

'''


def catalogue(name: str, version: str) -> bytes:
    """A search plugin of 200 lines on the standard library; its version is in what it finds, too."""
    lines = _HEAD.replace("NAME", name).replace("VERSION", version).splitlines()
    number = 0
    while len(lines) < LINES:
        lines += _METHOD.format(n=number).splitlines()
        number += 1
    # The last method may be cut off where a statement ends.
    while len(lines) > LINES or not lines[-1].startswith("        return"):
        lines.pop()
    lines += [f"# {name} {version}"] * (LINES - len(lines))
    return ("\n".join(lines) + "\n").encode()


def small(name: str, version: str = "1.0.0", *, needs: Sequence[str] = (), imports: str = "") -> bytes:
    """A search plugin of a few lines that gives one result.

    Args:
        name: of it.
        version: of it.
        needs: the packages that it depends on.
        imports: a module that it imports besides.
    """
    head = f"# /// script\n# dependencies = {json.dumps(list(needs))}\n# ///\n" if needs else ""
    first = f"import {imports}\n" if imports else ""
    return f'''{head}"""Finds what it is asked for."""

{first}from service.sdk import SearchPlugin, SearchResult


class SmallPlugin(SearchPlugin):
    name = "{name}"
    version = "{version}"
    description = "Finds what it is asked for"

    async def search(self, keyword, **kwargs):
        return [SearchResult(title=keyword, url="https://example.org/")]
'''.encode()


def plugin_path(home: Path, name: str) -> Path:
    """Where a search plugin lies."""
    return home / "plugins" / "search" / f"{name}_plugin.py"


def put(path: Path, source: bytes) -> None:
    """Write a file that no server watches yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(source)


def rename_into(path: Path, source: bytes) -> float:
    """Let a file be there by a rename, as editors save.

    Returns:
        `time.perf_counter()` just before it.
    """
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(source)
    began = time.perf_counter()
    os.replace(fresh, path)
    return began
