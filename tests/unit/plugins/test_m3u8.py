"""The `m3u8` parser against playlists made by ffmpeg and others, over real sockets."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web


class Peer:
    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()
        self.headers: dict[str, str] = {}
        self.query: dict[str, str] = {}
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked[request.path] += 1
        self.headers, self.query = dict(request.headers), dict(request.query)
        if request.path == "/moved.m3u8":
            return web.Response(status=302, headers={"Location": "/deep/list.m3u8"})
        if request.path == "/hangs":
            await asyncio.sleep(10)
        body = self.files.get(request.path)
        return web.Response(status=404) if body is None else web.Response(body=body)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    found = Peer()
    app = web.Application()
    app.router.add_get("/{path:.*}", found.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


MASTER = b"""#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="English",LANGUAGE="en",DEFAULT=YES,URI="audio/en.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="Inside",LANGUAGE="zh"
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="Subs",URI="subs.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=800000,RESOLUTION=640x360,CODECS="avc1.4d401e,mp4a.40.2",FRAME-RATE=25.000
low/list.m3u8?token=1
#EXT-X-STREAM-INF:BANDWIDTH=5200000,RESOLUTION=1920x1080,CODECS="avc1.640028,mp4a.40.2",FRAME-RATE=50,AUDIO="a"
https://cdn.example/high.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS="mp4a.40.2"
sound.m3u8
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI="frames.m3u8"
"""


async def test_a_master_playlist_gives_its_variants_best_first(make: Callable[..., Any], peer: Peer) -> None:
    peer.files["/v/master.m3u8"] = MASTER
    plugin = make("parser", "m3u8_plugin", referer="https://site.example/", user_agent="Mine/1")
    url = f"{peer.url}/v/master.m3u8?key=a%2Fb"
    assert plugin.can_parse(url)
    high, low, sound = await plugin.parse_url(url)
    assert high == {
        "name": "1080p · 5.2 Mbit/s",
        "url": "https://cdn.example/high.m3u8",
        "kind": "variant",
        "bandwidth": 5_200_000,
        "width": 1920,
        "height": 1080,
        "codecs": "avc1.640028,mp4a.40.2",
        "frame_rate": 50.0,
        "audio": [
            {
                "group": "a",
                "name": "English",
                "language": "en",
                "default": True,
                "url": f"{peer.url}/v/audio/en.m3u8",
            },
            {"group": "a", "name": "Inside", "language": "zh", "default": False, "url": None},
        ],
    }
    assert low["name"] == "360p · 800 kbit/s" and low["url"] == f"{peer.url}/v/low/list.m3u8?token=1"
    assert low["audio"] == [] and low["frame_rate"] == 25.0
    assert sound["name"] == "64 kbit/s" and sound["height"] is None
    assert peer.headers["User-Agent"] == "Mine/1" and peer.headers["Referer"] == "https://site.example/"
    assert peer.query == {"key": "a/b"}


async def test_a_media_playlist_gives_one_entry_also_after_a_redirect(
    make: Callable[..., Any], peer: Peer
) -> None:
    peer.files["/deep/list.m3u8"] = (
        b'#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-KEY:METHOD=AES-128,URI="k"\n'
        b"#EXTINF:4.0,\na.ts\n#EXTINF:2.5,\nb.ts\n#EXT-X-ENDLIST\n"
    )
    plugin = make("parser", "m3u8_plugin")
    assert await plugin.parse_url(f"{peer.url}/moved.m3u8") == [
        {
            "name": "list.m3u8",
            "url": f"{peer.url}/deep/list.m3u8",
            "kind": "media",
            "duration": 6.5,
            "segments": 2,
            "encrypted": True,
            "live": False,
        }
    ]
    peer.files["/live.m3u8"] = b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na.ts\n"
    [live] = await plugin.parse_url(f"{peer.url}/live.m3u8")
    assert live["live"] and not live["encrypted"] and live["segments"] == 1
    peer.files["/drm.m3u8"] = (
        b'#EXTM3U\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://x"\n#EXTINF:4,\na.ts\n#EXT-X-ENDLIST'
    )
    [drm] = await plugin.parse_url(f"{peer.url}/drm.m3u8")
    assert "SAMPLE-AES" in drm["protected"]


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
async def test_what_ffmpeg_writes_is_understood(make: Callable[..., Any], peer: Peer, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    subprocess.run(
        [
            *"ffmpeg -v error -nostdin -f lavfi -i testsrc=size=320x180:rate=25:duration=3".split(),
            *"-f lavfi -i sine=duration=3 -map 0:v -map 0:v -map 1:a -map 1:a -c:v libx264".split(),
            *"-preset ultrafast -g 25 -s:v:1 160x90 -b:v:0 500k -b:v:1 100k -c:a aac -f hls".split(),
            *["-hls_time", "1", "-hls_playlist_type", "vod", "-master_pl_name", "master.m3u8"],
            *["-var_stream_map", "v:0,a:0 v:1,a:1", "v%v.m3u8"],
        ],
        cwd=folder,
        check=True,
        timeout=50,
    )
    peer.files = {f"/{path.name}": path.read_bytes() for path in folder.iterdir()}
    plugin = make("parser", "m3u8_plugin")
    variants = await plugin.parse_url(f"{peer.url}/master.m3u8")
    assert [(one["width"], one["height"]) for one in variants] == [(320, 180), (160, 90)]
    assert all(one["name"].startswith(f"{one['height']}p · ") and one["bandwidth"] for one in variants)
    assert all("mp4a" in one["codecs"] for one in variants)
    [media] = await plugin.parse_url(variants[0]["url"])
    assert media["segments"] == 3 and abs(media["duration"] - 3) < 0.2 and not media["live"]


async def test_a_plain_list_gives_its_entries_by_title(make: Callable[..., Any], peer: Peer) -> None:
    peer.files["/tv.m3u"] = (
        '\ufeff#EXTM3U\r\n#EXTINF:-1 tvg-name="a,b" group="x",中央一套, HD\r\nhttp://tv.example/1\r\n'
        "#EXTINF:-1,\r\nsub/two.mp3\r\n#EXTINF:-1,Bad\r\nrtmp://tv.example/3\r\n"
    ).encode()
    plugin = make("parser", "m3u8_plugin")
    assert await plugin.parse_url(f"{peer.url}/tv.m3u") == [
        {"name": "中央一套, HD", "url": "http://tv.example/1", "kind": "entry"},
        {"name": "two.mp3", "url": f"{peer.url}/sub/two.mp3", "kind": "entry"},
    ]


async def test_resolvers_take_any_web_address(make: Callable[..., Any], peer: Peer) -> None:
    page = "https://v.example/第1集.html?a=1&b=2#t"
    encoded = quote(page, safe="")
    plugin = make("parser", "m3u8_plugin")
    assert not plugin.can_parse(page)
    with pytest.raises(ValueError, match="no resolver is configured"):
        await plugin.parse_url(page)
    plugin.set_config(
        {
            "resolvers": [
                {"name": "One", "url": "https://jx.example.org/?url="},
                {"name": "", "url": "https://two.example/{url}/play", "type": "page"},
                {"name": "Off", "url": "https://off.example/?url=", "enabled": False},
                {"name": "Broken", "url": ""},
                "https://bare.example/?u=",
            ]
        }
    )
    assert (
        plugin.can_parse(page) and not plugin.can_parse("magnet:?xt=1") and not plugin.can_parse("http://[")
    )
    found = await plugin.parse_url(page)
    assert [(one["name"], one["url"]) for one in found] == [
        ("One", f"https://jx.example.org/?url={encoded}"),
        ("two.example", f"https://two.example/{encoded}/play"),
        ("bare.example", f"https://bare.example/?u={encoded}"),
    ]


async def test_a_resolver_may_answer_in_json_and_a_failing_one_costs_only_itself(
    make: Callable[..., Any], peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    page = "https://v.example/1.html?a=1&b=2"
    peer.files["/top"] = b'{"code": 200, "url": "https://cdn.example/1.m3u8"}'
    peer.files["/below"] = b'{"code": 200, "data": {"url": "/1.m3u8"}}'
    peer.files["/none"] = b'{"code": 404, "msg": "no"}'
    peer.files["/html"] = b"<html>"
    peer.files["/evil"] = b'{"url": "file:///etc/passwd"}'
    resolvers = [
        {"name": name, "url": f"{peer.url}/{name}?url=", "type": "json"}
        for name in ("top", "none", "html", "missing", "evil", "hangs", "below")
    ]
    plugin = make("parser", "m3u8_plugin", resolvers=resolvers, timeout_s="0.3")
    found = await plugin.parse_url(page)
    assert [(one["name"], one["url"]) for one in found] == [
        ("top", "https://cdn.example/1.m3u8"),
        ("below", f"{peer.url}/1.m3u8"),
    ]
    assert "gave no address" in caplog.text and "did not answer with JSON" in caplog.text
    assert "HTTP 404" in caplog.text and "too slow" in caplog.text and "not a web address" in caplog.text
    plugin.set_config({"resolvers": resolvers[1:2]})
    with pytest.raises(ValueError, match="the resolver none gave no address"):
        await plugin.parse_url(page)
    assert peer.query == {"url": page}


async def test_a_dead_playlist_leaves_the_resolvers(make: Callable[..., Any], peer: Peer) -> None:
    plugin = make("parser", "m3u8_plugin", resolvers=[{"name": "One", "url": "https://jx.example/?url="}])
    [entry] = await plugin.parse_url(f"{peer.url}/gone.m3u8")
    assert entry["name"] == "One"
    plugin.set_config({})
    with pytest.raises(RuntimeError, match=r"gone\.m3u8: HTTP 404"):
        await plugin.parse_url(f"{peer.url}/gone.m3u8")


async def test_patterns_name_more_addresses_and_a_wrong_one_harms_nobody(
    make: Callable[..., Any], peer: Peer
) -> None:
    peer.files["/play.php"] = b"#EXTM3U\n#EXTINF:4,\na.ts\n#EXT-X-ENDLIST"
    plugin = make("parser", "m3u8_plugin", patterns=r"( /play\.php\?type=hls")
    assert plugin.can_parse("https://x.example/a/B.M3U8?x#y") and plugin.can_parse("http://x.example/a.m3u")
    assert not plugin.can_parse(f"{peer.url}/play.php?type=flv")
    assert not plugin.can_parse("file:///a.m3u8") and not plugin.can_parse("https://x.example/?u=a.m3u8")
    [media] = await plugin.parse_url(f"{peer.url}/play.php?type=hls")
    assert media["segments"] == 1
    peer.files["/play.php"] = b"<html>"
    with pytest.raises(ValueError, match="not an HLS playlist"):
        await plugin.parse_url(f"{peer.url}/play.php?type=hls")
