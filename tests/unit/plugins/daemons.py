"""Real peers for the plugins that hand downloads over: daemons from Debian, each in a folder of its own."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DEADLINE_S = 30.0
POLL_S = 0.05


def until(what: str, ask: Callable[[], Any], deadline_s: float = DEADLINE_S) -> Any:
    """The first answer that is true; fails after the deadline with the last one."""
    ends = time.monotonic() + deadline_s
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < ends, f"{what} did not come: {answer!r}"
        time.sleep(POLL_S)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def need(program: str, package: str) -> str:
    """The path of a program; the test is skipped where it is not installed."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed (Debian: {package})")
    return found


class Daemon:
    """A process in a folder of its own, with what it prints in `output.log`."""

    def __init__(self, folder: Path, command: list[str], url: str, peer_port: int) -> None:
        self.folder = folder
        self.command = command
        self.url = url
        self.peer_port = peer_port
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        return int(self.url.split(":")[2].split("/")[0])

    def start(self) -> Daemon:
        environment = {**os.environ, "HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder)}
        with (self.folder / "output.log").open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                cwd=self.folder,
            )
        until(f"{self.command[0]} on {self.url}", self._answers)
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "output.log").read_text(errors="replace")[-2000:]
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """Ends it in its own way, so that it can save what it keeps, and waits for that; safe to call twice."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def kill(self) -> None:
        """Ends it at once; safe to call twice."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait(10)
        self.process = None


def aria2(folder: Path, secret: str = "", *options: str) -> Daemon:
    program = need("aria2c", "aria2")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "own").mkdir(exist_ok=True)
    port, peer_port = free_port(), free_port()
    command = [
        program,
        "--enable-rpc",
        f"--rpc-listen-port={port}",
        f"--dir={folder / 'own'}",
        f"--listen-port={peer_port}",
        "--interface=127.0.0.1",
        "--no-conf",
        "--enable-dht=false",
        "--enable-dht6=false",
        "--bt-enable-lpd=false",
        "--seed-ratio=0",
        "--disable-ipv6=true",
        *([f"--rpc-secret={secret}"] if secret else []),
        *options,
    ]
    return Daemon(folder, command, f"http://127.0.0.1:{port}/jsonrpc", peer_port)


def transmission(folder: Path, user: str = "", password: str = "", **settings: Any) -> Daemon:
    program = need("transmission-daemon", "transmission-daemon")
    (folder / "own").mkdir(parents=True, exist_ok=True)
    port, peer_port = free_port(), free_port()
    chosen = {
        "rpc-port": port,
        "rpc-bind-address": "127.0.0.1",
        "rpc-whitelist": "127.0.0.1",
        "rpc-authentication-required": bool(user),
        "rpc-username": user,
        "rpc-password": password,
        "bind-address-ipv4": "127.0.0.1",
        "bind-address-ipv6": "::1",
        "peer-port": peer_port,
        "port-forwarding-enabled": False,
        "dht-enabled": False,
        "lpd-enabled": False,
        "pex-enabled": False,
        "utp-enabled": False,
        "download-dir": str(folder / "own"),
        **settings,
    }
    (folder / "settings.json").write_text(json.dumps(chosen))
    command = [program, "--foreground", "--config-dir", str(folder)]
    return Daemon(folder, command, f"http://127.0.0.1:{port}/transmission/rpc", peer_port)


def qbittorrent(folder: Path, user: str = "someone", password: str = "a password") -> Daemon:
    program = need("qbittorrent-nox", "qbittorrent-nox")
    (folder / "own").mkdir(parents=True, exist_ok=True)
    port, peer_port = free_port(), free_port()
    salt = b"0123456789abcdef"
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 100_000, 64)
    stored = f"{base64.b64encode(salt).decode()}:{base64.b64encode(key).decode()}"
    config = folder / "qBittorrent" / "config" / "qBittorrent.conf"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(
        f"""[LegalNotice]
Accepted=true

[BitTorrent]
Session\\Port={peer_port}
Session\\InterfaceAddress=127.0.0.1
Session\\DHTEnabled=false
Session\\LSDEnabled=false
Session\\PeXEnabled=false
Session\\DefaultSavePath={folder / "own"}

[Preferences]
General\\Locale=en
WebUI\\Address=127.0.0.1
WebUI\\Port={port}
WebUI\\Username={user}
WebUI\\LocalHostAuth=true
WebUI\\Password_PBKDF2="@ByteArray({stored})"
"""
    )
    command = [program, f"--profile={folder}", f"--webui-port={port}"]
    return Daemon(folder, command, f"http://127.0.0.1:{port}", peer_port)


def make_torrent(path: Path, output: Path, tracker: str, *options: str, web_seed: str = "") -> bytes:
    """A torrent of a file or folder, made by transmission-create."""
    program = need("transmission-create", "transmission-cli")
    command = [program, "-o", str(output), "-t", tracker, "-s", "32", *options, str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    content = output.read_bytes()
    if web_seed:
        # Keys stand sorted, and this one comes after `info`; the info-hash stays what it was.
        content = content[:-1] + f"8:url-list{len(web_seed.encode())}:{web_seed}e".encode()
        output.write_bytes(content)
    return content


def shown_hash(torrent: Path) -> str:
    """The info-hash as transmission-show tells it."""
    program = need("transmission-show", "transmission-cli")
    shown = subprocess.run([program, str(torrent)], check=True, capture_output=True, text=True, timeout=30)
    [line] = [line for line in shown.stdout.splitlines() if "Hash" in line and "v2" not in line]
    return line.split(":")[1].strip()


def get_json(url: str, body: Any) -> Any:
    """A JSON-RPC call, not by way of the plugin."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def seed_with_aria2(daemon: Daemon, torrent: bytes) -> None:
    """Let an aria2 that has the data in its folder seed it; it announces itself once it has checked them."""
    params = [base64.b64encode(torrent).decode(), [], {"check-integrity": "true"}]
    answer = get_json(daemon.url, {"jsonrpc": "2.0", "id": 1, "method": "aria2.addTorrent", "params": params})
    assert "result" in answer, answer
