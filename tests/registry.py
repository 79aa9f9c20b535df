"""A package registry on 127.0.0.1 (PEP 503, 658 and 691) that serves wheels made here, and misbehaves when told to.

    with Registry() as registry:
        registry.add("demo", "1.0", {"demo.py": "VALUE = 1"}, requires=["other>=2"])
        environment = registry.environment(cache_folder)      # for uv

It is a real server in a thread of its own: resolving and installing need no internet.
"""

from __future__ import annotations

import base64
import hashlib
import html
import http.server
import io
import json
import tarfile
import threading
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

_JSON = "application/vnd.pypi.simple.v1+json"
_HANG_SECONDS = 60.0


def wheel(
    name: str,
    version: str,
    files: Mapping[str, str | bytes] | None = None,
    *,
    requires: Sequence[str] = (),
    extras: Mapping[str, Sequence[str]] | None = None,
    tag: str = "py3-none-any",
    requires_python: str | None = None,
) -> tuple[str, bytes]:
    """The file name and the bytes of a wheel. Without `files` it has one module, which names its version."""
    stem = name.replace("-", "_")
    contents = dict(files if files is not None else {f"{stem}.py": f"VERSION = {version!r}\n"})
    info = f"{stem}-{version}.dist-info"
    contents[f"{info}/METADATA"] = metadata(name, version, requires, extras or {}, requires_python)
    contents[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n"
    record = "".join(f"{path},{_record_hash(content)}\n" for path, content in contents.items())
    contents[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in contents.items():
            archive.writestr(zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0)), content)
    return f"{stem}-{version}-{tag}.whl", packed.getvalue()


def sdist(name: str, version: str, setup: str) -> tuple[str, bytes]:
    """The file name and the bytes of a source package with this `setup.py` and no static metadata."""
    stem = name.replace("-", "_")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, text in {"setup.py": setup, "PKG-INFO": metadata(name, version, (), {}, None)}.items():
            member = tarfile.TarInfo(f"{stem}-{version}/{path}")
            content = text.encode()
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return f"{stem}-{version}.tar.gz", packed.getvalue()


def metadata(
    name: str,
    version: str,
    requires: Sequence[str],
    extras: Mapping[str, Sequence[str]],
    requires_python: str | None,
) -> str:
    """The text of a METADATA file."""
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    if requires_python:
        lines.append(f"Requires-Python: {requires_python}")
    lines += [f"Requires-Dist: {one}" for one in requires]
    for extra, needed in extras.items():
        lines.append(f"Provides-Extra: {extra}")
        lines += [f'Requires-Dist: {one} ; extra == "{extra}"' for one in needed]
    return "\n".join(lines) + "\n"


@dataclass
class _File:
    project: str
    name: str
    content: bytes
    metadata: bytes | None
    requires_python: str | None
    yanked: str | None
    sha256: str


@dataclass
class Behaviour:
    """How a path is answered instead of truthfully.

    `status` other than 200 is an error; `delay_s` waits before the answer; `gate` waits until it is set; `hang` says
    nothing until the registry closes; `stall_after` sends that many bytes of the body, then hangs; `drop` closes the
    connection.
    """

    status: int = 200
    delay_s: float = 0.0
    gate: threading.Event | None = None
    hang: bool = False
    stall_after: int | None = None
    drop: bool = False


