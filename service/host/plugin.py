"""One plugin: where it lies, who it is, which of its generations are alive, and its state, which follows from that."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

from service.host import permissions
from service.host.files.sources import Unit
from service.host.generation import Generation
from service.model.identity import Identity, PluginType
from service.model.plugin import Draining, LoadError, Manifest, Origin, Permissions, PluginView
from service.model.states import PluginState


class Plugin:
    """One plugin: where it lies, who it is, and which of its generations are alive.

    Its state is not kept but follows from these facts, see `state`.
    """

    def __init__(self, unit: Unit, identity: Identity) -> None:
        self.unit = unit
        self.identity = identity
        self.manifest: Manifest | None = None
        self.enabled = True
        self.serving: Generation | None = None
        self.draining: list[Generation] = []
        self.error: LoadError | None = None
        self.removed = False
        self.generation_count = 0
        self.loaded_at: datetime | None = None
        self.origin = Origin(kind="file", sha256="")
        self.asked: dict[str, Any] = permissions.DEFAULT
        self.granted: dict[str, Any] = permissions.DEFAULT
        self.restart_at: float | None = None
        self.switching = False
        self.successor: Plugin | None = None
        # As the last event had it.
        self.told: PluginView | None = None
        self._changed: asyncio.Future[None] | None = None

    @property
    def stem(self) -> str:
        """The file's stem, or the folder's name."""
        return self.unit.stem

    @property
    def file(self) -> str:
        """The file or folder, relative to home."""
        return f"plugins/{self.unit.path}"

    @property
    def said_name(self) -> str | None:
        """The name that it says itself; `None` of one that never loaded, which has not said any yet."""
        return self.identity.name if self.manifest is not None else None

    @property
    def state(self) -> PluginState:
        """What clients are told of it."""
        if not self.enabled:
            return PluginState.DISABLED
        if self.serving is not None:
            return PluginState.DEGRADED if self.error is not None else PluginState.ACTIVE
        return PluginState.FAILED if self.error is not None else PluginState.LOADING

    @property
    def running(self) -> int:
        """How many calls are under way in what serves."""
        return self.serving.leases if self.serving is not None else 0

    @property
    def draining_calls(self) -> int:
        """How many calls are under way in what drains."""
        return sum(one.leases for one in self.draining)

    def view(self) -> PluginView:
        """Itself as clients see it."""
        manifest, serving = self.manifest, self.serving
        extra: dict[str, Any] = {}
        if manifest is not None and manifest.config_json_schema is not None:
            extra["config_json_schema"] = manifest.config_json_schema
        if self.identity.type is PluginType.DOWNLOAD:
            extra["supported_protocols"] = (manifest.supported_protocols or []) if manifest else []
        return PluginView(
            id=str(self.identity),
            type=self.identity.type,
            name=self.identity.name,
            version=manifest.version if manifest else "",
            description=manifest.description if manifest else "",
            config_schema=manifest.config_schema if manifest else [],
            enabled=self.enabled,
            state=self.state,
            generation=serving.number if serving else self.generation_count,
            revision=serving.snapshot.revision if serving else None,
            file=self.file,
            loaded_at=self.loaded_at.isoformat().replace("+00:00", "Z") if self.loaded_at else None,
            load_ms=round(serving.load_ms, 2) if serving else None,
            error=self.error,
            running_calls=self.running,
            draining=[Draining(one.number, one.leases) for one in self.draining],
            origin=self.origin,
            permissions=Permissions(self.asked, self.granted, permissions.lacking(self.asked, self.granted)),
            config_missing=manifest.config_missing if manifest else [],
            **extra,
        )

    def changed(self) -> None:
        """Wake whoever waits for a change."""
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)
        self._changed = None

    def drained(self, generation: Generation) -> None:
        """A generation of it is gone."""
        if generation in self.draining:
            self.draining.remove(generation)
        self.changed()
        if self.successor is not None:
            self.successor.drained(generation)

    async def wait_for_change(self, seconds: float | None) -> bool:
        """Wait until something about it changes; `False` after that many seconds without."""
        if self._changed is None:
            self._changed = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait((self._changed,), timeout=seconds)
        return bool(done)
