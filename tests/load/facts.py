"""What the model knows of one plugin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.load.written import PART, Code, answer

CONFLICT = "conflict"
Config = dict[str, dict[str, Any]]
# How the stems of plugins begin that are folders.
PACKAGES = ("pack", "box")


@dataclass(frozen=True)
class Failure:
    """Why a file does not load: the stage, the code where it is one that clients act on, and who has the name."""

    stage: str
    code: str | None = None
    holder: str | None = None


@dataclass(frozen=True)
class Running:
    """A generation: its code with all that it was loaded with."""

    code: Code
    config: dict[str, Any]
    helper: int | str | None

    @property
    def lacks(self) -> bool:
        """Whether a setting is missing that calls cannot do without."""
        return self.code.needs_word and not self.config.get("word")

    @property
    def answer(self) -> str:
        """What a call gives, or the code that it is refused with."""
        if self.lacks:
            return "config_missing"
        if self.code.helper is not None and not isinstance(self.helper, int):
            return "plugin_error"
        return answer(self.code, self.config, self.helper if isinstance(self.helper, int) else None)


@dataclass(eq=False)
class Unit:
    """One plugin file.

    Attributes:
        type, stem: where it lies.
        code: what it holds; None once it is gone.
        listed: the name that it is listed by, None before anybody was told of it.
        manifest: the code that was loaded last under that name, None of one that never was.
        serving: what runs.
        failure: why the newest file does not.
        off: whether it is switched off.
        claims: the name that it waits for, as another file has it.
        source: the address that it was installed from and what came from there; `unsure` where that cannot be told.
    """

    type: str
    stem: str
    code: Code | None
    listed: str | None = None
    manifest: Code | None = None
    serving: Running | None = None
    failure: Failure | None = None
    off: bool = False
    claims: str | None = None
    source: tuple[str, Code] | None = None
    unsure: bool = False

    @property
    def is_package(self) -> bool:
        """Whether it is a folder."""
        return self.stem.startswith(PACKAGES)

    @property
    def path(self) -> str:
        """Of the file or the folder, relative to the plugin folder."""
        return path_of(self.type, self.stem)

    @property
    def main_file(self) -> str:
        """Where its code is, relative to the plugin folder."""
        return f"{self.path}/__init__.py" if self.is_package else self.path

    @property
    def part(self) -> str:
        """The other module of a folder."""
        return f"{self.path}/{PART}.py"

    @property
    def requirements(self) -> str:
        """Where a requirements file is put that came with it."""
        return f"{self.type}/{self.short}_requirements.txt"

    @property
    def short(self) -> str:
        """Its name before it says one."""
        return self.stem.removesuffix("_plugin")

    @property
    def said(self) -> bool:
        """Whether its name is one that a worker said."""
        return self.manifest is not None

    @property
    def id(self) -> str:
        return f"{self.type}/{self.listed}"

    @property
    def key(self) -> str:
        """In the configuration."""
        return f"{self.type}:{self.listed}"

    @property
    def state(self) -> str:
        if self.off:
            return "disabled"
        if self.serving is not None:
            return "degraded" if self.failure is not None else "active"
        return "failed"


@dataclass(frozen=True)
class Served:
    """A revision that served, the file that it was in, and what it was loaded with last."""

    code: Code
    stem: str
    helper: int | str | None


def path_of(type_: str, stem: str) -> str:
    """Where a plugin lies, relative to the plugin folder."""
    return f"{type_}/{stem}" + ("" if stem.startswith(PACKAGES) else ".py")
