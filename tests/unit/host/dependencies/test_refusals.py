"""Dependencies that cannot be had: each is refused with its code and the package's name, and leaves nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from service.errors import LoadFailed
from service.host.dependencies.declaration import Declared
from service.host.dependencies.environments import Environments
from service.host.dependencies.problems import Problem, masked, problem_of
from service.model.plugin import LoadError, Stage
from tests.registry import Behaviour, Registry

ROOT = Path(__file__).parents[4]
FILE = "plugins/search/demo_plugin.py"
Opened = Callable[..., Awaitable[Environments]]


async def refused(environments: Environments, *lines: str, plan: bool = False) -> LoadError:
    declared = Declared(dependencies=list(lines))
    with pytest.raises(LoadFailed) as caught:
        if plan:
            await environments.plan(declared, file=FILE, generation=3)
        else:
            await environments.acquire(declared, user="search/demo", file=FILE, generation=3)
    error = caught.value.error
    assert (error.stage, error.file, error.generation) == (Stage.DEPENDENCIES, FILE, 3)
    return error


def nothing_left(folder: Path) -> None:
    assert [path for path in folder.rglob("*") if path.name not in (".tmp", ".kept", ".locks")] == []


def offer(registry: Registry) -> None:
    """One package for each way to fail."""
    registry.add("good", "1.0")
    registry.add("good", "2.0")
    registry.add("old-user", "1.0", requires=["good<2"])
    registry.add("new-user", "1.0", requires=["good>=2"])
    registry.add("needy", "1.0", requires=["nowhere-to-be-found"])
    registry.add("withdrawn", "1.0", yanked="it ate a disk")
    registry.add("uses-withdrawn", "1.0", requires=["withdrawn==1.0"])
    registry.add("foreign", "1.0", tag="cp311-cp311-win_amd64")
    registry.add("uses-foreign", "1.0", requires=["foreign"])
    registry.add("ancient", "1.0", tag="cp27-none-any")
    registry.add("futuristic", "1.0", requires_python=">=3.99")
    registry.add("tampered", "1.0", sha256="0" * 64)
    registry.add("linked", "1.0", requires=["other @ git+https://example.invalid/other.git"])
    registry.add("local-linked", "1.0", requires=["other @ file:///etc"])
    registry.put(
        "broken",
        "broken-1.0-py3-none-any.whl",
        b"no archive" * 99,
        metadata=b"Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n",
    )
    for name, behaviour in {
        "ill": Behaviour(status=500),
        "shut": Behaviour(drop=True),
        "secretive": Behaviour(status=401),
        "busy": Behaviour(status=429),
        "mute": Behaviour(hang=True),
    }.items():
        registry.add(name, "1.0")
        registry.behave(name, behaviour)
    registry.behave(registry.add("lost-file", "1.0"), Behaviour(status=404))
    registry.behave(registry.add("ill-file", "1.0"), Behaviour(status=503))
    registry.behave(registry.add("stalled", "1.0"), Behaviour(stall_after=40))


# What is asked for, the code of its refusal, and the package that stands in the way.
CASES = [
    (["old-user", "new-user"], "dependencies_unresolvable", "old-user"),
    (["good<2", "new-user"], "dependencies_unresolvable", "new-user"),
    (["nowhere-to-be-found"], "dependency_not_found", "nowhere-to-be-found"),
    (["needy"], "dependency_not_found", "nowhere-to-be-found"),
    (["good==7"], "dependency_not_found", "good"),
    (["good>7"], "dependency_not_found", "good"),
    (["withdrawn"], "dependency_yanked", "withdrawn"),
    (["withdrawn==1.0"], "dependency_yanked", "withdrawn"),
    (["uses-withdrawn"], "dependency_yanked", "withdrawn"),
    (["foreign"], "dependency_unsupported", "foreign"),
    (["uses-foreign"], "dependency_unsupported", "foreign"),
    (["ancient"], "dependency_unsupported", "ancient"),
    (["futuristic"], "dependency_unsupported", "futuristic"),
    (["tampered"], "dependency_hash_mismatch", "tampered"),
    (["linked"], "dependency_refused", "other"),
    (["local-linked"], "dependency_refused", "other"),
    (["broken"], "dependencies_failed", "broken"),
    (["lost-file"], "dependency_not_found", "lost-file"),
    (["ill"], "registry_unreachable", "ill"),
    (["shut"], "registry_unreachable", "shut"),
    (["secretive"], "registry_unreachable", "secretive"),
    (["busy"], "registry_unreachable", "busy"),
    (["ill-file"], "registry_unreachable", "ill-file"),
]


async def test_what_cannot_be_had(opened: Opened, folder: Path, registry: Registry) -> None:
    offer(registry)
    environments = await opened()
    errors = await asyncio.gather(*(refused(environments, *lines) for lines, _, _ in CASES))
    for (lines, code, package), error in zip(CASES, errors, strict=True):
        assert (lines, error.code) == (lines, code), error.messages.en
        assert package in error.messages.en
        assert package in error.messages.zh
        # A yanked version that is pinned is no error to uv.
        assert package in (error.traceback or "") or code == "dependency_yanked", lines
    nothing_left(folder)


async def test_others_are_none_the_worse_for_it(opened: Opened, folder: Path, registry: Registry) -> None:
    offer(registry)
    environments = await opened()
    waiting = asyncio.create_task(refused(environments, "mute"))
    await asyncio.to_thread(registry.wait_asked, "/simple/mute/")
    assert await environments.acquire(Declared(dependencies=["good"]), user="search/other") is not None
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_private_mirror_is_asked_with_its_credentials_and_they_are_not_told(
    opened: Opened, folder: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(registry)
    registry.password = "hunter2"
    monkeypatch.setenv("UV_DEFAULT_INDEX", registry.url.replace("//", "//me:hunter2@"))
    environments = await opened()
    assert await environments.acquire(Declared(dependencies=["good<2"]), user="search/demo") is not None
    error = await refused(environments, "ill")
    assert "hunter2" not in repr(error)
    for path in folder.rglob("*"):
        if path.is_file():
            assert b"hunter2" not in path.read_bytes(), path


async def test_a_silent_registry_is_given_up(
    opened: Opened, folder: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "1")
    offer(registry)
    environments = await opened()
    packages = ("mute", "stalled")
    for package, error in zip(
        packages, await asyncio.gather(*(refused(environments, one) for one in packages)), strict=True
    ):
        assert error.code == "registry_unreachable"
        assert package in error.messages.en
    nothing_left(folder)


async def test_the_time_is_bounded(opened: Opened, folder: Path, registry: Registry) -> None:
    offer(registry)
    registry.add("slow", "1.0")
    registry.behave("slow", Behaviour(delay_s=30))
    environments = await opened(timeout_s=0.5)
    began = time.monotonic()
    packages = ("mute", "slow")
    for package, error in zip(
        packages, await asyncio.gather(*(refused(environments, one) for one in packages)), strict=True
    ):
        assert error.code == "dependencies_timeout"
        assert package in error.messages.en
    assert time.monotonic() - began < 10
    nothing_left(folder)


async def test_a_registry_that_is_down(opened: Opened, folder: Path, registry: Registry) -> None:
    environments = await opened()
    registry.close()
    error = await refused(environments, "never-seen>=1")
    assert error.code == "registry_unreachable"
    assert "never-seen" in error.messages.zh
    assert "refused" in (error.traceback or "")
    nothing_left(folder)


SETUP = """
from pathlib import Path
Path({marker!r}).touch()
from setuptools import setup
setup(name="sourced", version="1.0")
"""


@pytest.mark.parametrize("allow_builds", [False, True])
async def test_a_plan_builds_nothing(
    opened: Opened, folder: Path, registry: Registry, tmp_path: Path, allow_builds: bool
) -> None:
    marker = tmp_path / "setup-ran"
    registry.add_sdist("sourced", "1.0", SETUP.format(marker=str(marker)))
    registry.add("uses-sourced", "1.0", requires=["sourced"])
    environments = await opened(allow_builds=allow_builds)
    for lines in (["sourced"], ["uses-sourced"]):
        error = await refused(environments, *lines, plan=True)
        assert error.code == "dependency_build_refused"
        assert "sourced" in error.messages.en
        assert ("allow_builds" in error.messages.en) is not allow_builds
    if not allow_builds:
        assert (await refused(environments, "sourced")).code == "dependency_build_refused"
    assert not marker.exists()
    nothing_left(folder)


async def test_a_build_that_is_allowed_runs(
    opened: Opened, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "setup-ran"
    registry.add_sdist("sourced", "1.0", SETUP.format(marker=str(marker)))
    # The builder's own dependency is not in this registry: what counts is that building was tried.
    environments = await opened(allow_builds=True)
    error = await refused(environments, "sourced")
    assert error.code == "dependency_not_found"
    assert "setuptools" in error.messages.en
    assert not marker.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount = tmp_path / "small"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(mount)], capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted: {done.stderr.strip()}")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


async def test_a_full_disk(registry: Registry, small_disk: Path) -> None:
    noise = os.urandom(400_000).hex()
    registry.add("huge", "1.0", {"huge.py": f"X = {noise!r}\n"})
    folder = small_disk / "envs"
    environments = Environments(folder, timeout_s=20, allow_builds=False)
    await environments.start()
    try:
        error = await refused(environments, "huge")
        assert error.code == "dependencies_disk_full"
        assert "huge" in error.messages.en
        nothing_left(folder)
        # Not even room for a note.
        with pytest.raises(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
            while filler.write(b"x" * 4096):
                pass
        assert (await refused(environments, "huge>=1.0")).code == "dependencies_disk_full"
    finally:
        await environments.close()
    nothing_left(folder)


def test_credentials_of_a_mirror_are_masked() -> None:
    said = (
        "error: Failed to fetch: `https://me:hunter2@mirror.example/simple/demo/?token=abc123`\n"
        "  cause: client error (Connect)\n"
    )
    problem = problem_of(said, ["demo"])
    assert isinstance(problem, Problem)
    assert problem.packages == ("demo",)
    for text in (problem.text.en, problem.text.zh, problem.detail or ""):
        assert "hunter2" not in text
        assert "abc123" not in text
        assert "mirror.example" in text
    assert masked("\x1b[31mred\x1b[0m") == "red"


SERVER = """
import asyncio, os, sys
from pathlib import Path
from service.host.dependencies.declaration import Declared
from service.host.dependencies.environments import Environments

async def main():
    environments = Environments(Path(sys.argv[1]), timeout_s=60, allow_builds=False)
    await environments.start()
    await environments.acquire(Declared(dependencies=["good"]), user="search/demo")

asyncio.run(main())
"""


async def test_a_killed_server_leaves_no_uv(folder: Path, registry: Registry, tmp_path: Path) -> None:
    path = registry.add("good", "1.0", {"good.py": f"X = {os.urandom(9).hex()!r}\n"})
    registry.behave(path, Behaviour(hang=True))
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVER, str(folder), cwd=ROOT)
    await asyncio.to_thread(registry.wait_asked, path)
    tree = descendants(server.pid)
    assert len(tree) >= 2, tree
    server.send_signal(signal.SIGKILL)
    await server.wait()
    async with asyncio.timeout(10):
        while any(alive(pid) for pid in tree):
            await asyncio.sleep(0.01)
    # The next start finds what was half-made, and clears it away.
    environments = Environments(folder, timeout_s=20, allow_builds=False)
    await environments.start()
    await environments.close()
    nothing_left(folder)


def descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
