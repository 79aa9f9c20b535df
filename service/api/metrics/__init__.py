"""`/metrics`: what an operator's Prometheus reads.

    counting ──┐
    sources ───┴─► tables, read on the event loop, a little at a time ─► text, made in a thread

`families` names all there is; docs/operations.md has the same in a table.
"""
