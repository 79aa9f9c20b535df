"""What plugins give and take."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

FieldType = Literal["text", "password", "number", "boolean", "select", "list"]


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
    type: FieldType = "text"
    default: Any = None
    required: bool = False
    options: list[Any] | None = None
    description: str = ""
    fields: list[ConfigField] | None = None


class _Done:
    """Something that has happened already, for whoever awaits it."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield  # only makes this a generator


DONE = _Done()


@dataclass
class DownloadTask(_Model):
    """A download under way, as its plugin sees it.

    Args:
        id: the task's, unlike any other's.
        url: what to get.
        title: what to call it, for people.
        status: set it to `downloading` before returning true where another program goes on with the work.
        progress: 0 to 100.
        plugin_name: the plugin's.
        save_path: where the file is, once the plugin knows.
        metadata: what the request gave; JSON only.
        resume: the last checkpoint, where the download goes on from one.
        external_id: the other program's name for it; then `get_progress(external_id)` is asked until it is done.
        error: why it failed, for people; told where `download` returns false.
    """

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
    error: str | None = None
    _send: Callable[[str, dict[str, Any]], Awaitable[None]] | None = field(default=None, repr=False)
    _stopped_for: Callable[[], str | None] | None = field(default=None, repr=False)

    @property
    def cancelled(self) -> bool:
        """Whether to stop now; a plain method asks this from time to time, an `async` one is cancelled."""
        return self._stopped_for is not None and self._stopped_for() is not None

    @property
    def paused(self) -> bool:
        """Whether it is only paused: what is there is kept, and the download goes on from its last checkpoint."""
        return self._stopped_for is not None and self._stopped_for() == "pause"

    def report(
        self,
        progress: float | None = None,
        downloaded: int | None = None,
        total: int | None = None,
        speed: float | None = None,
        eta: float | None = None,
        message: str | None = None,
    ) -> Awaitable[None]:
        """Tell how far the download is. It is told at the call, so a plain method need not `await` it.

        Args:
            progress: 0 to 100; follows from `downloaded` and `total` where it is not given.
            downloaded: bytes so far.
            total: bytes in all.
            speed: bytes a second.
            eta: seconds left.
            message: what it is doing, in a few words.
        """
        if progress is None:
            progress = _percent(downloaded, total)
        if progress is not None:
            self.progress = progress
        known = {
            "progress": progress,
            "downloaded": downloaded,
            "total": total,
            "speed": speed,
            "eta": eta,
            "message": message,
        }
        return self._tell("report", {key: value for key, value in known.items() if value is not None})

    def checkpoint(self, state: Mapping[str, Any]) -> Awaitable[None]:
        """Keep what `resume` shall hold when the download goes on elsewhere; JSON only.

        Once awaited, it survives the end of the worker and of the server.
        """
        return self._tell("checkpoint", dict(state))

    def _tell(self, kind: str, data: dict[str, Any]) -> Awaitable[None]:
        return DONE if self._send is None else self._send(kind, data)


def _percent(downloaded: Any, total: Any) -> float | None:
    """How far that is, 0 to 100; `None` where it cannot be told. Plugins may give numbers as texts, or what is none."""
    try:
        return min(100.0, 100.0 * float(downloaded) / float(total))
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
