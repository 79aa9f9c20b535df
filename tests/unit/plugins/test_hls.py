"""The `hls` plugin against streams made by ffmpeg and served by nginx, and against servers that misbehave."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from service.sdk import DownloadTask

needs_ffmpeg = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="ffmpeg is not installed"
)
needs_nginx = pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Desk:
    """What the server does for a task: keeps checkpoints and reports, and says why it was stopped."""

    def __init__(self) -> None:
        self.checkpoints: list[dict[str, Any]] = []
        self.reports: list[dict[str, Any]] = []
        self.why: str | None = None
        self.seen = asyncio.Event()

    def task(self, url: str, title: str = "film", **more: Any) -> DownloadTask:
        resume = self.checkpoints[-1] if self.checkpoints else None
        self.why = None
        return DownloadTask(
            id="t1",
            url=url,
            title=title,
            resume=resume,
            _send=self._send,
            _stopped_for=lambda: self.why,
            **more,
        )

    async def _send(self, kind: str, data: dict[str, Any]) -> None:
        (self.checkpoints if kind == "checkpoint" else self.reports).append(json.loads(json.dumps(data)))
        self.seen.set()

    async def stop(self, running: asyncio.Task[Any], why: str) -> None:
        self.why = why
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def until(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.01)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def encrypted(data: bytes, key: bytes, iv: bytes) -> bytes:
    padder = PKCS7(128).padder()
    cipher = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return cipher.update(padder.update(data) + padder.finalize()) + cipher.finalize()


class Peer:
    """A server of files, of which each may misbehave."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.handlers: dict[str, Handler] = {}
        self.asked: Counter[str] = Counter()
        self.headers: dict[str, dict[str, str]] = {}
        self.busy = self.busiest = 0
        self.url = ""
        self.port = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.asked[path] += 1
        self.headers[path] = dict(request.headers)
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            if path in self.handlers:
                return await self.handlers[path](request)
            return self.answer(request)
        finally:
            self.busy -= 1

    def answer(self, request: web.Request) -> web.Response:
        if request.path not in self.files:
            return web.Response(status=404)
        data = self.files[request.path]
        if request.headers.get("Range"):
            wanted = request.http_range
            piece = data[wanted.start : wanted.stop]
            about = f"bytes {wanted.start}-{wanted.start + len(piece) - 1}/{len(data)}"
            return web.Response(status=206, body=piece, headers={"Content-Range": about})
        return web.Response(body=data)

    def playlist(self, path: str, *lines: str, ended: bool = True) -> str:
        end = ["#EXT-X-ENDLIST"] if ended else []
        text = "\n".join(["#EXTM3U", "#EXT-X-TARGETDURATION:1", *lines, *end]) + "\n"
        self.files[path] = text.encode()
        return self.url + path

    def stream(self, count: int, seed: int = 1, size: int = 3000) -> tuple[str, bytes]:
        """A plain stream of so many segments, and all its bytes."""
        random_ = random.Random(seed)
        lines, whole = [], b""
        for number in range(count):
            data = random_.randbytes(random_.randrange(1, size))
            self.files[f"/s/{number}.ts"] = data
            lines += ["#EXTINF:1.0,", f"{number}.ts"]
            whole += data
        return self.playlist("/s/list.m3u8", *lines), whole


