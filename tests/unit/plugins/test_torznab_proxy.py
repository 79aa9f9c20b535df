"""The search over Torznab, against pyackett: a Jackett-compatible proxy that nobody here wrote.

It scrapes a small tracker that this test serves. `pip install pyackett` (Python 3.12 or newer) makes the test run.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

PROXY = shutil.which(
    "pyackett", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
)
KEY = "5f2a9c1d7e8b4a6f"
HASH = "c12fe1c06bba254a9dc9f519b335aa7c1367a88a"

pytestmark = pytest.mark.skipif(PROXY is None, reason="pyackett is not installed (pip install pyackett)")

DEFINITION = """\
---
id: bunnies
name: Bunnies
description: "A tracker of a test"
language: en-US
type: public
encoding: UTF-8
links:
  - {site}/
caps:
  categorymappings:
    - {{id: 1, cat: Movies/HD, desc: "HD movies"}}
    - {{id: 2, cat: TV/Anime, desc: "Anime"}}
  modes:
    search: [q]
    tv-search: [q, season, ep]
settings: []
search:
  paths:
    - path: browse
  inputs:
    q: "{{{{ .Keywords }}}}"
  rows:
    selector: table.torrents > tbody > tr
  fields:
    category:
      selector: td.cat
    title:
      selector: a.name
    details:
      selector: a.name
      attribute: href
    download:
      selector: a.get
      attribute: href
    size:
      selector: td.size
    date:
      text: now
    seeders:
      selector: td.seeders
    leechers:
      selector: td.leechers
    downloadvolumefactor:
      text: 0
    uploadvolumefactor:
      text: 1
"""


def row(number: int, category: int, link: str) -> str:
    return (
        f'<tr><td class="cat">{category}</td>'
        f'<td><a class="name" href="/t/{number}">兔子 Bunny {number} &amp; co</a></td>'
        f'<td><a class="get" href="{link}">get</a></td><td class="size">4.3 GB</td>'
        f'<td class="seeders">{number}</td><td class="leechers">1</td></tr>'
    )


@pytest.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[str]:
    """The address of the running proxy, with the one tracker configured."""

    async def browse(request: web.Request) -> web.Response:
        rows = [row(number, 1 + number % 2, f"/get/{number}.torrent") for number in range(1, 131)]
        rows[0] = row(1, 1, f"magnet:?xt=urn:btih:{HASH}&amp;dn=bunny")
        table = f'<table class="torrents"><tbody>{"".join(rows)}</tbody></table>'
        return web.Response(text=f"<html><body>{table}</body></html>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/browse", browse)
    app.router.add_get("/", browse)
    async with TestServer(app, host="127.0.0.1") as tracker:
        site = str(tracker.make_url("")).rstrip("/")
        definitions = tmp_path / "definitions"
        definitions.mkdir()
        (definitions / "bunnies.yml").write_text(DEFINITION.format(site=site), encoding="utf-8")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        log = (tmp_path / "pyackett.log").open("wb")
        arguments = ["--host", "127.0.0.1", "--port", str(port), "--api-key", KEY]
        arguments += ["--config-dir", str(tmp_path / "config"), "--definitions-dir", str(definitions)]
        process = await asyncio.create_subprocess_exec(str(PROXY), *arguments, stdout=log, stderr=log)
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
                await until_configured(session, process)
            yield f"http://127.0.0.1:{port}/api/v2.0/indexers"
        finally:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()
            log.close()


async def until_configured(session: aiohttp.ClientSession, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(40):
        while process.returncode is None:
            try:
                async with session.post("/api/v2.0/indexers/bunnies/config", json={}) as response:
                    assert response.status == 200, await response.text()
                    return
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.05)
    raise AssertionError(f"pyackett ended with {process.returncode}")


async def test_a_real_proxy_is_searched(make: Callable[..., Any], proxy: str) -> None:
    indexers = [{"name": "Jackett", "url": f"{proxy}/bunnies/results/torznab/", "api_key": KEY}]
    plugin = make("search", "torznab_plugin", indexers=indexers, limit=500)
    found = [one async for one in plugin.search("bunny")]
    assert len(found) == 130  # two pages
    by_title = {one.title: one for one in found}
    first = by_title["兔子 Bunny 1 & co"]
    assert first.url == first.metadata["magnet"]
    assert first.metadata["infohash"] == HASH
    second = by_title["兔子 Bunny 2 & co"]
    assert urlsplit(second.url).path.startswith("/api/v2.0/dl")
    assert (second.metadata["seeders"], second.metadata["leechers"], second.metadata["tracker"]) == (
        2,
        1,
        "Bunnies",
    )
    assert second.metadata["size"] == pytest.approx(4.3 * 2**30, rel=0.01)
    assert second.description == "4.3 GiB · 2 seeders · Movies/HD"
    assert second.metadata["downloadvolumefactor"] == 0.0
    assert by_title["兔子 Bunny 3 & co"].metadata["category"] == "TV/Anime"


async def test_its_errors_are_understood(make: Callable[..., Any], proxy: str) -> None:
    for indexer, key, says in (
        ("bunnies", "wrong-key", "the API key is wrong.*Invalid API key"),
        ("nobody", KEY, "Unknown indexer: nobody"),
    ):
        url = f"{proxy}/{indexer}/results/torznab/"
        plugin = make("search", "torznab_plugin", indexers=[{"name": "Jackett", "url": url, "api_key": key}])
        with pytest.raises(ConnectionError, match=says):
            [one async for one in plugin.search("bunny")]
