"""The client, put together from its parts."""

from __future__ import annotations

from service.client.access import AccessRoutes
from service.client.following import TaskFollower
from service.client.plugins import PluginRoutes
from service.client.versions import VersionRoutes


class Client(PluginRoutes, VersionRoutes, AccessRoutes, TaskFollower):
    """Talks to one server; use it as an async context manager.

    Its methods are the routes of the API, and raise `ServerRefused` where the server says no and `ServerUnreachable`
    where there is no answer. `events`, `follow` and `watch_task` tell what happens, as it happens.

    Args:
        url: where the server is, such as `http://127.0.0.1:8000`.
        token: what a server that is not on loopback asks for.
        language: of messages and errors, `en` or `zh`; codes are the same in both.
        timeout_s: how long an answer may take in all. Installs wait for packages, so the default is long.
    """
