"""What an indexer can do, as its `t=caps` says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any
from xml.etree.ElementTree import Element

# Categories up to here mean the same everywhere; beyond, each indexer has its own.
CUSTOM_CATEGORIES_FROM = 100_000
PAGE_DEFAULT = 100

_STANDARD = {
    1000: ("Console", {10: "NDS", 20: "PSP", 30: "Wii", 40: "XBox", 50: "XBox 360", 80: "PS3", 180: "PS4"}),
    2000: (
        "Movies",
        {10: "Foreign", 20: "Other", 30: "SD", 40: "HD", 45: "UHD", 50: "BluRay", 60: "3D", 70: "DVD", 80: "WEB-DL"},
    ),
    3000: ("Audio", {10: "MP3", 20: "Video", 30: "Audiobook", 40: "Lossless", 50: "Other", 60: "Foreign"}),
    4000: (
        "PC",
        {10: "0day", 20: "ISO", 30: "Mac", 40: "Mobile-Other", 50: "Games", 60: "Mobile-iOS", 70: "Mobile-Android"},
    ),
    5000: (
        "TV",
        {10: "WEB-DL", 20: "Foreign", 30: "SD", 40: "HD", 45: "UHD", 50: "Other", 60: "Sport", 70: "Anime",
         80: "Documentary"},
    ),
    6000: ("XXX", {10: "DVD", 20: "WMV", 30: "XviD", 40: "x264", 45: "UHD", 50: "Pack", 60: "ImageSet", 70: "Other"}),
    7000: ("Books", {10: "Mags", 20: "EBook", 30: "Comics", 40: "Technical", 50: "Other", 60: "Foreign"}),
    8000: ("Other", {10: "Misc", 20: "Hashed"}),
}  # fmt: skip
STANDARD_NAMES = {
    id + below: f"{name}/{sub}" if sub else name
    for id, (name, subs) in _STANDARD.items()
    for below, sub in {0: "", **subs}.items()
}


@dataclass
class Caps:
    """An indexer's answer; the defaults are what one that has none is taken for.

    Args:
        title: the server's own name.
        modes: by name (`search`, `tvsearch`, `movie` …), what each may be asked with; a mode that is not available is
            not there.
        page_default: entries of a page where no number is asked for.
        page_max: entries of a page at most.
        categories: full names (`Movies/HD`) by number.
    """

    title: str = ""
    modes: dict[str, list[str]] = field(default_factory=lambda: {"search": ["q"]})
    page_default: int = PAGE_DEFAULT
    page_max: int = PAGE_DEFAULT
    categories: dict[int, str] = field(default_factory=dict)

    @classmethod
    def from_xml(cls, root: Element) -> Caps:
        """What a `<caps>` element says."""
        caps = cls(modes={})
        server = root.find("server")
        caps.title = (server.get("title") or "") if server is not None else ""
        limits = root.find("limits")
        if limits is not None:
            caps.page_max = _positive(limits.get("max")) or PAGE_DEFAULT
            caps.page_default = _positive(limits.get("default")) or caps.page_max
        for element in root.iterfind("searching/*"):
            if (element.get("available") or "yes").strip().lower() in ("yes", "true", "1"):
                name = {"tv-search": "tvsearch"}.get(element.tag, element.tag.removesuffix("-search"))
                params = (element.get("supportedParams") or "q").replace(" ", "").lower()
                caps.modes[name] = [one for one in params.split(",") if one]
        if root.find("searching") is None:
            caps.modes = cls().modes
        for category in root.iterfind("categories/category"):
            caps._add(category, "")
        return caps

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Caps:
        """What `to_dict` gave; raises `TypeError`, `ValueError` or `KeyError` where it is something else."""
        categories = {int(id): str(name) for id, name in data["categories"].items()}
        return cls(**{**data, "categories": categories})

    def to_dict(self) -> dict[str, Any]:
        """For keeping as JSON."""
        return asdict(self)

    def category_name(self, ids: Iterable[int]) -> str:
        """The name of the most particular one: `Movies/HD` before `Movies`, a standard one before an indexer's own."""
        named = [(id, self.categories.get(id) or STANDARD_NAMES.get(id, "")) for id in ids]
        named = [(id, name) for id, name in named if name]
        named.sort(key=lambda one: (one[0] >= CUSTOM_CATEGORIES_FROM, one[0] % 1000 == 0))
        return named[0][1] if named else ""

    def category_ids(self, wanted: str) -> list[int]:
        """Numbers for a list such as `2000, TV/HD`; what is neither a number nor a known name is left out."""
        names = {name.casefold(): id for id, name in (STANDARD_NAMES | self.categories).items()}
        found = []
        for one in wanted.replace("，", ",").replace(";", ",").split(","):
            word = one.strip()
            id = int(word) if word.isascii() and word.isdigit() else names.get(word.casefold())
            if id is not None and id not in found:
                found.append(id)
        return found

    def _add(self, element: Element, above: str) -> None:
        id, name = _positive(element.get("id")), (element.get("name") or "").strip()
        full = f"{above}/{name}" if above and not name.startswith(f"{above}/") else name
        if id and full:
            self.categories[id] = full
        for sub in element.iterfind("subcat"):
            self._add(sub, full)


def _positive(value: str | None) -> int | None:
    try:
        number = int(value or "")
    except ValueError:
        return None
    return number if number > 0 else None
