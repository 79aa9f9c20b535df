"""Plugins of `tests/original_plugins`, and a task that runs one."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from service.sdk.models import DONE
from service.worker import contract, downloads
from service.worker.compat import models

ORIGINALS = Path(__file__).parents[2] / "original_plugins"


def instance_of(serve: Any, kind: str, stem: str) -> Any:
    name = f"plugins.{kind}.{stem}"
    others = {
        f"plugins.{kind}.{one.stem}": one.read_text()
        for one in (ORIGINALS / kind).glob("*.py")
        if not one.stem.endswith("_plugin")
    }
    module = serve({name: (ORIGINALS / kind / f"{stem}.py").read_text(), **others})
    cls = contract.find_class(module, kind)
    contract.check_methods(cls, kind)
    plugin = cls()
    fields, _ = contract.schema_of(plugin)
    plugin.set_config(contract.effective_config(fields, None, {})[0])
    return plugin


class Told:
    """A running task, and what its plugin told the server of it."""

    def __init__(self, **values: Any) -> None:
        self.reports: list[dict[str, Any]] = []
        self.why: str | None = None
        self.task = models.DownloadTask(
            id="task-1",
            **{"url": "x://y", **values},
            _send=self._take,
            _stopped_for=lambda: self.why,
        )

    def _take(self, kind: str, data: dict[str, Any]) -> Awaitable[None]:
        assert kind == "report"
        self.reports.append(data)
        return DONE

    def __enter__(self) -> Told:
        downloads.running[self.task.id] = self.task
        return self

    def __exit__(self, *_: object) -> None:
        del downloads.running[self.task.id]
