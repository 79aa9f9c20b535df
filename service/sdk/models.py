"""What plugins give and take."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any


class _Model:
    """`model_dump()` for a dataclass."""

    def model_dump(self) -> dict[str, Any]:
        """The public fields as a plain dictionary, nested models dumped too."""
        return {
            item.name: _plain(getattr(self, item.name))
            for item in fields(self)  # type: ignore[arg-type]  # every subclass is a dataclass
            if not item.name.startswith("_")
        }


def _plain(value: Any) -> Any:
    if isinstance(value, _Model):
        return value.model_dump()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


@dataclass
class SearchResult(_Model):
    """One thing that was found.

    Args:
        title: what it is called.
        url: its page or address.
        thumbnail: address of a picture, or empty.
        duration: seconds, or a text such as `1:23:45`.
        platform: where it was found.
        description: a few words about it.
        metadata: anything more; JSON only.
    """

    title: str
    url: str
    thumbnail: str | None = None
    duration: str | float | None = None
    platform: str | None = None
    description: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class ConfigField(_Model):
    """One field of a plugin's configuration form.

    Args:
        name: its key in `self.config`.
        label: its name for people.
        type: `text`, `password`, `number`, `boolean`, `select` or `list`.
        default: the value where none is stored.
        required: calls fail until it has a value.
        options: the choices of a `select`.
        description: what it does.
        fields: the fields of one entry of a `list`.
    """

    name: str
    label: str = ""
    type: str = "text"
    default: Any = None
    required: bool = False
    options: list[Any] | None = None
    description: str = ""
    fields: list[ConfigField] | None = None


@dataclass
class DownloadTask(_Model):
    """A download under way, as its plugin sees it. `progress` is 0 to 100."""

    id: str
    url: str
    title: str = ""
    status: str = "pending"
    progress: float = 0.0
    plugin_name: str = ""
    save_path: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    resume: Mapping[str, Any] | None = None
    external_id: str | None = None
    _send: Callable[[str, dict[str, Any]], Awaitable[None]] | None = field(default=None, repr=False)
    _is_cancelled: Callable[[], bool] | None = field(default=None, repr=False)

    @property
    def cancelled(self) -> bool:
        """Whether the task was cancelled; a plain method asks this from time to time."""
        return self._is_cancelled is not None and self._is_cancelled()

    async def report(
        self,
        progress: float | None = None,
        downloaded: int | None = None,
        total: int | None = None,
        speed: float | None = None,
        eta: float | None = None,
    ) -> None:
        """Tell how far the download is.

        Args:
            progress: 0 to 100.
            downloaded: bytes so far.
            total: bytes in all.
            speed: bytes a second.
            eta: seconds left.
        """
        if progress is not None:
            self.progress = progress
        known = {"progress": progress, "downloaded": downloaded, "total": total, "speed": speed, "eta": eta}
        await self._tell("report", {key: value for key, value in known.items() if value is not None})

    async def checkpoint(self, state: Mapping[str, Any]) -> None:
        """Keep what `resume` shall hold when the download goes on elsewhere; JSON only."""
        await self._tell("checkpoint", dict(state))

    async def _tell(self, kind: str, data: dict[str, Any]) -> None:
        if self._send is not None:
            await self._send(kind, data)
