"""What the tests start as a copy is what anybody starts."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.forging import Forged, run_plugbay, start
from tests.integration.server_process import environment, running_server


@pytest.mark.parametrize(
    ("language", "arguments"),
    [("en", ["search", "--help"]), ("zh", ["bogus"]), ("en", ["check", "missing.py"])],
)
def test_it_says_and_ends_as_the_command_does(tmp_path: Path, language: str, arguments: list[str]) -> None:
    environ = environment(PLUGBAY_LANG=language, COLUMNS="70")
    copy = run_plugbay(*arguments, environ=environ, folder=tmp_path, timeout_s=30)
    command = [sys.executable, "-m", "service", *arguments]
    started = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=30)
    assert (copy.returncode, copy.stdout, copy.stderr) == (
        started.returncode,
        started.stdout,
        started.stderr,
    )


async def test_a_server_is_a_process_of_its_own(tmp_path: Path) -> None:
    async with running_server(tmp_path / "one") as one, running_server(tmp_path / "two") as two:
        assert isinstance(one.process, Forged)
        assert one.process.pid != two.process.pid
        # Of what the other one, or the tests, have open it has nothing.
        open_files = set()
        for path in Path(f"/proc/{two.process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # it has closed that one meanwhile
                open_files.add(path.readlink())
        assert not [path for path in open_files if tmp_path / "one" in path.parents]
        assert any(tmp_path / "two" in path.parents for path in open_files)
        assert Path(f"/proc/{one.process.pid}/cwd").readlink() == tmp_path
        facts = Path(f"/proc/{one.process.pid}/stat").read_text().rpartition(")")[2].split()
        assert facts[3] == str(one.process.pid), "it leads a session"
        one.process.send_signal(signal.SIGKILL)
        assert await one.process.wait() == -signal.SIGKILL
        assert two.process.returncode is None
        assert await two.stop() == 0


async def test_what_changes_how_python_starts_is_no_copy(tmp_path: Path) -> None:
    pipe = asyncio.subprocess.PIPE
    process = await start("--version", environ=environment(PYTHONDEVMODE="1"), folder=tmp_path, stdout=pipe)
    assert not isinstance(process, Forged)
    assert (await process.communicate())[0].startswith(b"plugbay")
