"""What the methods of `service.sdk.testing` raise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class PluginFailed(Exception):
    """A plugin does not load. The text names file, line, reason and remedy; what served before serves on.

    Attributes:
        error: the load error as the API has it: `stage`, `code`, `message`, `file`, `line`, `traceback` and more.
    """

    def __init__(self, error: Mapping[str, Any]) -> None:
        self.error = dict(error)
        place = ":".join(str(error[part]) for part in ("file", "line") if error.get(part) is not None)
        lines = [f"{place}: {error.get('message')} [{error.get('code')}]"]
        lines += [str(error[part]).rstrip() for part in ("help", "traceback") if error.get(part)]
        super().__init__("\n".join(lines))

    @property
    def code(self) -> str:
        """The stable name of the reason, such as `syntax_error`."""
        return str(self.error.get("code"))


class CallFailed(Exception):
    """A request was refused or a call gave no result; the text has the plugin's own traceback where it raised.

    Attributes:
        problem: the problem object that the API answered with.
    """

    def __init__(self, problem: Mapping[str, Any]) -> None:
        self.problem = dict(problem)
        said = problem.get("detail") or problem.get("message") or problem.get("title")
        lines = [f"{said} [{problem.get('code')}]"]
        lines += [f"  {one.get('field')}: {one.get('message')}" for one in problem.get("errors") or []]
        if traceback := (problem.get("error") or {}).get("traceback"):
            lines.append(str(traceback).rstrip())
        super().__init__("\n".join(lines))

    @property
    def code(self) -> str:
        """The stable name of the reason, such as `plugin_error`."""
        return str(self.problem.get("code"))