@asynccontextmanager
async def serving() -> AsyncIterator[Peer]:
    peer = Peer()
    app = web.Application()
    app.router.add_get("/{path:.*}", peer.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    peer.port = runner.addresses[0][1]
    peer.url = f"http://127.0.0.1:{peer.port}"
    try:
        yield peer
    finally:
        await runner.cleanup()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with serving() as found:
        yield found


@pytest.fixture
def hls(make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The plugin, which waits a little only before it tries again."""
    plugin = make("download", "hls_plugin", timeout_s=1, retries=3)
    monkeypatch.setattr("plugins.shared.web_documents.BACKOFF_S", 0.01)
    return plugin


async def run(plugin: Any, url: str, desk: Desk | None = None, **more: Any) -> Path:
    task = (desk or Desk()).task(url, **more)
    assert await plugin.download(task)
    assert task.save_path is not None
    return Path(task.save_path)


# --- real streams -----------------------------------------------------------------------------------------------------

SOURCE = (
    "-f lavfi -i testsrc=size=320x180:rate=10:duration=12 -f lavfi -i sine=frequency=440:duration=12 "
    "-c:v libx264 -preset ultrafast -g 10 -c:a aac -b:a 64k -hls_time 1 -hls_playlist_type vod"
).split()


def ffmpeg(folder: Path, *arguments: str) -> None:
    subprocess.run(
        ["ffmpeg", "-v", "error", "-nostdin", "-y", *arguments], cwd=folder, check=True, timeout=50
    )


def probed(path: Path) -> tuple[list[str], float, int]:
    """The codecs, the duration and the number of pictures that decode without a complaint."""
    answer = subprocess.run(
        ["ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", str(path)],
        check=True,
        capture_output=True,
        timeout=50,
    )
    found = json.loads(answer.stdout)
    codecs = sorted(stream["codec_name"] for stream in found["streams"])
    counted = subprocess.run(
        [
            *"ffprobe -v error -count_frames -select_streams v -of csv=p=0".split(),
            *["-show_entries", "stream=nb_read_frames", str(path)],
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert counted.stderr == ""
    pictures = int(counted.stdout.split()[0].strip(",")) if counted.stdout.strip() else 0
    return codecs, float(found["format"]["duration"]), pictures


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Streams by ffmpeg: plain, fMP4, both in one file, and in two qualities with the audio apart."""
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")
    root = tmp_path_factory.mktemp("streams")
    for name in ("ts", "fmp4", "single", "fmp4single", "master"):
        (root / name).mkdir()
    ffmpeg(root / "ts", *SOURCE, "list.m3u8")
    ffmpeg(root / "fmp4", *SOURCE, "-hls_segment_type", "fmp4", "list.m3u8")
    ffmpeg(root / "single", *SOURCE, "-hls_flags", "single_file", "list.m3u8")
    ffmpeg(
        root / "fmp4single", *SOURCE, "-hls_segment_type", "fmp4", "-hls_flags", "single_file", "list.m3u8"
    )
    ffmpeg(
        root / "master",
        *"-f lavfi -i testsrc=size=640x360:rate=10:duration=6 -f lavfi -i sine=duration=6".split(),
        *"-map 0:v -map 0:v -map 1:a -c:v libx264 -preset ultrafast -g 10 -s:v:1 320x180".split(),
        *"-b:v:0 800k -b:v:1 200k -c:a aac -f hls -hls_time 1 -hls_playlist_type vod".split(),
        *["-var_stream_map", "v:0,agroup:a v:1,agroup:a a:0,agroup:a,default:yes,language:en"],
        *["-master_pl_name", "master.m3u8", "v%v.m3u8"],
    )
    return root


@pytest.fixture(scope="module")
def nginx(streams: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """nginx with the streams; gives its address."""
    if not shutil.which("nginx"):
        pytest.skip("nginx is not installed")
    folder = tmp_path_factory.mktemp("nginx")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    temporary = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log; "
        f"{'user root;' if os.getuid() == 0 else ''} events {{}} http {{ access_log off; {temporary} "
        f"types {{ application/vnd.apple.mpegurl m3u8; }} gzip on; gzip_types application/vnd.apple.mpegurl; "
        f"gzip_min_length 1; server {{ listen 127.0.0.1:{port}; root {streams}; }} }}"
    )
    command = ["nginx", "-e", f"{folder}/error.log", "-p", str(folder), "-c", f"{folder}/nginx.conf"]
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, "nginx does not start"
                time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def joined(folder: Path, pattern: str) -> bytes:
    found = sorted(folder.glob(pattern), key=lambda path: int("".join(filter(str.isdigit, path.stem)) or 0))
    assert found
    return b"".join(path.read_bytes() for path in found)


@needs_ffmpeg
@needs_nginx
async def test_a_plain_stream_is_joined_and_plays(hls: Any, nginx: str, streams: Path) -> None:
    desk = Desk()
    path = await run(hls, f"{nginx}/ts/list.m3u8", desk, title="斗罗大陆 第1集")
    assert path == hls.downloads_dir / "斗罗大陆 第1集.ts"
    assert path.read_bytes() == joined(streams / "ts", "list*.ts")
    codecs, seconds, pictures = probed(path)
    assert codecs == ["aac", "h264"] and abs(seconds - 12) < 0.5 and pictures == 120
    assert desk.reports[-1]["progress"] == 100
    assert desk.reports[-1]["downloaded"] == path.stat().st_size
    assert files(hls.downloads_dir) == [path.name]


@needs_ffmpeg
@needs_nginx
async def test_fragmented_mp4_gets_its_initialisation_section(hls: Any, nginx: str, streams: Path) -> None:
    path = await run(hls, f"{nginx}/fmp4/list.m3u8")
    assert path.name == "film.mp4"
    init = (streams / "fmp4" / "init.mp4").read_bytes()
    assert path.read_bytes() == init + joined(streams / "fmp4", "list*.m4s")
    assert probed(path)[0::2] == (["aac", "h264"], 120)


@needs_ffmpeg
@needs_nginx
@pytest.mark.parametrize(("folder", "whole"), [("single", "list.ts"), ("fmp4single", "list.m4s")])
async def test_byte_ranges_of_one_file_give_that_file(
    hls: Any, nginx: str, streams: Path, folder: str, whole: str
) -> None:
    path = await run(hls, f"{nginx}/{folder}/list.m3u8")
    assert path.read_bytes() == (streams / folder / whole).read_bytes()
    assert probed(path)[2] == 120


@needs_ffmpeg
@needs_nginx
async def test_the_best_variant_comes_with_its_audio_beside_it(hls: Any, nginx: str, streams: Path) -> None:
    task = Desk().task(f"{nginx}/master/master.m3u8")
    assert await hls.download(task)
    assert files(hls.downloads_dir) == ["film.audio.ts", "film.ts"]
    video, audio = hls.downloads_dir / "film.ts", hls.downloads_dir / "film.audio.ts"
    assert video.read_bytes() == joined(streams / "master", "v0?*.ts")
    assert audio.read_bytes() == joined(streams / "master", "v2?*.ts")
    assert probed(video)[0] == ["h264"] and probed(audio)[0] == ["aac"]
    assert task.metadata["audio_files"] == {"audio": str(audio)}
    assert task.metadata["variant"]["height"] == 360


@needs_ffmpeg
@needs_nginx
@pytest.mark.parametrize("limit", [{"max_height": "200"}, {"max_bandwidth": 300_000}, {"max_height": 1}])
async def test_a_limit_chooses_a_lesser_variant(
    hls: Any, nginx: str, streams: Path, limit: dict[str, Any]
) -> None:
    path = await run(hls, f"{nginx}/master/master.m3u8", metadata={**limit, "audio": "none"})
    assert path.read_bytes() == joined(streams / "master", "v1?*.ts")
    assert files(hls.downloads_dir) == ["film.ts"]


@needs_ffmpeg
@needs_nginx
async def test_rotating_keys_by_ffmpeg_give_back_the_clear_stream(
    hls: Any, nginx: str, streams: Path
) -> None:
    """ffmpeg writes a live stream and reads its key file anew for each segment; the key is exchanged meanwhile."""
    folder = streams / "keys"
    folder.mkdir()
    keys = {name: os.urandom(16) for name in ("k0.bin", "k1.bin", "k2.bin")}
    for name, key in keys.items():
        (folder / name).write_bytes(key)
    info = folder / "info"
    info.write_text(f"k0.bin\n{folder}/k0.bin\n")
    process = await asyncio.create_subprocess_exec(
        # Three seconds of film in one of ours: enough time to join it and to exchange the keys.
        *"ffmpeg -v error -nostdin -readrate 3 -f lavfi -i testsrc=size=160x90:rate=10:duration=12".split(),
        *"-c:v libx264 -preset ultrafast -g 10 -f hls -hls_time 1 -hls_list_size 0".split(),
        *"-hls_flags periodic_rekey -hls_key_info_file info list.m3u8".split(),
        cwd=folder,
    )
    try:
        await until(lambda: (folder / "list2.ts").exists())
        for name in ("k1.bin", "k2.bin"):
            written = len(list(folder.glob("list*.ts")))
            fresh = folder / "fresh"
            fresh.write_text(f"{name}\n{folder}/{name}\n")
            fresh.replace(info)
            await until(lambda written=written: len(list(folder.glob("list*.ts"))) >= written + 2)
            if name == "k1.bin":
                # Joined while it is still being written: a live stream, followed to its end.
                download = asyncio.create_task(run(hls, f"{nginx}/keys/list.m3u8"))
        path = await download
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = (folder / "list.m3u8").read_text()
    assert all(f'URI="{name}"' in text for name in keys), text
    again = await run(hls, f"{nginx}/keys/list.m3u8", title="again")
    assert again.read_bytes() == path.read_bytes()
    # The judge is openssl's and ffmpeg's own reading of the same stream.
    ffmpeg(folder, *"-allowed_extensions ALL -i list.m3u8 -c copy -f md5 judge".split())
    ffmpeg(folder, "-i", str(path), *"-c copy -f md5 mine".split())
    assert (folder / "mine").read_text() == (folder / "judge").read_text()
    assert probed(path)[2] == 120


# --- what must hold ---------------------------------------------------------------------------------------------------


async def test_500_segments_missing_slow_and_lying_with_key_rotation_are_exactly_right(
    hls: Any, peer: Peer
) -> None:
    random_ = random.Random(7)
    lines, whole = [], b""
    keys = [random_.randbytes(16) for _ in range(9)]
    for number, key in enumerate(keys):
        peer.files[f"/keys/{number}.bin"] = key
    for number in range(500):
        data = random_.randbytes(random_.randrange(1, 40_000))
        whole += data
        key_number, kind = divmod(number // 5, 11)
        if number % 5 == 0:
            if kind == 3:
                lines.append("#EXT-X-KEY:METHOD=NONE")
            elif kind % 2:
                lines.append(f'#EXT-X-KEY:METHOD=AES-128,URI="../keys/{key_number % 9}.bin",IV=0xABC{number}')
            else:
                lines.append(f'#EXT-X-KEY:METHOD=AES-128,URI="/keys/{key_number % 9}.bin"')
        if kind != 3:
            iv = int(f"ABC{number // 5 * 5}", 16) if kind % 2 else 1000 + number
            data = encrypted(data, keys[key_number % 9], iv.to_bytes(16, "big"))
        peer.files[f"/big/{number}.ts"] = data
        lines += [f"#EXTINF:{random_.random():.3f},", f"{number}.ts?token={number}"]

    async def hangs(request: web.Request) -> web.StreamResponse:
        if peer.asked[request.path] == 1:
            response = web.StreamResponse(headers={"Content-Length": "9999"})
            await response.prepare(request)
            await response.write(b"x" * 10)
            await asyncio.sleep(5)
            return response
        return peer.answer(request)

    async def missing(request: web.Request) -> web.StreamResponse:
        return web.Response(status=404) if peer.asked[request.path] < 3 else peer.answer(request)

    async def lies(request: web.Request) -> web.StreamResponse:
        data = peer.files[request.path]
        if peer.asked[request.path] < 3:
            response = web.StreamResponse(headers={"Content-Length": str(len(data) + 7)})
            await response.prepare(request)
            await response.write(data)
            assert request.transport is not None
            request.transport.close()
            return response
        return web.Response(body=data)

    for number in random_.sample(range(500), 3):
        peer.handlers[f"/big/{number}.ts"] = hangs
    for number in random_.sample(range(500), 60):
        peer.handlers[f"/big/{number}.ts"] = missing
    for number in random_.sample(range(500), 60):
        peer.handlers[f"/big/{number}.ts"] = lies
    url = peer.playlist("/big/list.m3u8", "#EXT-X-MEDIA-SEQUENCE:1000", *lines)
    path = await run(hls, url)
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(whole).digest()
    assert all(peer.asked[f"/keys/{number}.bin"] == 1 for number in range(9))
    assert 2 <= peer.busiest <= 8 + 2
    assert files(hls.downloads_dir) == [path.name]


async def test_a_segment_that_stays_missing_is_named_and_nothing_is_half_named(hls: Any, peer: Peer) -> None:
    url, _ = peer.stream(500)
    del peer.files["/s/300.ts"]
    with pytest.raises(
        RuntimeError, match=r"segment 301 of 500 .*/s/300\.ts failed after 4 attempts: HTTP 404"
    ):
        await run(hls, url)
    assert peer.asked["/s/300.ts"] == 4
    assert files(hls.downloads_dir) == ["film.ts.part"]


async def test_retry_after_a_failure_goes_on_from_there(hls: Any, peer: Peer) -> None:
    url, whole = peer.stream(200)
    gone = peer.files.pop("/s/150.ts")
    desk = Desk()
    with pytest.raises(RuntimeError, match=r"150\.ts"):
        await run(hls, url, desk)
    saved = desk.checkpoints[-1]["tracks"]["video"]
    assert saved["segments"] > 100 and saved["size"] <= (hls.downloads_dir / "film.ts.part").stat().st_size
    peer.files["/s/150.ts"] = gone
    before = peer.asked["/s/0.ts"]
    path = await run(hls, url, desk)
    assert path.read_bytes() == whole and peer.asked["/s/0.ts"] == before
    assert files(hls.downloads_dir) == ["film.ts"]


@pytest.mark.parametrize(("extra", "at_once"), [(7, True), (-7, True), (-7, False)])
async def test_a_segment_that_always_lies_about_its_length_is_named(
    hls: Any, peer: Peer, extra: int, at_once: bool
) -> None:
    url, _ = peer.stream(20)

    async def lies(request: web.Request) -> web.StreamResponse:
        data = peer.files[request.path].ljust(100, b".")
        assert request.transport is not None
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(data) + extra)
        request.transport.write(head + (data if at_once else data[:20]))
        if not at_once:
            await asyncio.sleep(0.05)
            request.transport.write(data[20:])
        await asyncio.sleep(0.05)
        request.transport.close()
        return web.Response()

    peer.handlers["/s/11.ts"] = lies
    with pytest.raises(
        RuntimeError, match=r"segment 12 of 20 .*11\.ts failed after 4 attempts.*Content-Length"
    ):
        await run(hls, url)


async def test_a_slow_segment_is_named_when_it_stays_slow(hls: Any, peer: Peer) -> None:
    url, _ = peer.stream(3)

    async def drips(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        for _ in range(100):
            await response.write(b"x")
            await asyncio.sleep(0.1)
        return response

    peer.handlers["/s/1.ts"] = drips
    hls.config["timeout_s"], hls.config["retries"] = 0.5, 1
    with pytest.raises(RuntimeError, match=r"segment 2 of 3 .*1\.ts failed after 2 attempts: too slow"):
        await run(hls, url)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (b"0123456789abcdef", "cannot be decrypted"),
        (b"short", "a key has 16 bytes, this one 5"),
        (None, "404"),
    ],
)
async def test_a_wrong_short_or_missing_key_names_the_segment(
    hls: Any, peer: Peer, key: bytes | None, reason: str
) -> None:
    data = encrypted(b"x" * 100, b"k" * 16, bytes(16))
    peer.files["/0.ts"] = data
    if key:
        peer.files["/k"] = key
    url = peer.playlist("/l.m3u8", '#EXT-X-KEY:METHOD=AES-128,URI="k",IV=0x00', "#EXTINF:1,", "0.ts")
    with pytest.raises(RuntimeError, match=rf"segment 1 of 1 .*0\.ts failed.*{reason}"):
        await run(hls, url)


# --- cancel, pause, kill ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", range(6))
async def test_cancel_at_any_moment_leaves_nothing(hls: Any, peer: Peer, moment: int) -> None:
    url, _ = peer.stream(60, size=400_000)

    async def slowly(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.01)
        return peer.answer(request)

    for number in range(60):
        peer.handlers[f"/s/{number}.ts"] = slowly
    open_before = len(os.listdir("/proc/self/fd"))
    tasks_before = asyncio.all_tasks()
    desk = Desk()
    running = asyncio.create_task(hls.download(desk.task(url)))
    wanted = [0, 1, 2, 8, 20, 50][moment]
    await until(lambda: sum(peer.asked.values()) >= wanted)
    await desk.stop(running, "cancel")
    assert files(hls.downloads_dir) == []
    await until(lambda: peer.busy == 0)
    await until(lambda: len(os.listdir("/proc/self/fd")) <= open_before)
    mine = {one for one in asyncio.all_tasks() - tasks_before if "RequestHandler" not in repr(one)}
    assert mine <= {running}


async def test_pause_keeps_and_discard_removes(hls: Any, peer: Peer) -> None:
    url, whole = peer.stream(60)
    gate = asyncio.Event()

    async def waits(request: web.Request) -> web.StreamResponse:
        await gate.wait()
        return peer.answer(request)

    peer.handlers["/s/40.ts"] = waits
    hls.config["timeout_s"] = 30
    desk = Desk()
    part = hls.downloads_dir / "film.ts.part"
    running = asyncio.create_task(hls.download(desk.task(url)))
    await until(lambda: peer.asked["/s/55.ts"] > 0 and peer.busy == 1)
    await desk.stop(running, "pause")
    saved = desk.checkpoints[-1]["tracks"]["video"]
    assert saved["segments"] == 40 and saved["size"] == part.stat().st_size
    assert whole.startswith(part.read_bytes())
    gate.set()
    path = await run(hls, url, desk)
    assert path.read_bytes() == whole and peer.asked["/s/0.ts"] == 1

    peer.files.pop("/s/50.ts")
    desk = Desk()
    with pytest.raises(RuntimeError):
        await run(hls, url, desk, title="other")
    assert files(hls.downloads_dir) == ["film.ts", "other.ts.part"]
    await hls.discard(desk.task(url))
    assert files(hls.downloads_dir) == ["film.ts"]
    await hls.discard(desk.task(url))


KILLED = """
import asyncio, json, logging, sys
from pathlib import Path
from service.sdk import DownloadTask
from plugins.download.hls_plugin import HlsPlugin
url, folder, resume = sys.argv[1:]
plugin = HlsPlugin()
plugin.log, plugin.downloads_dir, plugin.config = logging.getLogger(), Path(folder), {"parallel": 4}
async def send(kind, data):
    if kind == "checkpoint":
        print(json.dumps(data), flush=True)
task = DownloadTask(id="k", url=url, title="film", resume=json.loads(resume), _send=send)
asyncio.run(plugin.download(task))
print(json.dumps(task.save_path), flush=True)
"""


async def test_killed_again_and_again_it_ends_exactly_right(hls: Any, peer: Peer) -> None:
    url, whole = peer.stream(300, size=60_000)

    async def slowly(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.03)
        return peer.answer(request)

    for number in range(300):
        peer.handlers[f"/s/{number}.ts"] = slowly
    resume: Any = None
    for attempt in range(10):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            KILLED,
            url,
            str(hls.downloads_dir),
            json.dumps(resume),
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )
        assert process.stdout is not None
        checkpoints = 0
        try:
            async for line in process.stdout:
                resume, checkpoints = json.loads(line), checkpoints + 1
                # The first only says where it goes on; the next one has more, then it dies at work.
                if checkpoints == 2 and attempt < 3:
                    process.kill()
        finally:
            if process.returncode is None and checkpoints < 2:
                process.kill()
            await process.wait()
        if isinstance(resume, str):
            break
    assert isinstance(resume, str) and attempt == 3
    assert Path(resume).read_bytes() == whole
    assert peer.asked["/s/0.ts"] == 1
    assert files(hls.downloads_dir) == ["film.ts"]


