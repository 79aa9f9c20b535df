"""Names: two files that claim one, files that are renamed, classes that are."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytest_asyncio

from tests.integration.live import (
    Live,
    clear,
    live_server,
    only,
    save,
    search_plugin,
    without_passing,
    write,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    async with live_server(tmp_path_factory.mktemp("conflicts") / "home") as live:
        yield live


@pytest_asyncio.fixture(loop_scope="module")
async def live(server: Live) -> Live:
    await clear(server)
    return server


async def place(live: Live, name: str, text: str) -> Path:
    path = write(live.plugins / "search" / f"{name}_plugin.py", text)
    await live.until(lambda _: live.final())
    await live.quiet(0.1)
    live.events.clear()
    return path


async def test_the_first_loaded_keeps_the_name(live: Live) -> None:
    await place(live, "second", search_plugin("demo", "second"))
    write(live.plugins / "search/first_plugin.py", search_plugin("demo", "first"))
    await only(live, "failed search/first")
    plugin = await live.plugin("search/first")
    assert (plugin["state"], plugin["error"]["code"]) == ("failed", "conflict")
    for path in ("plugins/search/first_plugin.py", "plugins/search/second_plugin.py"):
        assert path in plugin["error"]["message"]
    assert await live.answer("demo") == "second"


async def test_the_name_is_free_when_its_holder_goes(live: Live) -> None:
    holder = await place(live, "second", search_plugin("demo", "second"))
    await place(live, "first", search_plugin("demo", "first"))
    holder.unlink()
    await only(live, "unloaded search/first", "reloaded search/demo")
    assert await live.answer("demo") == "first"
    assert sorted(await live.listed()) == ["search/demo"]


async def test_the_name_is_free_when_its_holder_takes_another(live: Live) -> None:
    holder = await place(live, "second", search_plugin("demo", "second"))
    await place(live, "first", search_plugin("demo", "first"))
    save(holder, search_plugin("other", "second"))
    await only(
        live, "unloaded search/demo", "loaded search/other", "unloaded search/first", "loaded search/demo"
    )
    assert await live.answer("demo") == "first"
    assert await live.answer("other") == "second"


async def test_one_in_conflict_is_given_a_name_of_its_own(live: Live) -> None:
    await place(live, "second", search_plugin("demo", "second"))
    first = await place(live, "first", search_plugin("demo", "first"))
    save(first, search_plugin("mine", "first"))
    await only(live, "unloaded search/first", "loaded search/mine")


async def test_a_serving_plugin_that_claims_a_name_that_is_taken_serves_on(live: Live) -> None:
    await place(live, "second", search_plugin("demo", "second"))
    first = await place(live, "first", search_plugin("mine", "first"))
    save(first, search_plugin("demo", "third"))
    await only(live, "failed search/mine")
    plugin = await live.plugin("search/mine")
    assert (plugin["state"], plugin["error"]["code"]) == ("degraded", "conflict")
    assert await live.answer("mine") == "first"
    assert await live.answer("demo") == "second"


async def test_one_that_claimed_a_name_and_is_broken_by_now_claims_it_no_more(live: Live) -> None:
    holder = await place(live, "second", search_plugin("demo", "second"))
    first = await place(live, "first", search_plugin("demo", "first"))
    save(first, "broken(")
    await only(live, "failed search/first")
    live.events.clear()
    holder.unlink()
    await only(live, "unloaded search/demo")


async def test_names_are_not_exchanged_with_one_that_is_broken_by_now(live: Live) -> None:
    second = await place(live, "second", search_plugin("demo", "second"))
    first = await place(live, "first", search_plugin("mine", "first"))
    for text in (search_plugin("demo", "third"), "broken("):
        save(first, text)
        await only(live, "failed search/mine")
        live.events.clear()
    save(second, search_plugin("mine", "fourth"))
    await only(live, "failed search/demo")
    assert (await live.plugin("search/demo"))["error"]["code"] == "conflict"
    assert await live.answer("mine") == "first"
    assert await live.answer("demo") == "second"


async def test_a_file_and_a_package_of_one_stem(live: Live) -> None:
    await place(live, "demo", search_plugin("demo", "file"))
    write(live.plugins / "search/demo_plugin/__init__.py", search_plugin("demo", "package"))
    await live.until(lambda _: live.final())
    await live.quiet()
    assert len(live.final()) == 1 and live.final()[0].startswith("failed search/")
    assert await live.answer("demo") == "file"
    assert len(await live.listed()) == 2
    live.events.clear()
    (live.plugins / "search/demo_plugin.py").unlink()
    await only(live, "reloaded search/demo", "unloaded search/demo_plugin")
    assert await live.answer("demo") == "package"
    assert list(await live.listed()) == ["search/demo"]


async def test_a_stem_makes_way_for_who_says_the_name(live: Live) -> None:
    """`demo_plugin.py` never loaded, so it has the name `demo` by its file only."""
    await place(live, "demo", "broken(")
    assert (await live.plugin("search/demo"))["state"] == "failed"
    write(live.plugins / "search/other_plugin.py", search_plugin("demo", "other"))
    await only(live, "failed search/demo_plugin", "loaded search/demo")
    assert await live.answer("demo") == "other"
    assert (await live.plugin("search/demo_plugin"))["file"] == "plugins/search/demo_plugin.py"


async def test_a_renamed_file(live: Live) -> None:
    path = await place(live, "old", search_plugin("demo"))
    path.rename(path.with_name("new_plugin.py"))
    await only(live, "reloaded search/demo")
    plugin = await live.plugin("search/demo")
    assert (plugin["file"], plugin["generation"]) == ("plugins/search/new_plugin.py", 2)


async def test_a_file_renamed_many_times(live: Live) -> None:
    """Each renaming leaves a generation that drains, and none of them stays in the way of the next."""
    path = await place(live, "p0", search_plugin("demo"))
    for number in range(1, 12):
        path = path.rename(path.with_name(f"p{number}_plugin.py"))
        await live.event("reloaded", "search/demo")
        await live.until(lambda _: "drained search/demo" in live.kinds())
        live.events.clear()
    plugin = await live.plugin("search/demo")
    assert (plugin["generation"], plugin["draining"]) == (12, [])


async def test_a_file_renamed_and_changed(live: Live) -> None:
    path = await place(live, "old", search_plugin("demo"))
    write(path.with_name("new_plugin.py"), search_plugin("demo", "2"))
    path.unlink()
    await live.until(lambda _: (live.mirror().get("search/demo") or {}).get("version") == "2")
    await live.quiet()
    assert await live.answer("demo") == "2"
    assert list(await live.listed()) == ["search/demo"]


async def test_a_renamed_file_that_loads_slowly(live: Live) -> None:
    path = await place(live, "old", search_plugin("demo", imports="import time\ntime.sleep(0.5)"))
    path.rename(path.with_name("new_plugin.py"))
    await only(live, "reloaded search/demo")


async def test_a_file_becomes_a_package(live: Live) -> None:
    path = await place(live, "demo", search_plugin("demo"))
    path.unlink()
    write(live.plugins / "search/demo_plugin/__init__.py", search_plugin("demo", "2"))
    await only(live, "reloaded search/demo")
    assert await live.answer("demo") == "2"


async def test_a_renamed_class(live: Live) -> None:
    path = await place(live, "demo", search_plugin("demo"))
    save(path, search_plugin("other", "2"))
    await only(live, "unloaded search/demo", "loaded search/other")
    assert live.kinds().index("unloaded search/demo") < live.kinds().index("loaded search/other")
    assert (await live.search("demo")).status == 200  # by the file's stem
    assert (await live.get("/api/plugins/search/demo")).body["name"] == "other"


async def test_the_files_of_two_plugins_are_exchanged(live: Live) -> None:
    one = await place(live, "one", search_plugin("one"))
    two = await place(live, "two", search_plugin("two"))
    one.rename(one.with_name("x"))
    two.rename(one)
    one.with_name("x").rename(two)
    await only(live, "reloaded search/one", "reloaded search/two")
    assert await live.answer("one") == "1"
    assert await live.answer("two") == "1"
    listed = await live.listed()
    assert {id: (plugin["file"], plugin["state"]) for id, plugin in listed.items()} == {
        "search/one": ("plugins/search/two_plugin.py", "active"),
        "search/two": ("plugins/search/one_plugin.py", "active"),
    }


@pytest.mark.parametrize("names", ["abc", "abcdefg"])
@pytest.mark.parametrize("turn", [1, -1], ids=["forwards", "backwards"])
async def test_the_files_of_many_plugins_rotate(live: Live, names: str, turn: int) -> None:
    paths = {name: await place(live, name, search_plugin(name, name)) for name in names}
    for path in paths.values():
        path.rename(path.with_suffix(".old"))
    for name, old in zip(names, names[turn:] + names[:turn], strict=True):
        paths[old].with_suffix(".old").rename(paths[name])
    await only(live, *(f"reloaded search/{name}" for name in names))
    listed = await live.listed()
    assert {id: one["state"] for id, one in listed.items()} == {f"search/{name}": "active" for name in names}
    for name, old in zip(names, names[turn:] + names[:turn], strict=True):
        assert await live.answer(name) == name
        assert listed[f"search/{old}"]["file"] == f"plugins/search/{name}_plugin.py"


async def test_files_change_places_of_which_one_takes_its_time(live: Live) -> None:
    """Longer than a failure is held back: the others wait what becomes of the name that they claim."""
    texts = {name: search_plugin(name, name) for name in "ab"}
    texts["c"] = search_plugin("c", "c", imports="import time\ntime.sleep(0.6)")
    for name, text in texts.items():
        await place(live, name, text)
    for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
        save(live.plugins / f"search/{name}_plugin.py", texts[other])
    await only(live, *(f"reloaded search/{name}" for name in "abc"))
    assert [await live.answer(name) for name in "abc"] == ["a", "b", "c"]


async def test_files_that_rotate_one_by_one(live: Live) -> None:
    """Slowly enough that two of them are in conflict for a while; the last move ends that."""
    paths = {name: await place(live, name, search_plugin(name, name)) for name in "abc"}
    texts = {name: path.read_text() for name, path in paths.items()}
    for name, other in (("a", "b"), ("b", "c")):
        save(paths[name], texts[other])
        await live.event("failed", f"search/{name}")
    save(paths["c"], texts["a"])
    await only(live, "failed search/a", "failed search/b", *(f"reloaded search/{name}" for name in "abc"))
    for name in "abc":
        assert await live.answer(name) == name


async def test_a_file_that_never_loaded_is_listed_under_its_stem(live: Live) -> None:
    path = await place(live, "broken", "class (")
    plugin = await live.plugin("search/broken")
    assert (plugin["name"], plugin["state"], plugin["version"]) == ("broken", "failed", "")
    assert plugin["error"]["file"] == "plugins/search/broken_plugin.py"
    save(path, search_plugin("demo"))
    await only(live, "unloaded search/broken", "loaded search/demo")
    assert list(await live.listed()) == ["search/demo"]


@pytest.mark.parametrize("seconds", [0.5, 2.5])
async def test_at_start_the_first_by_path_has_the_name(tmp_path: Path, seconds: float) -> None:
    """However long it takes to load: the others do not wait for ever, and make way in the end."""
    home = tmp_path / "home"
    slow = search_plugin("demo", "a", imports=f"import time\ntime.sleep({seconds})")
    write(home / "plugins/search/a_plugin.py", slow)
    for name in ("b", "c", "d"):
        write(home / f"plugins/search/{name}_plugin.py", search_plugin("demo", name))
    write(home / "plugins/search/e_plugin.py", search_plugin("other"))
    async with live_server(home) as live:
        assert await live.answer("demo") == "a"
        await live.quiet()
        listed = await live.listed()
        states = {id: (one["state"], (one["error"] or {}).get("code")) for id, one in listed.items()}
        assert states == {
            "search/demo": ("active", None),
            "search/other": ("active", None),
            "search/b": ("failed", "conflict"),
            "search/c": ("failed", "conflict"),
            "search/d": ("failed", "conflict"),
        }
        assert without_passing(live.mirror()) == without_passing(listed)
        live.events.clear()
        (home / "plugins/search/a_plugin.py").unlink()
        await only(live, "reloaded search/demo", "unloaded search/b")
        assert await live.answer("demo") == "b"
