"""The host's end of a worker's socket."""

from __future__ import annotations

import json
import socket

import pytest

from service.host.workers.channel import Channel, ChannelClosed
from service.host.workers.worker_messages import Failed
from service.wire import messages
from service.wire.frames import encode


async def test_what_was_said_last_is_heard_though_the_end_is_told_first() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    channel = await Channel.open(ours, 1024 * 1024)
    with theirs:
        theirs.sendall(encode(json.dumps({"t": messages.FAILED, "imports": []}).encode(), b"{}"))
    # Nothing of it has been read yet.
    channel.close(messages.LOAD_FAILED << 8)
    message, body = await channel.loading()
    assert (isinstance(message, Failed), body) == (True, b"{}")
    with pytest.raises(ChannelClosed):
        await channel.loading()
