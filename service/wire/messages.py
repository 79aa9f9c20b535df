"""The messages between the server and a worker, by the `t` of their header.

    server → worker                                          worker → server
    load    what to load; body: the sources, end to end      stage   a later step of the load has begun
    call    id, method, credit, request; body: parameters    hello   ready; body: the manifest
    cancel  id, why: cancel or pause                         failed  the load failed; body: the error
    credit  id, n: n more items may be sent                  imports plugin-side modules that the plugin names
    drain   a newer generation serves: end what start began  item    id; body: one result of a stream
    noted   id, n: checkpoint n is kept                      note    id, kind, n; body: a report, or a checkpoint
    stop    no call will come: finish, stop, exit            result  id; body: the result
                                                             error   id; body: what the method raised
                                                             stopped nothing is left to wait for

A call has exactly one `result` or `error`; a call with credit above 0 has any number of `item` before it, and a
download any number of `note`: of kind `report`, or `checkpoint`, which has a number and is answered with `noted`.
`request` is the id of the request that the call is made for, where it is for one: the lines that the plugin writes
meanwhile are marked with it, see `service.worker.output`.
A `load` that says `outline` runs nothing: `hello` has what the text tells, and the worker ends.
"""

from __future__ import annotations

PROTOCOL = 1

# A manifest, the error of a load, and what is told of a download.
MANIFEST_MAX_BYTES = 1024 * 1024

LOAD = "load"
CALL = "call"
CANCEL = "cancel"
CREDIT = "credit"
NOTED = "noted"
DRAIN = "drain"
STOP = "stop"

STAGE = "stage"
HELLO = "hello"
FAILED = "failed"
IMPORTS = "imports"
ITEM = "item"
NOTE = "note"
RESULT = "result"
ERROR = "error"
STOPPED = "stopped"

# The exit statuses of a worker besides 0.
CHANNEL_LOST = 70
LOAD_FAILED = 71
OUTLINED = 72