async def test_what_is_behind_the_checkpoint_is_cut_off(hls: Any, peer: Peer) -> None:
    url, whole = peer.stream(50)
    gone = peer.files.pop("/s/30.ts")
    desk = Desk()
    with pytest.raises(RuntimeError):
        await run(hls, url, desk)
    with (hls.downloads_dir / "film.ts.part").open("ab") as file:
        file.write(b"written, but never claimed" * 10_000)
    peer.files["/s/30.ts"] = gone
    assert (await run(hls, url, desk)).read_bytes() == whole


@pytest.mark.parametrize("change", ["list", "part"])
async def test_another_list_or_a_shorter_part_starts_anew(hls: Any, peer: Peer, change: str) -> None:
    url, whole = peer.stream(50)
    peer.files.pop("/s/30.ts")
    desk = Desk()
    with pytest.raises(RuntimeError):
        await run(hls, url, desk)
    if change == "list":
        peer.files["/s/list.m3u8"] = peer.files["/s/list.m3u8"].replace(b"\n30.ts", b"\n31.ts")
        whole = b"".join(peer.files[f"/s/{31 if number == 30 else number}.ts"] for number in range(50))
    else:
        url, whole = peer.stream(50)
        with (hls.downloads_dir / "film.ts.part").open("r+b") as file:
            file.truncate(5)
    path = await run(hls, url, desk)
    assert path.read_bytes() == whole and peer.asked["/s/0.ts"] == 2
    assert files(hls.downloads_dir) == ["film.ts"]


