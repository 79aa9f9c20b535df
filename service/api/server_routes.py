"""The routes about the server itself: its figures, its events, who is signed in."""

from __future__ import annotations

from service.api import server_facts, server_messages, session
from service.api.route import Route

SERVER_ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/api/stats",
        handler=server_facts.stats,
        operation="getStats",
        tag="server",
        response=(server_messages.Stats,),
    ),
    Route(
        method="GET",
        path="/api/activity",
        handler=server_facts.activity,
        operation="listActivity",
        tag="server",
        query=server_facts.ACTIVITY_QUERY,
        response=(server_messages.ActivityList,),
    ),
    Route(
        method="GET",
        path="/api/server",
        handler=server_facts.server,
        operation="getServer",
        tag="server",
        response=(server_messages.Server,),
    ),
    Route(
        method="GET",
        path="/api/session",
        handler=session.get_session,
        operation="getSession",
        tag="session",
        response=(server_messages.Session,),
    ),
    Route(
        method="POST",
        path="/api/session",
        handler=session.sign_in,
        operation="signIn",
        tag="session",
        body=server_messages.SignIn,
        status=204,
        media_type="",
        errors=("token_wrong", "too_many_tries"),
    ),
    Route(
        method="DELETE",
        path="/api/session",
        handler=session.sign_out,
        operation="signOut",
        tag="session",
        status=204,
        media_type="",
    ),
    Route(
        method="POST",
        path="/api/token/rotate",
        handler=session.rotate_token,
        operation="rotateToken",
        tag="session",
        response=(server_messages.NewToken,),
        errors=("token_configured", "token_unused", "token_not_saved"),
    ),
)