@dataclass
class Registry:
    """The server.

    `requests` are the paths that were asked for, in order; `html` serves PEP 503 pages only; `password` has everything
    answered with 401 to whoever does not give it, with any user name.
    """

    html: bool = False
    password: str | None = None
    requests: list[str] = field(default_factory=list)
    files: dict[str, _File] = field(default_factory=dict)
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    asked: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Registry:
        registry = self

        class Handler(_Handler):
            served = registry

        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="registry")
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop, hanging answers included; calling it twice is safe."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The index."""
        return f"http://127.0.0.1:{self.port}/simple"

    def environment(self, cache: Path) -> dict[str, str]:
        """The variables that point uv here, at a cache of its own, and at nothing else."""
        return {
            "UV_DEFAULT_INDEX": self.url,
            "UV_CACHE_DIR": str(cache),
            "UV_NO_CONFIG": "1",
            "UV_HTTP_RETRIES": "0",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def add(
        self,
        name: str,
        version: str,
        files: Mapping[str, str | bytes] | None = None,
        *,
        requires: Sequence[str] = (),
        extras: Mapping[str, Sequence[str]] | None = None,
        tag: str = "py3-none-any",
        requires_python: str | None = None,
        yanked: str | None = None,
        sha256: str | None = None,
    ) -> str:
        """Offer a wheel; returns its path. `yanked` is the reason; `sha256` is told instead of the true one."""
        file, content = wheel(
            name, version, files, requires=requires, extras=extras, tag=tag, requires_python=requires_python
        )
        described = metadata(name, version, requires, extras or {}, requires_python).encode()
        return self.put(
            name,
            file,
            content,
            metadata=described,
            requires_python=requires_python,
            yanked=yanked,
            sha256=sha256,
        )

    def add_sdist(self, name: str, version: str, setup: str) -> str:
        """Offer a source package only; returns its path."""
        file, content = sdist(name, version, setup)
        return self.put(name, file, content)

    def put(
        self,
        project: str,
        name: str,
        content: bytes,
        *,
        metadata: bytes | None = None,
        requires_python: str | None = None,
        yanked: str | None = None,
        sha256: str | None = None,
    ) -> str:
        """Offer any file; returns its path."""
        told = sha256 or hashlib.sha256(content).hexdigest()
        path = f"/files/{name}"
        self.files[path] = _File(_normal(project), name, content, metadata, requires_python, yanked, told)
        return path

    def behave(self, path: str, behaviour: Behaviour) -> None:
        """Answer a path, or a project's page by its name, so from now on."""
        self.behaviours[path if path.startswith("/") else f"/simple/{_normal(path)}/"] = behaviour

    def wait_asked(self, path: str, deadline_s: float = 20.0) -> None:
        """Wait until a path has been asked for."""
        end = time.monotonic() + deadline_s
        while path not in self.requests:
            self.asked.clear()
            if path in self.requests:
                return
            if not self.asked.wait(max(0.0, end - time.monotonic())):
                raise TimeoutError(f"nobody asked for {path}; asked for: {self.requests}")

    def page(self, project: str, *, as_json: bool) -> bytes | None:
        """A project's page; None where there is no such project."""
        files = [file for file in self.files.values() if file.project == project]
        if not files:
            return None
        return _json_page(project, files) if as_json else _html_page(files)

    def pause(self, seconds: float) -> bool:
        """Wait; True where the registry closed meanwhile."""
        return self._closing.wait(seconds)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    # A client that was killed in the middle of its request is what some tests are about.
    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class _Handler(http.server.BaseHTTPRequestHandler):
    served: Registry
    protocol_version = "HTTP/1.1"
    # Head and body leave together: else each answer costs 40 ms of waiting for an acknowledgement.
    wbufsize = 64 * 1024
    timeout = _HANG_SECONDS

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, *, with_body: bool) -> None:
        registry, path = self.served, self.path
        registry.requests.append(path)
        registry.asked.set()
        told = registry.behaviours.get(path, Behaviour())
        if not self._welcome():
            told = Behaviour(status=401)
        if told.drop or (told.delay_s and registry.pause(told.delay_s)):
            self.close_connection = True
            return
        if told.gate is not None:
            told.gate.wait(_HANG_SECONDS)
        if told.hang:
            registry.pause(_HANG_SECONDS)
            self.close_connection = True
            return
        status, kind, body = self._content(path)
        if told.status != 200:
            status, kind, body = told.status, "text/plain", b"as told"
        part = self._range(len(body)) if status == 200 else None
        self.send_response(206 if part else status)
        if part:
            self.send_header("Content-Range", f"bytes {part[0]}-{part[1]}/{len(body)}")
            body = body[part[0] : part[1] + 1]
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="packages"')
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not with_body:
            return
        if told.stall_after is None:
            self.wfile.write(body)
            return
        self.wfile.write(body[: told.stall_after])
        self.wfile.flush()
        registry.pause(_HANG_SECONDS)
        self.close_connection = True

    def _content(self, path: str) -> tuple[int, str, bytes]:
        registry = self.served
        if path.startswith("/simple/"):
            as_json = not registry.html and _JSON in self.headers.get("Accept", "")
            page = registry.page(path.removeprefix("/simple/").strip("/"), as_json=as_json)
            if page is not None:
                return 200, _JSON if as_json else "text/html", page
        elif path in registry.files:
            return 200, "application/octet-stream", registry.files[path].content
        elif path.endswith(".metadata"):
            file = registry.files.get(path.removesuffix(".metadata"))
            if file is not None and file.metadata is not None:
                return 200, "text/plain", file.metadata
        return 404, "text/plain", b"not here"

    def _welcome(self) -> bool:
        if self.served.password is None:
            return True
        _, _, given = self.headers.get("Authorization", "").partition(" ")
        return base64.b64decode(given).decode().partition(":")[2] == self.served.password

    def _range(self, size: int) -> tuple[int, int] | None:
        asked = self.headers.get("Range", "")
        if not asked.startswith("bytes="):
            return None
        first, _, last = asked.removeprefix("bytes=").partition("-")
        if not first:
            return max(0, size - int(last)), size - 1
        return int(first), min(int(last) if last else size - 1, size - 1)


def _json_page(project: str, files: list[_File]) -> bytes:
    entries = []
    for file in files:
        entry: dict[str, Any] = {
            "filename": file.name,
            "url": f"/files/{file.name}",
            "hashes": {"sha256": file.sha256},
            "size": len(file.content),
            "yanked": file.yanked if file.yanked is not None else False,
        }
        if file.requires_python:
            entry["requires-python"] = file.requires_python
        if file.metadata is not None:
            entry["core-metadata"] = {"sha256": hashlib.sha256(file.metadata).hexdigest()}
        entries.append(entry)
    return json.dumps({"meta": {"api-version": "1.1"}, "name": project, "files": entries}).encode()


def _html_page(files: list[_File]) -> bytes:
    lines = []
    for file in files:
        attributes = f' href="/files/{file.name}#sha256={file.sha256}"'
        if file.requires_python:
            attributes += f' data-requires-python="{html.escape(file.requires_python)}"'
        if file.yanked is not None:
            attributes += f' data-yanked="{html.escape(file.yanked)}"'
        lines.append(f"<a{attributes}>{file.name}</a><br>")
    return ("<!DOCTYPE html><html><body>\n" + "\n".join(lines) + "\n</body></html>").encode()


def _record_hash(content: str | bytes) -> str:
    data = content.encode() if isinstance(content, str) else content
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"sha256={digest},{len(data)}"


def _normal(project: str) -> str:
    return project.lower().replace("_", "-").replace(".", "-")