async def test_a_name_that_is_taken_is_never_overwritten(hls: Any, peer: Peer) -> None:
    url, whole = peer.stream(3)
    hls.downloads_dir.mkdir()
    (hls.downloads_dir / "film.ts").write_text("mine")
    path = await run(hls, url)
    assert path.name == "film (2).ts" and path.read_bytes() == whole
    assert (hls.downloads_dir / "film.ts").read_text() == "mine"


# --- live -------------------------------------------------------------------------------------------------------------


async def test_a_live_stream_is_followed_without_duplicates_and_says_what_was_lost(
    hls: Any, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    data = {number: bytes([number]) * (number + 1) for number in range(20)}
    for number, content in data.items():
        peer.files[f"/live/{number}.ts"] = content
    looks = [range(4), range(2, 6), range(2, 6), range(5, 8), range(11, 14), range(12, 16)]

    async def window(request: web.Request) -> web.StreamResponse:
        number = peer.asked[request.path] - 1
        shown = looks[min(number, len(looks) - 1)]
        lines = [f"#EXT-X-MEDIA-SEQUENCE:{shown.start}"]
        for one in shown:
            lines += ["#EXTINF:0.1,", f"{one}.ts?look={number}"]
        peer.playlist("/live/text", *lines, ended=number >= len(looks) - 1)
        return web.Response(body=peer.files["/live/text"])

    peer.handlers["/live/list.m3u8"] = window
    desk = Desk()
    task = desk.task(peer.url + "/live/list.m3u8")
    with caplog.at_level(logging.WARNING):
        assert await hls.download(task)
    wanted = b"".join(data[number] for number in [*range(8), *range(11, 16)])
    assert (hls.downloads_dir / "film.ts").read_bytes() == wanted
    assert task.metadata["lost_segments"] == 3
    assert "3 segments are lost" in caplog.text and "3 segments are lost" in desk.reports[-1]["message"]
    assert all(peer.asked[f"/live/{number}.ts"] == 1 for number in [*range(8), *range(11, 16)])


async def test_a_live_stream_goes_on_after_a_pause_and_ends_with_its_playlist(hls: Any, peer: Peer) -> None:
    for number in range(10):
        peer.files[f"/live/{number}.ts"] = b"%d," % number

    def show(numbers: range) -> str:
        lines = [f"#EXT-X-MEDIA-SEQUENCE:{numbers.start}"]
        for one in numbers:
            lines += ["#EXTINF:0.1,", f"{one}.ts"]
        return peer.playlist("/live/list.m3u8", *lines, ended=False)

    url = show(range(3))
    desk = Desk()
    running = asyncio.create_task(hls.download(desk.task(url)))
    await until(lambda: peer.asked["/live/list.m3u8"] >= 3)
    await desk.stop(running, "pause")
    show(range(1, 6))
    task = desk.task(url)
    running = asyncio.create_task(hls.download(task))
    await until(lambda: peer.asked["/live/5.ts"] > 0)
    del peer.files["/live/list.m3u8"]
    assert await running
    assert (hls.downloads_dir / "film.ts").read_bytes() == b"0,1,2,3,4,5,"
    assert "HTTP 404" in " ".join(task.metadata["notes"])


async def test_a_configured_time_ends_a_recording(hls: Any, peer: Peer) -> None:
    lines = []
    for number in range(10):
        peer.files[f"/{number}.ts"] = b"%d," % number
        lines += ["#EXTINF:6,", f"{number}.ts"]
    url = peer.playlist("/live.m3u8", *lines, ended=False)
    path = await run(hls, url, metadata={"live_minutes": 0.5})
    assert path.read_bytes() == b"0,1,2,3,4,"


# --- what playlists may say -------------------------------------------------------------------------------------------


async def test_implicit_byte_ranges_and_a_server_that_ignores_ranges(hls: Any, peer: Peer) -> None:
    data = random.Random(3).randbytes(1000)
    peer.files["/all.ts"] = data
    lines = [
        "#EXTINF:1,",
        "#EXT-X-BYTERANGE:100@50",
        "all.ts",
        "#EXTINF:1,",
        "#EXT-X-BYTERANGE:200",
        "all.ts",
    ]
    lines += ["#EXT-X-BYTERANGE:50@900", "#EXTINF:1,", "all.ts"]
    wanted = data[50:350] + data[900:950]
    url = peer.playlist("/r.m3u8", *lines)
    assert (await run(hls, url)).read_bytes() == wanted

    async def whole(request: web.Request) -> web.StreamResponse:
        return web.Response(body=data)

    peer.handlers["/all.ts"] = whole
    assert (await run(hls, url)).read_bytes() == wanted

    async def another(request: web.Request) -> web.StreamResponse:
        return web.Response(status=206, body=data[:200], headers={"Content-Range": "bytes 0-199/1000"})

    peer.handlers["/all.ts"] = another
    with pytest.raises(
        RuntimeError, match=r"segment \d of 3 .*all\.ts failed.*got the range bytes 0-199/1000"
    ):
        await run(hls, url)


async def test_an_initialisation_section_is_written_when_it_changes(hls: Any, peer: Peer) -> None:
    key = b"k" * 16
    peer.files |= {"/k": key, "/a.mp4": b"AAAA", "/b.mp4": b"\0\0\0\x08ftypclear", "/c.mp4": b"headCCCCtail"}
    peer.files["/d.mp4"] = encrypted(b"DDDD", key, (9).to_bytes(16, "big"))
    for number in range(6):
        data = b"%d" % number
        peer.files[f"/{number}.m4s"] = encrypted(data, key, (9).to_bytes(16, "big")) if number > 3 else data
    url = peer.playlist(
        "/m.m3u8",
        '#EXT-X-MAP:URI="a.mp4"',
        *["#EXTINF:1,", "0.m4s", "#EXT-X-DISCONTINUITY", "#EXTINF:1,", "1.m4s"],
        '#EXT-X-MAP:URI="c.mp4",BYTERANGE="4@4"',
        *["#EXTINF:1,", "2.m4s", '#EXT-X-MAP:URI="a.mp4"', "#EXTINF:1,", "3.m4s"],
        '#EXT-X-KEY:METHOD=AES-128,URI="k",IV=0x9',
        *['#EXT-X-MAP:URI="d.mp4"', "#EXTINF:1,", "4.m4s", '#EXT-X-MAP:URI="b.mp4"', "#EXTINF:1,", "5.m4s"],
    )
    path = await run(hls, url)
    assert path.name == "film.mp4"
    assert path.read_bytes() == b"AAAA01CCCC2AAAA3DDDD4\0\0\0\x08ftypclear5"


async def test_odd_playlists_lose_no_segment(hls: Any, peer: Peer) -> None:
    for number in range(7):
        peer.files[f"/{number} ü%.ts"] = b"%d" % number
    text = (
        "\ufeff#EXTM3U\r\n#EXT-X-TARGETDURATION:1.5\r\n#EXT-X-MEDIA-SEQUENCE: 3 \r\n#EXT-X-VERSION:x\r\n"
        '#EXT-X-PROGRAM-DATE-TIME:yesterday\r\n#EXTINF:-1 tvg-id="a,b",News\u2028and more\r\n0 ü%.ts\r\n'
        "#EXTINF:,\r\n  1 ü%.ts  \r\n#EXTINF:abc\r\n\r\n#a comment\r\n2 ü%.ts\r\n3 ü%.ts\r\n#EXTINF\r\n"
        "4%20%C3%BC%25.ts#t=1\r\n#EXTINF:1e3,\r\n/x/../5 ü%.ts?a=b c\r\n#EXTINF:9,009,\r\n6 ü%.ts\r\n#EXT-X-ENDLIST"
    )
    peer.files["/odd.m3u8"] = text.encode()
    assert (await run(hls, peer.url + "/odd.m3u8")).read_bytes() == b"0123456"


async def test_variables_in_playlists_are_put_in(hls: Any, peer: Peer) -> None:
    peer.files["/v/7.ts"] = b"seven"
    peer.files["/m.m3u8"] = (
        b'#EXTM3U\n#EXT-X-DEFINE:NAME="dir",VALUE="v"\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{$dir}/l.m3u8?n=7\n'
    )
    peer.playlist(
        "/v/l.m3u8", '#EXT-X-DEFINE:IMPORT="dir"', '#EXT-X-DEFINE:QUERYPARAM="n"', "/{$dir}/{$n}.ts"
    )
    assert (await run(hls, peer.url + "/m.m3u8")).read_bytes() == b"seven"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('#EXT-X-KEY:METHOD=SAMPLE-AES,URI="k"', "SAMPLE-AES"),
        ('#EXT-X-KEY:METHOD=SAMPLE-AES-CTR,KEYFORMAT="urn:uuid:edef8ba9",URI="data:text/plain,x"', "DRM"),
        ('#EXT-X-KEY:METHOD=AES-128,KEYFORMAT="com.apple.streamingkeydelivery",URI="skd://x"', "DRM"),
        ('#EXT-X-KEY:METHOD=AES-128,URI="skd://x"', "DRM"),
        ('#EXT-X-KEY:METHOD=AES-128,URI="file:///etc/passwd"', "only http and https"),
        ('#EXT-X-MAP:URI="file:///etc/passwd"', "only http and https"),
        ("#EXTINF:1,\nfile:///etc/passwd", "only http and https"),
        ("#EXTINF:1,\ndata:video/mp2t,xx", "only http and https"),
        ('#EXT-X-KEY:METHOD=AES-128,URI="k",IV=0xZZ', "initialisation vector"),
        ("#EXTINF:1,\n#EXT-X-BYTERANGE:all\n0.ts", "not a byte range"),
        ("#EXT-X-GAP\n#EXTINF:1,\ngap.ts", "EXT-X-GAP"),
    ],
)
async def test_what_cannot_be_downloaded_is_refused_clearly(
    hls: Any, peer: Peer, line: str, reason: str
) -> None:
    peer.files |= {"/0.ts": b"x", "/k": b"k" * 16}
    url = peer.playlist("/l.m3u8", *line.split("\n"), "#EXTINF:1,", "0.ts")
    with pytest.raises((ValueError, RuntimeError), match=reason):
        await run(hls, url)
    assert files(hls.downloads_dir) == [] and peer.asked["/0.ts"] == 0


