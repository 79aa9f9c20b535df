"""A program under its keeper: what it says arrives, and nothing that it starts outlives it or whoever waits."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from service.host.dependencies import uv
from service.host.dependencies.running import Programs
from service.host.workers.ground import ground_of
from service.worker.confinement.policy import Policy
from service.worker.confinement.report import probe

# A child in a session of its own, whose parent is gone: no signal to a group reaches it.
RUNAWAY = (
    "import os, sys, time\n"
    "ready, told = os.pipe()\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork() == 0:\n"
    "        print('runaway', os.getpid(), file=sys.stderr, flush=True)\n"
    "        os.write(told, b'.')\n"
    "        time.sleep(60)\n"
    "    os._exit(0)\n"
    "os.wait()\n"
    "os.read(ready, 1)\n"
)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def run(program: str, tmp_path: Path, lines: list[str] | None = None) -> tuple[int, str]:
    programs = Programs()
    told = [] if lines is None else lines
    try:
        ended = await programs.run(
            [sys.executable, "-c", program],
            folder=tmp_path,
            environment={"A": "1"},
            policy=Policy(),
            on_line=told.append,
        )
        return ended.status, ended.output
    finally:
        await programs.close()


async def test_status_output_and_environment(tmp_path: Path) -> None:
    program = (
        "import os, sys; print(os.environ['A'], os.getcwd(), len(sys.stdin.read()), file=sys.stderr);"
        "print('not told'); print('x' * 70000, file=sys.stderr); os.umask(0); sys.exit(7)"
    )
    lines: list[str] = []
    status, output = await run(program, tmp_path, lines)
    assert status == 7
    assert lines[0] == f"1 {tmp_path} 0"
    assert len(output) == 64 * 1024
    assert await run("import os; os.kill(os.getpid(), 9)", tmp_path) == (128 + 9, "")


async def test_a_program_takes_the_processors_from_nobody(tmp_path: Path) -> None:
    group = Path("/proc/self/autogroup")
    program = (
        "import os, sys; print(os.nice(0), os.getsid(0) == os.getpid(), file=sys.stderr);"
        f"print(open({str(group)!r}).read() if os.path.exists({str(group)!r}) else '', file=sys.stderr)"
    )
    lines: list[str] = []
    await run(program, tmp_path, lines)
    assert lines[0] == f"{min(19, os.nice(0) + 10)} True"
    if group.exists() and "nice" in group.read_text():
        assert lines[1].endswith("nice 10")


async def test_what_a_program_leaves_running_is_ended(tmp_path: Path) -> None:
    status, output = await run(RUNAWAY, tmp_path)
    assert status == 0
    assert not alive(int(output.split()[1]))


async def test_cancelled_all_of_it_is_gone(tmp_path: Path) -> None:
    lines: list[str] = []
    task = asyncio.create_task(run(RUNAWAY + "time.sleep(60)", tmp_path, lines))
    async with asyncio.timeout(10):
        while not lines:
            await asyncio.sleep(0.01)
    runaway = int(lines[0].split()[1])
    assert alive(runaway)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not alive(runaway)


async def test_cancelled_while_it_starts(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    task = asyncio.create_task(run(f"import time; time.sleep(0.5); open({str(marker)!r}, 'w')", tmp_path))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not marker.exists()


async def test_a_program_is_confined_to_its_folder_and_what_it_is_allowed(tmp_path: Path) -> None:
    ground = await asyncio.to_thread(lambda: ground_of(probe(), tmp_path))
    own, cache, other = (tmp_path / name for name in ("own", "cache", "other"))
    for folder in (own, cache, other):
        folder.mkdir()
    program = """
import os, socket, sys
for path in sys.argv[1:]:
    try:
        open(path + "/x", "w").close()
        os.chmod(path + "/x", 0o755)
    except PermissionError:
        print("refused", file=sys.stderr)
    else:
        print("done", file=sys.stderr)
try:
    socket.socket(socket.AF_UNIX)
except PermissionError:
    print("refused", file=sys.stderr)
"""
    programs = Programs(ground)
    ended = await programs.run(
        [sys.executable, "-c", program, str(own), str(cache), str(other)],
        folder=own,
        environment={},
        policy=Policy(own=(str(cache),)),
    )
    await programs.close()
    assert ended.output.split() == ["done", "done", "refused", "refused"]


async def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    programs = Programs()
    ended = await programs.run(["/nowhere/uv"], folder=tmp_path, environment={}, policy=Policy())
    assert ended.status == 127
    assert ended.output == "error: /nowhere/uv: No such file or directory\n"
    with pytest.raises(OSError):
        await programs.run(["/bin/true"], folder=tmp_path / "nowhere", environment={}, policy=Policy())
    await programs.close()


@pytest.mark.parametrize("given", [{}, {"UV_SYSTEM_CERTS": "0"}])
def test_certificates_of_the_system_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str]
) -> None:
    store = tmp_path / "certificates"
    monkeypatch.setattr(uv, "_SYSTEM_CERTIFICATES", (store,))

    def trusts() -> str | None:
        made = uv.environment(given, own_cache=tmp_path, temporary=tmp_path, timeout_s=5)
        return made.get("UV_SYSTEM_CERTS")

    assert trusts() == given.get("UV_SYSTEM_CERTS")
    store.touch()
    assert trusts() == given.get("UV_SYSTEM_CERTS", "1")
