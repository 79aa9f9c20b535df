"""What the routes of who may come in answer with."""

from __future__ import annotations

from typing import TypedDict


class NewToken(TypedDict):
    """The token that counts from now on."""

    status: str
    message: str
    token: str