async def test_a_plain_key_beside_a_drm_one_is_used_and_may_be_in_the_playlist(hls: Any, peer: Peer) -> None:
    peer.files["/0.ts"] = encrypted(b"clear", b"kkkkkkkkkkkkkkkk", bytes(16))
    url = peer.playlist(
        "/l.m3u8",
        '#EXT-X-KEY:METHOD=AES-128,URI="data:;base64,a2tra2tra2tra2tra2traw=="',
        '#EXT-X-KEY:METHOD=AES-128,KEYFORMAT="com.vendor",URI="skd://x"',
        *["#EXTINF:1,", "0.ts"],
    )
    assert (await run(hls, url)).read_bytes() == b"clear"


@pytest.mark.parametrize(
    "text", ["<html>no</html>", "", "#EXTM3U\n#EXTINF:1,song\nsong.mp3\n", "#EXTM3U\n#EXT-X-ENDLIST"]
)
async def test_what_is_no_stream_is_refused(hls: Any, peer: Peer, text: str) -> None:
    peer.files["/l.m3u8"] = text.encode()
    with pytest.raises(ValueError, match=r"not an HLS|without a segment"):
        await run(hls, peer.url + "/l.m3u8")


@pytest.mark.parametrize("what", ["/s/list.m3u8", "/s/1.ts"])
async def test_redirects_are_followed_but_to_no_other_scheme(hls: Any, peer: Peer, what: str) -> None:
    url, whole = peer.stream(3)
    peer.files["/s/moved"] = peer.files[what]
    target = "moved"

    async def moved(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": target})

    peer.handlers[what] = moved
    assert (await run(hls, url)).read_bytes() == whole
    target = "file:///etc/passwd"
    with pytest.raises(RuntimeError, match="redirected to file:///etc/passwd; only http and https"):
        await run(hls, url)


async def test_headers_go_with_every_request_and_secrets_to_one_host_only(hls: Any, peer: Peer) -> None:
    peer.files |= {
        "/0.ts": encrypted(b"x", b"k" * 16, bytes(16)),
        "/1.ts": encrypted(b"y", b"k" * 16, bytes(16)),
    }
    peer.files["/k"] = b"k" * 16
    other = f"http://localhost:{peer.port}"
    key = '#EXT-X-KEY:METHOD=AES-128,URI="k",IV=0x0'
    url = peer.playlist("/l.m3u8", key, "#EXTINF:1,", "0.ts", "#EXTINF:1,", f"{other}/1.ts")
    hls.config["referer"] = "https://site.example/"
    given = {"user-agent": "Mine/1", "Cookie": "a=b", "X-Token": "t", "Range": "bytes=0-1", "Host": "evil"}
    assert (await run(hls, url, metadata={"headers": given})).read_bytes() == b"xy"
    for path in ("/l.m3u8", "/k", "/0.ts", "/1.ts"):
        sent = peer.headers[path]
        assert sent["User-Agent"] == "Mine/1" and sent["Referer"] == "https://site.example/"
        assert sent["X-Token"] == "t" and "Range" not in sent and sent["Host"] != "evil"
    assert peer.headers["/0.ts"]["Cookie"] == "a=b" and "Cookie" not in peer.headers["/1.ts"]


async def test_another_variant_of_the_same_quality_is_tried(hls: Any, peer: Peer) -> None:
    peer.files["/0.ts"] = b"x"
    peer.playlist("/b.m3u8", "#EXTINF:1,", "0.ts")
    peer.files["/m.m3u8"] = (
        b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9,RESOLUTION=10x10\na.m3u8\n"
        b"#EXT-X-STREAM-INF:BANDWIDTH=9,RESOLUTION=10x10\nb.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=1\nc.m3u8\n"
    )
    assert (await run(hls, peer.url + "/m.m3u8")).read_bytes() == b"x"


async def test_large_segments_go_through_the_disk(hls: Any, peer: Peer) -> None:
    data = [random.Random(number).randbytes(5_000_000) for number in range(6)]
    lines = []
    for number, content in enumerate(data):
        peer.files[f"/{number}.ts"] = content
        lines += ["#EXTINF:1,", f"{number}.ts"]
    path = await run(hls, peer.playlist("/l.m3u8", *lines))
    assert path.read_bytes() == b"".join(data) and files(hls.downloads_dir) == [path.name]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a small file system")
async def test_a_full_disk_says_so_and_goes_on_when_there_is_room(
    hls: Any, peer: Peer, tmp_path: Path
) -> None:
    url, whole = peer.stream(40, size=100_000)
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=False)
    if mounted.returncode:
        pytest.skip("a file system cannot be mounted here")
    try:
        hls.downloads_dir = small
        desk = Desk()
        with pytest.raises(RuntimeError, match=r"cannot write to .*No space left on device"):
            await run(hls, url, desk)
        assert files(small) == ["film.ts.part"]
        subprocess.run(["mount", "-o", "remount,size=8m", str(small)], check=True)
        assert (await run(hls, url, desk)).read_bytes() == whole
        assert peer.asked["/s/0.ts"] == 1
    finally:
        subprocess.run(["umount", str(small)], check=True)


