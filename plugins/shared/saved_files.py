"""Where a download is saved: names that are safe in any folder, part files, and the final name at the end.

All of it blocks; an `async` plugin calls it in a thread.
"""

from __future__ import annotations

import errno
import os
import re
import unicodedata
from collections.abc import Iterator
from email.errors import HeaderParseError
from email.header import decode_header
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote_to_bytes, urlsplit

DEFAULT_NAME = "download"
# A name may have 255 bytes; the rest is for ` (999)`, `.part` and whatever else a plugin hangs on.
NAME_MAX_BYTES = 200
_SUFFIX_MAX_BYTES = 24
_NUMBERS = 10_000
# Names that Windows gives to devices, with whatever suffix: a folder may be shared with it.
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\.|$)", re.IGNORECASE)
# Marks that turn the direction of text round, so that `gpj.exe` reads `exe.jpg`.
_DIRECTION = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
_NO_LINKS = {
    errno.EPERM,
    errno.ENOSYS,
    errno.EOPNOTSUPP,
    errno.EMLINK,
    errno.EINVAL,
    errno.EXDEV,
    errno.EACCES,
}


class Headers(Protocol):
    """The headers of a response, of whichever library."""

    def get(self, name: str, /) -> str | None:
        """One header's value, None where it is absent."""


def safe_name(text: str, default: str = DEFAULT_NAME) -> str:
    """A file name made of any text that is safe in any folder; Chinese stays as it is.

    It has no separators, is not `..` nor hidden, has no control characters and none that other systems refuse, and at
    most NAME_MAX_BYTES bytes, of which the suffix keeps its own.

    Args:
        text: a title, a file name or even a path, from wherever.
        default: the name where nothing is left of the text.
    """
    parts = [part for part in re.split(r"[/\\]", unicodedata.normalize("NFC", text)) if part.strip(" .")]
    name = "".join(map(_safe_character, "_".join(parts)))
    name = re.sub(r"\s+", " ", name).strip(" .")
    if _DEVICE.match(name):
        name = f"_{name}"
    return _shortened(name) or default


def file_name_of(headers: Headers, url: str, default: str = DEFAULT_NAME) -> str:
    """A safe name for what a response brings: from `Content-Disposition`, else from the address.

    Args:
        headers: of the response.
        url: where it came from, after redirects.
        default: the name where neither has one.
    """
    disposed = _disposition_name(headers.get("Content-Disposition") or "")
    try:
        path = urlsplit(url).path
    except ValueError:
        path = ""
    for found in (disposed, _text_of(unquote_to_bytes(path.rstrip("/").rpartition("/")[2]))):
        last = re.split(r"[/\\]", found.rstrip("/\\"))[-1]
        if name := safe_name(last, ""):
            return name
    return default


