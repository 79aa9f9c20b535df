"""A recorded session: what was said on a WebSocket, and whether it is as JSON-RPC, CloudEvents and RFC 6455 have it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.conformance.cloud_events import check_event
from tests.conformance.json_rpc import check_answers, check_response

# One line of it: `opened`, `sent`, `binary`, `received`, `pong` or `closed`, and what belongs to it.
Said = Sequence[Any]
FRAME_BYTES = 64 * 1024


def check_session(session: Sequence[Said]) -> tuple[int, int]:
    """Check every frame, in order: each answer belongs to what was sent last, each event follows the one before.

    Returns:
        How many answers and how many events there were.
    """
    answers = events = 0
    pending: list[str] | None = None
    sent = ""
    seen: set[tuple[str, str]] = set()
    for kind, *what in [*session, ("sent", "")]:
        if kind in ("sent", "closed", "opened", "binary"):
            if pending is not None and kind != "closed":
                check_answers(sent if len(sent.encode()) <= FRAME_BYTES else "{}", pending)
            sent = what[0] if kind == "sent" else ""
            # A binary frame, which JSON-RPC does not know, is answered as one that is no request.
            pending = [] if kind == "sent" else None
        elif kind == "received":
            value = json.loads(what[0])
            if isinstance(value, dict) and "specversion" in value:
                events += 1
                check_event(what[0], value)
                identity = value["source"], value["id"]
                assert identity not in seen, f"twice: {identity}"
                seen.add(identity)
                continue
            answers += 1
            if pending is None:
                check_response(value)
            else:
                pending.append(what[0])
    return answers, events
