"""A download that was begun, as tests see it: they can pause it, go on with it, or have its process killed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from service.sdk.testing.server import Server

_STOPPED = frozenset(("completed", "failed", "cancelled", "handed_over", "paused"))
_POLL_S = 0.01
DOWNLOAD_S = 60.0


class Download:
    """A download of a running server; see `Plugin.begin_download`.

    Attributes:
        server: the server that it is in.
        id: of its task.
    """

    def __init__(self, server: Server, task: Mapping[str, Any]) -> None:
        self.server = server
        self.id = str(task["id"])

    def __repr__(self) -> str:
        return f"<Download {self.id}>"

    @property
    def view(self) -> dict[str, Any]:
        """The task as the server has it now: `status`, `progress`, `downloaded`, `save_path`, `error` and more."""
        return self.server.request("GET", f"/api/tasks/{self.id}")

    @property
    def status(self) -> str:
        """`pending`, `downloading`, `paused`, `completed`, `failed`, `cancelled` or `handed_over`."""
        return str(self.view["status"])

    def wait(self, timeout: float = DOWNLOAD_S) -> dict[str, Any]:
        """The task once it has ended or is paused.

        Raises:
            TimeoutError: neither has come about after `timeout` seconds; it goes on.
        """
        return self._wait(lambda _: False, timeout)

    def wait_until(
        self, reached: Callable[[dict[str, Any]], object], timeout: float = DOWNLOAD_S
    ) -> dict[str, Any]:
        """The task once it is so far.

            download.wait_until(lambda task: task["progress"] > 0)

        Args:
            reached: asked of the task again and again until it says yes.
            timeout: seconds.

        Raises:
            RuntimeError: it ended, or is paused, and is not so far.
            TimeoutError: it is not so far after `timeout` seconds; it goes on.
        """
        task = self._wait(reached, timeout)
        if not reached(task):
            raise RuntimeError(f"the download is {task['status']} and has not come so far: {task['error']}")
        return task

    def pause(self) -> dict[str, Any]:
        """Stop it for now; the task as it is then, `paused`.

        Raises:
            CallFailed: it has ended, or its plugin is not `resumable` (`task_conflict`).
        """
        return self._change("pause")

    def resume(self) -> dict[str, Any]:
        """Go on after a pause, from the last checkpoint, with the code and the configuration of now.

        Raises:
            CallFailed: it is not paused (`task_conflict`).
        """
        return self._change("resume")

    def cancel(self) -> dict[str, Any]:
        """Stop it for good. What it left behind is thrown away by the plugin's `discard` where it was paused.

        Raises:
            CallFailed: it has ended (`task_conflict`).
        """
        return self._change("cancel")

    def retry(self) -> dict[str, Any]:
        """Do it again after it failed or was cancelled, from the last checkpoint where there is one.

        Raises:
            CallFailed: it is in no state for that (`task_conflict`).
        """
        return self._change("retry")

    def _change(self, verb: str) -> dict[str, Any]:
        return self.server.request("POST", f"/api/tasks/{self.id}/{verb}")

    def _wait(self, reached: Callable[[dict[str, Any]], object], timeout: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout
        while not reached(task := self.view) and task["status"] not in _STOPPED:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the download is {task['status']} after {timeout:g} s")
            time.sleep(_POLL_S)
        return task
