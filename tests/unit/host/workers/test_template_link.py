"""What a template says that a stranger's code runs in is taken for true only where the kernel says the same."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from service.host.workers.template_link import TemplateLink, TemplateLost

PACKET_BYTES = 65536


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A child of this process, which is not the template's to give away."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        assert process.poll() is None, "it was killed"
        process.kill()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def requested(theirs: socket.socket) -> int:
    packet, descriptors, _, _ = socket.recv_fds(theirs, PACKET_BYTES, 2)
    for descriptor in descriptors:
        os.close(descriptor)
    return int(json.loads(packet)["fork"])


async def fork_answered_with(
    ends: tuple[socket.socket, socket.socket], pid: int, described: int, parent: int
) -> TemplateLink:
    """A template that gives the descriptor of one process and the id of another, or of the same."""
    ours, theirs = ends
    link = TemplateLink(ours, {}, 1024, suspect_pid=parent)
    forking = asyncio.ensure_future(link.fork())
    request = await asyncio.to_thread(requested, theirs)
    pidfd = os.pidfd_open(described)
    socket.send_fds(theirs, [json.dumps({"forked": request, "pid": pid}).encode()], [pidfd])
    os.close(pidfd)
    worker = await forking
    assert worker.pid == pid
    worker.ended(None)
    link.close()
    return link


async def test_a_child_of_the_template_is_a_worker(
    ends: tuple[socket.socket, socket.socket], bystander: subprocess.Popen[bytes]
) -> None:
    await fork_answered_with(ends, bystander.pid, bystander.pid, os.getpid())


@pytest.mark.parametrize("lie", ["no child", "another process", "the server"])
async def test_a_process_that_is_not_its_child_is_not_taken_for_a_worker(
    lie: str, ends: tuple[socket.socket, socket.socket], bystander: subprocess.Popen[bytes]
) -> None:
    pid, described, parent = {
        "no child": (bystander.pid, bystander.pid, 1),
        "another process": (bystander.pid, os.getppid(), os.getpid()),
        "the server": (os.getpid(), os.getpid(), os.getpid()),
    }[lie]
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(TemplateLost):
        await fork_answered_with(ends, pid, described, parent)
    await asyncio.sleep(0)
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize(
    "packet",
    [b"no JSON", b"[1]", b'{"forked": "x"}', b"[" * 5000, b'{"exited": 1.5}', b'{"unfit": "\xff"}'],
    ids=["no JSON", "no object", "no number", "deep", "fraction", "no UTF-8"],
)
async def test_nonsense_ends_the_conversation(
    packet: bytes, ends: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = ends
    link = TemplateLink(ours, {}, 1024, suspect_pid=1)
    theirs.send(packet)
    async with asyncio.timeout(5):
        await link.lost.wait()
    with pytest.raises(TemplateLost):
        await link.fork()


async def test_a_template_that_is_gone_is_known_to_be_by_whoever_asks_first(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """Else those who ask again before its end is read would ask it three times, and be told that three died."""
    ours, theirs = ends
    link = TemplateLink(ours, {}, 1024)
    theirs.close()
    with pytest.raises(TemplateLost):
        await link.fork()
    assert link.lost.is_set()


async def test_a_flood_of_answers_ends_the_conversation(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    link = TemplateLink(ours, {}, 1024, suspect_pid=1)
    async with asyncio.timeout(5):
        while not link.lost.is_set():
            theirs.send(b'{"exited": 1}')
            await asyncio.sleep(0)


async def test_answers_that_nobody_asked_for_leave_nothing_behind(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    link = TemplateLink(ours, {}, 1024, suspect_pid=1)
    before = len(os.listdir("/proc/self/fd"))
    for message in ({"forked": 7, "pid": 1}, {"refused": 8}, {"exited": 9}, {}):
        pidfd = os.pidfd_open(os.getpid())
        socket.send_fds(theirs, [json.dumps(message).encode()], [pidfd, pidfd])
        os.close(pidfd)
    theirs.send(b'{"ready": true}')
    async with asyncio.timeout(5):
        await link.ready.wait()
    assert len(os.listdir("/proc/self/fd")) == before
    link.close()
    link.close()
