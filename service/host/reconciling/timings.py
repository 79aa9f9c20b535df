"""How long a change took, from the save until what was saved serves."""

from __future__ import annotations

import time

from service.host.generation import Generation
from service.host.reconciling.desks import Change
from service.model.events import Cause, Timings


def timings_of(change: Change, generation: Generation) -> Timings:
    """The times of a change whose generation serves now: from the save until it was noticed, its load, and all."""
    now_ns = time.time_ns()
    saved_ns = (
        generation.snapshot.saved_ns if change.cause is Cause.FILE and not change.force else change.noticed_ns
    )
    # A file that was moved in may be old; its last change of name or content is what counts, and never the future.
    saved_ns = min(saved_ns, change.noticed_ns)
    load_ms = round(generation.load_ms, 2)
    return Timings(
        detect_ms=round((change.noticed_ns - saved_ns) / 1e6, 2),
        load_ms=load_ms,
        # An install or a save over the API loads first and is noticed after: its load is part of the whole, too.
        total_ms=max(round((now_ns - saved_ns) / 1e6, 2), load_ms),
    )