def free_target(folder: Path, name: str) -> tuple[Path, Path]:
    """A free name in the folder, and an empty part file that reserves it among all processes.

    Args:
        folder: made where it does not exist.
        name: what the file is to be called; `name (2).ext` where that is taken.

    Returns:
        The path at the end, and the path of the part file.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for target in _candidates(folder / safe_name(name)):
        if os.path.lexists(target):
            continue
        part = target.with_name(f"{target.name}.part")
        try:
            os.close(
                os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
            )
        except FileExistsError:  # another download of that name is under way
            continue
        return target, part
    raise FileExistsError(errno.EEXIST, f"no free name among {_NUMBERS}", str(folder / name))


def publish(part: Path, target: Path) -> Path:
    """Give a finished part file its final name, which lasts once this returns. No file is ever overwritten.

    Args:
        part: all is in it.
        target: the name that it is to have, in the same folder; the next free one where it was taken meanwhile.

    Returns:
        The path that it has now.

    Raises:
        OSError: it could not be written to the disk or renamed; the part file is still there.
    """
    _sync(part, os.O_RDONLY | os.O_NOFOLLOW)
    for candidate in _candidates(target):
        if _moved(part, candidate):
            _sync(candidate.parent, os.O_RDONLY | os.O_DIRECTORY)
            return candidate
    raise FileExistsError(errno.EEXIST, f"no free name among {_NUMBERS}", str(target))


def _candidates(target: Path) -> Iterator[Path]:
    yield target
    stem, suffix = _split(target.name)
    for number in range(2, _NUMBERS):
        yield target.with_name(f"{stem} ({number}){suffix}")


def _moved(part: Path, target: Path) -> bool:
    """Whether the part file has that name now; False where another file has."""
    try:
        os.link(part, target, follow_symlinks=False)
    except FileExistsError:
        # Killed between the link and the removal: the same file has both names.
        if target.is_symlink() or not os.path.samefile(part, target):
            return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _renamed(part, target)
    part.unlink()
    return True


def _renamed(part: Path, target: Path) -> bool:
    """The same where the file system has no hard links: an empty file reserves the name for a moment."""
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666))
    except FileExistsError:
        return False
    try:
        part.replace(target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return True


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # A folder on some network file systems cannot be synced; a file that cannot is a failure.
        if not flags & os.O_DIRECTORY or error.errno not in _NO_LINKS:
            raise
    finally:
        os.close(descriptor)


def _safe_character(character: str) -> str:
    if character in _DIRECTION:
        return ""
    if character in '<>:"|?*' or unicodedata.category(character) in {"Cc", "Cs", "Cn", "Zl", "Zp"}:
        return "_"
    return character


def _split(name: str) -> tuple[str, str]:
    """Stem and suffix; `.tar.gz` is one suffix."""
    stem, dot, last = name.rpartition(".")
    if not (stem and dot and 0 < len(last.encode()) < _SUFFIX_MAX_BYTES and " " not in last):
        return name, ""
    inner = ".tar" if stem.lower().endswith(".tar") and len(stem) > 4 else ""
    kept = len(stem) - len(inner)
    return name[:kept], name[kept:]


def _shortened(name: str) -> str:
    stem, suffix = _split(name)
    room = NAME_MAX_BYTES - len(suffix.encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip(" .") + suffix if stem else ""


def _disposition_name(value: str) -> str:
    """The name in a `Content-Disposition` (RFC 6266); `filename*` counts before `filename`."""
    found: dict[str, str] = {}
    for name, quoted, bare in re.findall(
        r';?\s*([\w!#$&+^`|~.-]+\*?)\s*=\s*(?:"((?:\\.|[^"\\])*)"?|([^;]*))', value, re.DOTALL
    ):
        # Only these two are escapes: old servers send `C:\folder\name` as it is.
        found.setdefault(name.lower(), re.sub(r'\\(["\\])', r"\1", quoted) or bare.strip())
    return _extended(found.get("filename*", "")) or _plain(found.get("filename", ""))


def _extended(value: str) -> str:
    """`UTF-8'en'%e2%82%ac` (RFC 8187); empty where it is not one."""
    charset, quote, rest = value.partition("'")
    if not quote or "'" not in rest:
        return ""
    data = unquote_to_bytes(rest.partition("'")[2])
    try:
        return data.decode(charset or "utf-8")
    except (LookupError, ValueError):
        return _text_of(data)


def _plain(value: str) -> str:
    """What servers put into `filename`: raw bytes, percent encoding, or a word as in mails (RFC 2047)."""
    if re.search(r"=\?[\w-]+\?[bq]\?", value, re.IGNORECASE):
        try:
            pieces = decode_header(value)
            return "".join(
                piece if isinstance(piece, str) else piece.decode(charset or "latin-1")
                for piece, charset in pieces
            )
        except (HeaderParseError, LookupError, ValueError):
            return value
    if value.isascii():
        return (
            _text_of(unquote_to_bytes(value))
            if re.search(r"%[89a-f][0-9a-f]", value, re.IGNORECASE)
            else value
        )
    # http.client reads headers as Latin-1, aiohttp as UTF-8 with surrogates for what is not: back to the bytes.
    for encoding, errors in (("latin-1", "strict"), ("utf-8", "surrogateescape")):
        try:
            return _text_of(value.encode(encoding, errors))
        except UnicodeEncodeError:
            continue
    return value


def _text_of(data: bytes) -> str:
    """Bytes of an encoding that nobody named: UTF-8, else GBK where it looks like that, else Latin-1."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        pass
    try:
        text = data.decode("gb18030")
    except UnicodeDecodeError:
        return data.decode("latin-1")
    # Accented letters stand alone between plain ones; a Chinese character mostly is two bytes beyond ASCII.
    pairs = re.findall(rb"[\x81-\xfe][\x40-\xfe]", data)
    high = sum(pair[1] >= 0x80 for pair in pairs)
    return text if high * 2 > len(pairs) else data.decode("latin-1")
