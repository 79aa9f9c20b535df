"""Sets of packages: made, shared, lent, kept over a restart, offline, and gone after the last that used them."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from service.errors import LoadFailed
from service.host.dependencies.declaration import Declared
from service.host.dependencies.environments import Environments, Lease, Plan
from service.model.events import InstallProgress
from tests.registry import Behaviour, Registry

Opened = Callable[..., Awaitable[Environments]]


def needs(*lines: str, **more: object) -> Declared:
    return Declared(dependencies=list(lines), **more)


async def lent(environments: Environments, *lines: str, user: str = "search/demo") -> Lease:
    lease = await environments.acquire(needs(*lines), user=user)
    assert lease is not None
    return lease


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def value_in(lease: Lease, expression: str) -> str:
    program = f"import sys; sys.path.insert(0, {str(lease.set.path)!r}); import alpha; print({expression})"
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.strip()


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))


async def test_what_the_server_has_needs_no_set(opened: Opened, folder: Path, registry: Registry) -> None:
    environments = await opened()
    for declared in (
        needs(),
        needs("packaging>=20", "msgspec"),
        needs("nothing-there; sys_platform == 'win32'"),
        needs(requires_python=">=3.11"),
    ):
        assert await environments.acquire(declared, user="search/demo") is None
    plan = await environments.plan(needs("packaging>=20"))
    assert plan.add == []
    assert [(one.name, one.satisfied) for one in plan.satisfied] == [("packaging", True)]
    assert registry.requests == []
    assert names(folder) == []


async def test_contradictory_pins_side_by_side_and_equal_ones_shared(
    opened: Opened, folder: Path, registry: Registry
) -> None:
    registry.add("alpha", "1.0")
    registry.add("alpha", "2.0")
    registry.add("beta", "1.0", requires=["alpha<2"])
    environments = await opened()
    environments.settled()
    progress: list[InstallProgress] = []
    old = await environments.acquire(needs("beta"), user="search/a", on_progress=progress.append)
    new, also_old = await asyncio.gather(
        lent(environments, "alpha>=2", user="search/b"),
        lent(environments, "alpha==1.0", "beta", user="parser/c"),
    )
    assert old is not None
    assert old.set.id == also_old.set.id != new.set.id
    assert [(one.name, one.version) for one in old.set.packages] == [("alpha", "1.0"), ("beta", "1.0")]
    assert all(one.size for one in old.set.packages)
    assert (value_in(old, "alpha.VERSION"), value_in(new, "alpha.VERSION")) == ("1.0", "2.0")
    assert progress[0].step == "resolve"
    assert (progress[-1].step, progress[-1].done, progress[-1].total) == ("install", 2, 2)
    views = {view.id: view for view in await environments.list()}
    assert views[old.set.id].used_by == ["parser/c", "search/a"]
    assert views[old.set.id].size > 0
    kept = folder / ".kept" / f"{old.set.id}.json"
    await until(lambda: b'"compiled":true' in kept.read_bytes())
    size = {view.id: view.size for view in await environments.list()}[old.set.id]
    (folder / old.set.id / "large").write_bytes(b"x" * 100_000)
    sizes = {view.id: view.size for view in await environments.list()}
    assert sizes[old.set.id] == size, "a set never changes, so it is measured once"
    assert await environments.prune() == []
    # A set stays for the last that uses it, and goes after that one.
    old.release()
    old.release()
    new.release()
    await until(lambda: names(folder) == [also_old.set.id])
    assert value_in(also_old, "alpha.VERSION") == "1.0"
    also_old.release()
    await until(lambda: not [*names(folder), *(folder / ".tmp").iterdir(), *(folder / ".kept").iterdir()])


async def test_a_save_within_the_linger_reinstalls_nothing(
    opened: Opened, folder: Path, registry: Registry
) -> None:
    registry.add("alpha", "1.0")
    environments = await opened(linger_s=30.0)
    environments.settled()
    first = await lent(environments, "alpha")
    made = (folder / first.set.id).stat().st_ino
    first.release()
    second = await lent(environments, "alpha")
    assert (folder / second.set.id).stat().st_ino == made
    second.release()
    removed = await environments.prune()
    assert [(view.id, view.used_by) for view in removed] == [(first.set.id, [])]
    assert names(folder) == []
    assert await environments.list() == []


async def test_a_restart_keeps_sets_and_asks_nobody(opened: Opened, folder: Path, registry: Registry) -> None:
    registry.add("alpha", "1.0")
    before = await opened()
    lease = await lent(before, "alpha")
    await before.remember_modules(lease.set.id, ["alpha", "alpha.more"])
    await before.close()
    assert names(folder) == [lease.set.id]
    # What a crash leaves.
    (folder / ("0" * 32)).mkdir()
    (folder / ".tmp" / "half").mkdir()
    asked = len(registry.requests)
    registry.close()
    after = await opened()
    again = await lent(after, "alpha")
    assert again.set == lease.set
    assert after.modules(again.set.id) == ("alpha", "alpha.more")
    assert len(registry.requests) == asked
    assert names(folder) == [lease.set.id]
    assert list((folder / ".tmp").iterdir()) == []
    await after.close()
    # Nobody has it after the next start: it goes once everything that runs has said what it uses.
    third = await opened()
    assert names(folder) == [lease.set.id]
    third.settled()
    await until(lambda: names(folder) == [])


async def test_a_damaged_set_is_made_again(opened: Opened, folder: Path, registry: Registry) -> None:
    registry.add("alpha", "1.0")
    before = await opened()
    lease = await lent(before, "alpha")
    await before.close()
    (lease.set.path / "alpha.py").write_bytes(b"")
    after = await opened()
    both = await asyncio.gather(lent(after, "alpha"), lent(after, "alpha", user="search/other"))
    assert [value_in(one, "alpha.VERSION") for one in both] == ["1.0", "1.0"]
    # Also one that somebody deletes while it is in use, with all that lies around it.
    shutil.rmtree(folder)
    assert value_in(await lent(after, "alpha", user="search/third"), "alpha.VERSION") == "1.0"
    assert [view.used_by for view in await after.list()] == [["search/demo", "search/other", "search/third"]]


async def test_offline_with_a_warm_cache(opened: Opened, folder: Path, registry: Registry) -> None:
    registry.add("alpha", "1.0")
    registry.add("alpha", "2.0")
    environments = await opened()
    environments.settled()
    (await lent(environments, "alpha")).release()
    await environments.prune()
    registry.close()
    # Another requirement, resolved and installed from what was fetched before.
    lease = await lent(environments, "alpha>=1.5")
    assert value_in(lease, "alpha.VERSION") == "2.0"


async def test_a_removed_set_comes_back_as_it_was(opened: Opened, folder: Path, registry: Registry) -> None:
    registry.add("alpha", "1.0")
    environments = await opened()
    environments.settled()
    lease = await lent(environments, "alpha")
    lease.release()
    await until(lambda: names(folder) == [])
    registry.add("alpha", "2.0")
    asked = len(registry.requests)
    again = await lent(environments, "alpha")
    assert again.set.id == lease.set.id
    assert len(registry.requests) == asked
    again.release()
    # Clearing away clears that memory too.
    await environments.prune()
    third = await lent(environments, "alpha>0")
    assert third.set.id == lease.set.id or third.set.packages[0].version == "2.0"


async def test_what_was_once_resolved_and_is_gone_is_resolved_anew(
    opened: Opened, folder: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = registry.add("alpha", "1.0")
    environments = await opened()
    environments.settled()
    (await lent(environments, "alpha")).release()
    await until(lambda: names(folder) == [])
    del registry.files[path]
    registry.add("alpha", "3.0")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "another"))
    lease = await lent(environments, "alpha")
    assert value_in(lease, "alpha.VERSION") == "3.0"


async def test_a_plan_names_sizes_and_changes_nothing(
    opened: Opened, folder: Path, registry: Registry
) -> None:
    registry.html = True
    registry.add("alpha", "1.0")
    registry.add("beta", "1.0", extras={"more": ["alpha"]})
    environments = await opened()
    before = sorted(str(path) for path in folder.rglob("*"))
    plan = await environments.plan(needs("beta[more]"))
    assert [(one.name, one.version) for one in plan.add] == [("alpha", "1.0"), ("beta", "1.0")]
    assert plan.satisfied == []
    assert sorted(str(path) for path in folder.rglob("*")) == before
    await lent(environments, "beta[more]")
    again = await environments.plan(needs("beta[more]"))
    assert again.add == []
    assert [(one.name, one.installed) for one in again.satisfied] == [("beta", "1.0")]
    with pytest.raises(LoadFailed) as caught:
        await environments.plan(needs("missing-thing"), file="plugins/search/demo_plugin.py")
    assert caught.value.error.code == "dependency_not_found"
    assert caught.value.error.file == "plugins/search/demo_plugin.py"


async def test_one_install_for_all_who_wait_and_none_for_nobody(
    opened: Opened, folder: Path, registry: Registry
) -> None:
    path = registry.add("alpha", "1.0", {"alpha.py": f"X = {os.urandom(9).hex()!r}\n"})
    environments = await opened()
    registry.behave(path, Behaviour(hang=True))
    first, second = (asyncio.create_task(lent(environments, "alpha", user=str(n))) for n in range(2))
    await asyncio.to_thread(registry.wait_asked, path)
    await until(lambda: uv_processes(folder))
    assert len(uv_processes(folder)) == 1
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert uv_processes(folder)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert uv_processes(folder) == []
    assert list((folder / ".tmp").iterdir()) == []
    # And the next who wants it has it.
    registry.behave(path, Behaviour())
    await lent(environments, "alpha")


async def test_close_ends_what_is_under_way(opened: Opened, folder: Path, registry: Registry) -> None:
    registry.add("alpha", "1.0")
    registry.behave("alpha", Behaviour(hang=True))
    environments = await opened()
    waiting = asyncio.create_task(lent(environments, "alpha>0.1"))
    await asyncio.to_thread(registry.wait_asked, "/simple/alpha/")
    await environments.close()
    await environments.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert uv_processes(folder) == []
    assert list((folder / ".tmp").iterdir()) == []


async def test_the_template_of_a_set_is_told_before_it_goes(
    opened: Opened, folder: Path, registry: Registry
) -> None:
    registry.add("alpha", "1.0")
    told: list[tuple[Path, bool]] = []

    async def on_removed(path: Path) -> None:
        told.append((path, await asyncio.to_thread((path / "alpha.py").is_file)))

    environments = await opened(on_removed=on_removed)
    lease = await lent(environments, "alpha")
    lease.release()
    await environments.prune()
    assert told == [(lease.set.path, True)]


async def test_modules_are_compiled_once_the_set_serves(
    opened: Opened, folder: Path, registry: Registry
) -> None:
    registry.add("alpha", "1.0", {"alpha.py": "X = 1\n", "alpha_broken.py": "def\n"})
    environments = await opened()
    lease = await lent(environments, "alpha")
    await until(lambda: list(lease.set.path.glob("__pycache__/alpha.*.pyc")))
    assert value_in(lease, "alpha.X") == "1"


async def test_a_user_without_rights_of_the_server_may_read_a_set(
    opened: Opened, folder: Path, registry: Registry
) -> None:
    registry.add("alpha", "1.0")
    mask = os.umask(0o077)
    try:
        environments = await opened()
        lease = await lent(environments, "alpha")
    finally:
        os.umask(mask)
    for path in (folder, lease.set.path, lease.set.path / "alpha.py"):
        assert path.stat().st_mode & 0o044 == 0o044


@pytest.mark.parametrize(
    ("declared", "code"),
    [
        (needs(requires_python=">=3.99"), "python_unsuitable"),
        (needs(plugbay={"min_interface": 99}), "interface_too_old"),
        (needs(plugbay={"min_interface": "1.1"}), "interface_too_old"),
    ],
)
async def test_python_and_interface_are_checked(
    opened: Opened, registry: Registry, declared: Declared, code: str
) -> None:
    environments = await opened()
    for doing in (environments.acquire(declared, user="search/demo"), environments.plan(declared)):
        with pytest.raises(LoadFailed) as caught:
            await doing
        assert caught.value.error.code == code
    assert await environments.plan(needs(plugbay={"min_interface": "1.0"})) == Plan([], [])


def uv_processes(folder: Path) -> list[int]:
    """The processes that work in the folder of sets, keepers aside."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes()
            where = os.readlink(entry / "cwd")
        except OSError:
            continue
        if entry.name.isdigit() and where.startswith(str(folder)) and b"keeper.py" not in command:
            found.append(int(entry.name))
    return found
