"""The routes of who may come in."""

from __future__ import annotations

from service.client.shapes import NewToken
from service.client.transport import Transport


class AccessRoutes(Transport):
    """See the module."""

    async def rotate_token(self) -> NewToken:
        """Replaces the server's token; the one that this client has is void then."""
        return await self._ask(NewToken, "POST", "/api/token/rotate")
