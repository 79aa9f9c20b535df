"""The dashboard's own files: the built front end, read into memory and served from there.

Only what the build wrote can be asked for, by a look-up of the whole path: no path of a request ever reaches the
file system. Files below `assets/` have their hash in their name and are cached for good; `index.html` never is.
"""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
from pathlib import Path

import msgspec
from aiohttp import hdrs, web

from service.api.page_addresses import PAGE_PATTERN
from service.api.pages import refusal_page, wants_page
from service.errors import PlugbayError
from service.model.text import Text

BUILT_FOLDER = Path(__file__).resolve().parent.parent / "_web"

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

_INDEX = "index.html"
_HASHED = "assets/"
_HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# What the machine's own tables say differs between machines.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}

_NOT_BUILT = Text(
    zh="网页尚未构建：请在项目目录中运行 make setup，然后刷新；接口和命令行不受影响",
    en="The page has not been built: run make setup in the checkout, then refresh; the API and the commands work",
)


class FrontEndMissing(PlugbayError):
    """The front end has not been built, so there is no page to serve."""

    code = "front_end_missing"

    def __init__(self) -> None:
        super().__init__(_NOT_BUILT)


class Asset(msgspec.Struct, frozen=True):
    """One file of the front end. `packed` is its gzip form, where the build made one."""

    body: bytes
    packed: bytes | None
    content_type: str
    etag: str


class FrontEnd:
    """The built front end in `folder`. It is read at the first request, and anew when it was built anew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._assets: dict[str, Asset] = {}
        self._built: tuple[int, int] | None = None
        self._reading = asyncio.Lock()

    async def asset(self, path: str) -> Asset | None:
        """The file at `path`, relative to the folder; None where the build wrote no such file."""
        # A page begins with its index: that is when a new build is looked for.
        if path == _INDEX or self._built is None:
            async with self._reading:
                self._built, self._assets = await asyncio.to_thread(self._read, self._built, self._assets)
        return self._assets.get(path)

    def _read(
        self, built: tuple[int, int] | None, assets: dict[str, Asset]
    ) -> tuple[tuple[int, int] | None, dict[str, Asset]]:
        try:
            # The build goes on writing into the second after it has written the first.
            found = (self._folder / _INDEX).stat().st_mtime_ns, (self._folder / _HASHED).stat().st_mtime_ns
            return (built, assets) if found == built else (found, _read_folder(self._folder))
        except (FileNotFoundError, NotADirectoryError):
            return None, {}


def _read_folder(folder: Path) -> dict[str, Asset]:
    contents = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    return {
        name: Asset(
            body=body,
            packed=contents.get(f"{name}.gz"),
            content_type=_content_type(name),
            etag=f'"{hashlib.sha256(body).hexdigest()[:32]}"',
        )
        for name, body in contents.items()
        if not name.endswith(".gz") and not any(part.startswith(".") for part in name.split("/"))
    }


def _content_type(name: str) -> str:
    known = _TYPES.get(Path(name).suffix)
    return known or mimetypes.guess_type(name)[0] or "application/octet-stream"


def add_static_routes(app: web.Application, folder: Path = BUILT_FOLDER) -> None:
    """Add the dashboard: `/` and all below that is not the API's.

    Args:
        app: the application; its other routes may be added before or after.
        folder: where the front end was built to. It need not exist: then the page says what to do.
    """
    front_end = FrontEnd(folder)

    async def serve(request: web.Request) -> web.Response:
        path = request.match_info["path"]
        if _looks_like_page(path):
            path = _INDEX
        asset = await front_end.asset(path)
        if asset is not None:
            return _respond(request, path, asset)
        if path == _INDEX:
            missing = FrontEndMissing()
            if wants_page(request):
                return refusal_page(request, missing)
            raise missing
        raise web.HTTPNotFound

    app.router.add_get(PAGE_PATTERN, serve, name="dashboard")


def _looks_like_page(path: str) -> bool:
    """Addresses within the page have no file suffix; a missing file must stay a 404."""
    return not path.startswith(_HASHED) and "." not in path.rpartition("/")[2]


def _respond(request: web.Request, path: str, asset: Asset) -> web.Response:
    immutable = path.startswith(_HASHED)
    headers = {
        **_HEADERS,
        "Cache-Control": "public, max-age=31536000, immutable" if immutable else "no-cache",
        "ETag": asset.etag,
        "Vary": "Accept-Encoding",
    }
    if asset.etag in request.headers.get(hdrs.IF_NONE_MATCH, ""):
        return web.Response(status=304, headers=headers)
    headers["Content-Type"] = asset.content_type
    if asset.packed is None or not _accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
        return web.Response(body=asset.body, headers=headers)
    headers["Content-Encoding"] = "gzip"
    return web.Response(body=asset.packed, headers=headers)


def _accepts_gzip(header: str) -> bool:
    for item in header.lower().split(","):
        coding, _, weight = item.partition(";")
        if coding.strip() in ("gzip", "*"):
            return weight.replace(" ", "").rstrip("0.") != "q="
    return False
