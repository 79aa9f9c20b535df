"""Which version of a file the server has: what tells two apart, and the checksums that it ought to have."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugins.download.http_plugin.connection import Answer
from plugins.download.http_plugin.errors import DownloadFailed, Spoiled, StartAgain, Stopped

_READ_BYTES = 1024 * 1024
_ALGORITHMS = {"md5": 16, "sha1": 20, "sha224": 28, "sha256": 32, "sha384": 48, "sha512": 64}
# RFC 9530 and, before it, RFC 3230; the weak ones only where nothing better is there.
_DIGEST_HEADERS = ("Repr-Digest", "Digest")
_PREFERRED = ("sha512", "sha384", "sha256", "sha1", "md5")


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a file.

    Attributes:
        total: its length, None where nobody knows.
        etag: its `ETag`, strong or weak, or empty.
        last_modified: its `Last-Modified`, or empty.
        checksums: what the server says of it, as `sha256:…`.
    """

    total: int | None
    etag: str = ""
    last_modified: str = ""
    checksums: tuple[str, ...] = ()

    @classmethod
    def of(cls, answer: Answer, total: int | None, is_whole: bool) -> Version:
        """The one that an answer brings; `is_whole` if all of the file is in its body."""
        return cls(
            total,
            answer.headers.get("ETag", "").strip(),
            answer.headers.get("Last-Modified", "").strip(),
            tuple(_announced(answer, is_whole)),
        )

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Version:
        """The one of a checkpoint."""
        checksums = tuple(str(one) for one in state.get("checksums") or ())
        return cls(
            int(state["total"]),
            str(state.get("etag") or ""),
            str(state.get("last_modified") or ""),
            checksums,
        )

    @property
    def condition(self) -> str:
        """What goes into `If-Range` (RFC 9110, 13.1.5): weak tags may not."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified

    def require_same(self, answer: Answer, total: int | None) -> None:
        """Raise StartAgain where an answer brings another version."""
        if total != self.total:
            raise StartAgain(f"the file at the server had {self.total} bytes, now it has {total}")
        for name, mine in (("ETag", self.etag), ("Last-Modified", self.last_modified)):
            theirs = answer.headers.get(name, "").strip()
            # A 206 need not repeat all; where both have a strong tag, it alone counts.
            if theirs and mine and theirs != mine:
                raise StartAgain(
                    f"the file at the server has changed: its {name} was {mine}, now it is {theirs}"
                )
            if name == "ETag" and theirs and mine and not mine.startswith("W/"):
                return


def parsed_checksum(text: str) -> tuple[str, bytes]:
    """Algorithm and digest of `sha256:…`, in hexadecimal or Base64; a bare hexadecimal one is known by its length.

    Raises:
        DownloadFailed: it is none.
    """
    match = re.fullmatch(r"(?:([\w-]+)\s*[:=]\s*)?([A-Za-z0-9+/]+=*)", text.strip())
    name, value = match.groups(default="") if match else ("", "")
    name = name.lower().replace("-", "").replace("_", "")
    try:
        digest = bytes.fromhex(value)
    except ValueError:
        try:
            digest = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            digest = b""
    if not name:
        name = next((one for one, size in _ALGORITHMS.items() if size == len(digest)), "")
    if _ALGORITHMS.get(name) != len(digest):
        known = ", ".join(_ALGORITHMS)
        raise DownloadFailed(f"{text!r} is no checksum; write it as sha256:HEX, with one of {known}")
    return name, digest


def check(path: Path, wanted: Iterable[str], is_stopped: Callable[[], bool]) -> None:
    """Compare a file with checksums; blocks while it reads.

    Raises:
        Spoiled: they differ.
        Stopped: `is_stopped` said so meanwhile.
    """
    expected = [parsed_checksum(one) for one in wanted]
    if not expected:
        return
    sums = {name: hashlib.new(name, usedforsecurity=False) for name, _ in expected}
    buffer = memoryview(bytearray(_READ_BYTES))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            if is_stopped():
                raise Stopped
            for one in sums.values():
                one.update(buffer[:count])
    for name, digest in expected:
        if sums[name].digest() != digest:
            raise Spoiled(
                f"the {name} of the file is {sums[name].hexdigest()}, not {digest.hex()} as it ought to be, so it "
                "was thrown away; check the checksum, retry, or look for another source"
            )


def _announced(answer: Answer, is_whole: bool) -> Iterable[str]:
    """The best checksum that the headers have of the file itself, not only of the piece in this answer."""
    found: dict[str, str] = {}
    for header in _DIGEST_HEADERS:
        for name, value in re.findall(
            r"([\w-]+)\s*=\s*:?([A-Za-z0-9+/=]+):?", answer.headers.get(header, "")
        ):
            found.setdefault(name.lower().replace("-", ""), value)
    if is_whole and (value := answer.headers.get("Content-MD5", "").strip()):
        found.setdefault("md5", value)
    if "sha" in found:  # RFC 3230 calls SHA-1 so
        found.setdefault("sha1", found["sha"])
    for name in _PREFERRED:
        if name not in found:
            continue
        try:
            digest = base64.b64decode(found[name], validate=True)
        except (binascii.Error, ValueError):
            continue
        if len(digest) == _ALGORITHMS[name]:
            return [f"{name}:{digest.hex()}"]
    return []
