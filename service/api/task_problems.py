"""An error of a task as the problem object that a request which failed with it would have been answered with."""

from __future__ import annotations

from service.api.problems import kind_of
from service.errors import PlugbayError, PluginRaised
from service.model.task import TaskProblem


def task_problem(error: PlugbayError) -> TaskProblem:
    """What is kept and told of a task's error, in both languages."""
    kind = kind_of(error)
    return TaskProblem(
        type=f"urn:plugbay:problem:{error.code}",
        title=kind.title.zh,
        status=kind.status,
        detail=error.text.zh,
        code=error.code,
        titles=kind.title,
        messages=error.text,
        error=error.fields["error"] if isinstance(error, PluginRaised) else None,
    )
