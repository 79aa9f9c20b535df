"""What is known of a plugin, in the shapes that clients are given."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from service.model.identity import PluginType
from service.model.states import PluginState
from service.model.text import Language, Text


class Stage(StrEnum):
    """The steps of a load, in order."""

    FETCH = "fetch"
    DEPENDENCIES = "dependencies"
    IMPORT = "import"
    CONTRACT = "contract"
    CONFIG = "config"
    START = "start"
    SELF_CHECK = "self_check"


class LoadError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a generation did not get ready.

    `type` is the exception's class name or empty. `file` is relative to home; `line` and `column` count from 1.
    `traceback` has the plugin's own frames only. `messages` holds both languages, so that a client that gets
    this in an event, which is not addressed to one reader, can choose.
    """

    stage: Stage
    code: str
    type: str
    message: str
    file: str | None
    line: int | None
    column: int | None
    traceback: str | None
    generation: int | None
    messages: Text

    @classmethod
    def of_server(
        cls,
        stage: Stage,
        code: str,
        text: Text,
        *,
        file: str | None,
        line: int | None = None,
        column: int | None = None,
        traceback: str | None = None,
        generation: int | None = None,
    ) -> LoadError:
        """One that the server itself says: no exception of the plugin stands behind it."""
        return cls(
            stage=stage,
            code=code,
            type="",
            message=text.zh,
            file=file,
            line=line,
            column=column,
            traceback=traceback,
            generation=generation,
            messages=text,
        )

    @property
    def text(self) -> Text:
        """The message in both languages."""
        return self.messages

    def in_language(self, language: Language) -> LoadError:
        """The same error with `message` in the given language."""
        return msgspec.structs.replace(self, message=self.messages.in_language(language))


class ConfigField(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One field of a plugin's configuration form."""

    name: str
    label: str = ""
    type: str = "text"
    default: Any = None
    required: bool = False
    options: list[Any] | None = None
    description: str = ""
    fields: list[ConfigField] | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker says of the plugin that it loaded. Untrusted: decoded with types and bounds."""

    type: PluginType
    name: str
    version: str = ""
    description: str = ""
    config_schema: list[ConfigField] = []
    config_json_schema: dict[str, Any] | None = None
    exclusive: bool = False
    resumable: bool = False
    supported_protocols: list[str] | None = None
    methods: list[str] = []
    config_missing: list[str] = []


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a plugin's file came from: `file` (put there by hand), `url`, `upload` or `bundled`.

    Of one that came from an address, `host` is where redirects led to (with the port where that is not the usual one),
    `etag` and `modified` are what its server said of the file, and `requirements` is the SHA-256 of the requirements
    file that came with it.
    """

    kind: str
    sha256: str
    url: str | None = None
    host: str | msgspec.UnsetType = msgspec.UNSET
    etag: str | msgspec.UnsetType = msgspec.UNSET
    modified: str | msgspec.UnsetType = msgspec.UNSET
    requirements: str | msgspec.UnsetType = msgspec.UNSET


class Draining(msgspec.Struct, frozen=True):
    """A retired generation that still has calls to finish."""

    generation: int
    calls: int


class Permissions(msgspec.Struct, frozen=True):
    """What the plugin asked for, what it was granted, and what it asked for in vain."""

    asked: dict[str, Any]
    granted: dict[str, Any]
    lacking: dict[str, Any]


class PluginView(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin as clients see it: `P` of the interface."""

    id: str
    type: PluginType
    name: str
    version: str
    description: str
    config_schema: list[ConfigField]
    enabled: bool
    state: PluginState
    generation: int
    revision: str | None
    file: str
    loaded_at: str | None
    load_ms: float | None
    error: LoadError | None
    running_calls: int
    draining: list[Draining]
    origin: Origin
    permissions: Permissions
    config_missing: list[str]
    config_json_schema: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    supported_protocols: list[str] | msgspec.UnsetType = msgspec.UNSET

    def in_language(self, language: Language) -> PluginView:
        """The same view with its error in the given language."""
        if self.error is None:
            return self
        return msgspec.structs.replace(self, error=self.error.in_language(language))
