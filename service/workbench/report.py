"""What comes of an examination, for people and programs."""

from __future__ import annotations

from typing import Any

import msgspec

from service.host.dependencies.lock import Package
from service.model.plugin import ConfigField
from service.workbench.problems import Problem
from service.workbench.usage import Usage


class LogLine(msgspec.Struct, frozen=True):
    """One line of the plugin's log. `at` is in seconds since the examination began."""

    at: float
    level: str
    message: str


class Provides(msgspec.Struct, frozen=True, kw_only=True):
    """What a plugin offers, and the permissions that it asks for."""

    methods: list[str]
    config_schema: list[ConfigField]
    config_missing: list[str]
    supported_protocols: list[str] | None = None
    permissions: dict[str, Any] = {}


class Report(msgspec.Struct, kw_only=True):
    """What came of an examination.

    `timings` are milliseconds by stage: `dependencies`, `import` (with contract and configuration), `start`,
    `self_check`, and the method that was called. `result` is what that call gave.
    """

    id: str
    type: str
    name: str
    version: str
    description: str
    file: str
    loads: bool
    problems: list[Problem]
    provides: Provides | None
    timings: dict[str, float]
    usage: Usage | None
    packages: list[Package]
    satisfied: list[str]
    log: list[LogLine]
    called: str | None = None
    result: Any = None
    server: dict[str, Any] | None = None

    @property
    def errors(self) -> int:
        """How many problems are errors."""
        return sum(one.severity == "error" for one in self.problems)

    @property
    def warnings(self) -> int:
        """How many are warnings."""
        return len(self.problems) - self.errors