async def test_progress_is_told_about_four_times_a_second(hls: Any, peer: Peer) -> None:
    url, _ = peer.stream(40)

    async def slowly(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.3)
        return peer.answer(request)

    for number in range(40):
        peer.handlers[f"/s/{number}.ts"] = slowly
    desk = Desk()
    began = time.monotonic()
    await run(hls, url, desk)
    took = time.monotonic() - began
    told = [report for report in desk.reports if "speed" in report]
    assert 2 <= len(told) <= took * 4 + 1
    assert [report["progress"] for report in told] == sorted(report["progress"] for report in told)
    assert any("eta" in report for report in told) and told[-1]["message"].endswith("of 40")


async def test_a_part_file_of_the_same_name_is_never_taken_for_its_own(hls: Any, peer: Peer) -> None:
    """One download fails at once, another of that title begins: neither retry nor discard of the first touches it."""
    url, whole = peer.stream(30)
    gone = peer.files.pop("/s/0.ts")
    first = Desk()
    with pytest.raises(RuntimeError, match="segment 1 of 30"):
        await run(hls, url, first)
    assert files(hls.downloads_dir) == []
    peer.files["/s/0.ts"] = gone
    other = peer.files.pop("/s/20.ts")
    second = Desk()
    with pytest.raises(RuntimeError, match="segment 21 of 30"):
        await run(hls, url, second)
    part = hls.downloads_dir / "film.ts.part"
    length = part.stat().st_size
    await hls.discard(first.task(url))
    assert part.stat().st_size == length
    peer.files["/s/20.ts"] = other
    assert (await run(hls, url, first)).name == "film (2).ts" and part.stat().st_size == length
    assert (await run(hls, url, second)).read_bytes() == whole
    assert sorted(files(hls.downloads_dir)) == ["film (2).ts", "film.ts"]


async def test_killed_between_renaming_and_the_news_of_it_the_file_is_there_once(
    hls: Any, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, whole = peer.stream(5)
    desk = Desk()
    path = await run(hls, url, desk)
    done = [one for one in desk.checkpoints if one["tracks"]["video"]["finished"]]
    desk.checkpoints = done[:1]
    asked = peer.asked["/s/0.ts"]
    assert await run(hls, url, desk) == path
    assert files(hls.downloads_dir) == ["film.ts"] and path.read_bytes() == whole
    assert peer.asked["/s/0.ts"] == asked


async def test_ten_downloads_at_once_do_not_disturb_each_other(hls: Any, peer: Peer) -> None:
    url, whole = peer.stream(40, size=50_000)
    paths = await asyncio.gather(*(run(hls, url) for _ in range(10)))
    assert len(set(paths)) == 10 and all(path.read_bytes() == whole for path in paths)
    assert len(files(hls.downloads_dir)) == 10
