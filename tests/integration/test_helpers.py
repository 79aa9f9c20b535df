"""A changed helper reloads exactly the plugins that import it, however they do."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.integration.live import Live, clear, live_server, only, place, save, search_plugin, write

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOP = {"imports": "from plugins.search.words import WORD", "expression": "WORD"}
# Every way of importing `plugins/search/words.py`, by a name for it.
WAYS = {
    "top": TOP,
    "module": {"imports": "import plugins.search.words as words", "expression": "words.WORD"},
    "relative": {"imports": "from .words import WORD", "expression": "WORD"},
    "sibling": {"imports": "from . import words", "expression": "words.WORD"},
    "function": {
        "imports": "def word():\n    from plugins.search.words import WORD\n    return WORD",
        "expression": "word()",
    },
    "relative_function": {
        "imports": "def word():\n    from .words import WORD\n    return WORD",
        "expression": "word()",
    },
    "importlib": {
        "imports": "import importlib",
        "expression": "importlib.import_module('plugins.search.words').WORD",
    },
    "star": {"imports": "from plugins.search.words import *", "expression": "WORD"},
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Live]:
    async with live_server(tmp_path_factory.mktemp("helpers") / "home") as live:
        yield live


@pytest_asyncio.fixture(loop_scope="module")
async def live(server: Live) -> AsyncIterator[Live]:
    await clear(server)
    yield server


async def test_every_way_of_importing_it(live: Live) -> None:
    files = {"search/words.py": "WORD = 'one'\n", "search/plain_plugin.py": search_plugin("plain")}
    for name, how in WAYS.items():
        files[f"search/{name}_plugin.py"] = search_plugin(name, **how)
    await place(live, files)
    for name in WAYS:
        assert await live.answer(name) == "one", name
    save(live.plugins / "search/words.py", "WORD = 'two'\n")
    await only(live, *(f"reloaded search/{name}" for name in WAYS))
    for name in WAYS:
        assert await live.answer(name) == "two", name
    assert (await live.plugin("search/plain"))["generation"] == 1


async def test_a_helper_of_a_helper(live: Live) -> None:
    await place(
        live,
        {
            "search/deep.py": "WORD = 'one'\n",
            "search/words.py": "def word():\n    from .deep import WORD\n    return WORD\n",
            "search/demo_plugin.py": search_plugin(
                imports="from plugins.search.words import word", expression="word()"
            ),
            "search/other_plugin.py": search_plugin("other"),
        },
    )
    save(live.plugins / "search/deep.py", "WORD = 'two'\n")
    await only(live, "reloaded search/demo")
    assert await live.answer("demo") == "two"


async def test_a_package_of_helpers(live: Live) -> None:
    await place(
        live,
        {
            "shared/__init__.py": "from .inner.words import WORD\n",
            "shared/inner/__init__.py": "",
            "shared/inner/words.py": "WORD = 'one'\n",
            "shared/unused.py": "",
            "search/demo_plugin.py": search_plugin(
                imports="from plugins import shared", expression="shared.WORD"
            ),
            "search/other_plugin.py": search_plugin("other"),
        },
    )
    assert await live.answer("demo") == "one"
    save(live.plugins / "shared/inner/words.py", "WORD = 'two'\n")
    await only(live, "reloaded search/demo")
    assert await live.answer("demo") == "two"
    live.events.clear()
    save(live.plugins / "shared/__init__.py", "WORD = 'three'\n")
    await only(live, "reloaded search/demo")
    assert await live.answer("demo") == "three"
    live.events.clear()
    save(live.plugins / "shared/unused.py", "X = 1\n")
    await live.quiet()
    assert live.kinds() == []


async def test_files_of_a_package_are_its_own(live: Live) -> None:
    package = {
        "search/demo_plugin/__init__.py": search_plugin(imports="from .words import WORD", expression="WORD"),
        "search/demo_plugin/words.py": "from ..shared import WORD\n",
        "search/shared.py": "WORD = 'one'\n",
        "search/demo_plugin/data.json": "{}",
        "search/other_plugin.py": search_plugin("other"),
    }
    await place(live, package)
    assert (await live.plugin("search/demo"))["file"] == "plugins/search/demo_plugin"
    save(live.plugins / "search/demo_plugin/words.py", "WORD = 'two'\n")
    await only(live, "reloaded search/demo")
    assert await live.answer("demo") == "two"
    live.events.clear()
    save(live.plugins / "search/demo_plugin/words.py", "from ..shared import WORD\n")
    await only(live, "reloaded search/demo")
    live.events.clear()
    save(live.plugins / "search/shared.py", "WORD = 'three'\n")
    await only(live, "reloaded search/demo")
    assert await live.answer("demo") == "three"


async def test_a_missing_helper_that_appears(live: Live) -> None:
    await place(live, {"search/demo_plugin.py": search_plugin(**TOP)})
    plugin = await live.plugin("search/demo")
    assert plugin["state"] == "failed"
    assert (plugin["error"]["type"], plugin["error"]["line"]) == ("ModuleNotFoundError", 2)
    write(live.plugins / "search/words.py", "WORD = 'one'\n")
    await only(live, "loaded search/demo")
    assert await live.answer("demo") == "one"


async def test_a_missing_helper_of_a_function_that_appears(live: Live) -> None:
    await place(live, {"search/demo_plugin.py": search_plugin(**WAYS["function"])})
    assert (await live.search("demo")).body["code"] == "plugin_error"
    write(live.plugins / "search/words.py", "WORD = 'one'\n")
    await only(live, "reloaded search/demo")
    assert await live.answer("demo") == "one"


async def test_a_helper_that_breaks_and_is_mended(live: Live) -> None:
    await place(live, {"search/words.py": "WORD = 'one'\n", "search/demo_plugin.py": search_plugin(**TOP)})
    save(live.plugins / "search/words.py", "WORD = (\n")
    await only(live, "failed search/demo")
    plugin = await live.plugin("search/demo")
    assert (plugin["state"], plugin["error"]["file"]) == ("degraded", "plugins/search/words.py")
    assert await live.answer("demo") == "one"
    live.events.clear()
    save(live.plugins / "search/words.py", "WORD = 'two'\n")
    await only(live, "reloaded search/demo")
    assert await live.answer("demo") == "two"


async def test_a_new_import_of_a_broken_file_is_followed_too(live: Live) -> None:
    """The newest file does not load, yet what it imports counts, as does what the serving one imports."""
    await place(live, {"search/words.py": "WORD = 'one'\n", "search/demo_plugin.py": search_plugin(**TOP)})
    save(
        live.plugins / "search/demo_plugin.py",
        search_plugin(imports="from plugins.search.more import MORE", expression="MORE"),
    )
    await only(live, "failed search/demo")
    live.events.clear()
    write(live.plugins / "search/more.py", "MORE = 'more'\n")
    await only(live, "reloaded search/demo")
    assert await live.answer("demo") == "more"


async def test_a_deleted_helper(live: Live) -> None:
    await place(live, {"search/words.py": "WORD = 'one'\n", "search/demo_plugin.py": search_plugin(**TOP)})
    (live.plugins / "search/words.py").unlink()
    await only(live, "failed search/demo")
    assert (await live.plugin("search/demo"))["state"] == "degraded"
    assert await live.answer("demo") == "one"


async def test_a_helper_that_changes_while_its_importer_loads(live: Live) -> None:
    # The load with the old word takes longer than the change of it is on its way.
    slow = search_plugin(
        imports="import time\nfrom plugins.search.words import WORD\ntime.sleep(1.2 if WORD == 'one' else 0)",
        expression="WORD",
    )
    write(live.plugins / "search/words.py", "WORD = 'one'\n")
    write(live.plugins / "search/demo_plugin.py", slow)
    await live.event("loading", "search/demo")  # announced in the middle of the load
    save(live.plugins / "search/words.py", "WORD = 'two'\n")
    await live.until(lambda _: live.final())
    await live.quiet(1.0)
    assert live.final() == ["loaded search/demo"]
    assert await live.answer("demo") == "two"


async def test_a_late_import_is_the_generation_s_own(live: Live) -> None:
    late = search_plugin(
        imports="import asyncio",
        expression="(await asyncio.sleep(0.6), __import__('plugins.search.words', fromlist=['x']).WORD)[1]",
    )
    await place(live, {"search/words.py": "WORD = 'one'\n", "search/demo_plugin.py": late})
    import asyncio

    call = asyncio.create_task(live.answer("demo"))
    await live.until(lambda _: True)
    async with asyncio.timeout(5):
        while (await live.plugin("search/demo"))["running_calls"] == 0:
            await asyncio.sleep(0.01)
    save(live.plugins / "search/words.py", "WORD = 'two'\n")
    await only(live, "reloaded search/demo")
    assert await call == "one"
    assert await live.answer("demo") == "two"


async def test_another_plugin_as_a_helper(live: Live) -> None:
    await place(
        live,
        {
            "search/base_plugin.py": search_plugin("base", "one") + "\nWORD = 'one'\n",
            "search/demo_plugin.py": search_plugin(
                imports="from plugins.search.base_plugin import WORD", expression="WORD"
            ),
        },
    )
    save(live.plugins / "search/base_plugin.py", search_plugin("base", "two") + "\nWORD = 'two'\n")
    await only(live, "reloaded search/base", "reloaded search/demo")
    assert await live.answer("demo") == "two"


async def test_requirements_of_a_plugin(live: Live) -> None:
    await place(
        live, {"search/demo_plugin.py": search_plugin(), "search/other_plugin.py": search_plugin("named")}
    )
    write(live.plugins / "search/demo_requirements.txt", "no-such-thing>=3\n")
    await only(live, "failed search/demo")
    error = (await live.plugin("search/demo"))["error"]
    assert error["stage"] == "dependencies" and "no-such-thing" in error["message"]
    live.events.clear()
    save(live.plugins / "search/demo_requirements.txt", "msgspec\n")
    await only(live, "reloaded search/demo")
    live.events.clear()
    (live.plugins / "search/demo_requirements.txt").unlink()
    await only(live, "reloaded search/demo")
    live.events.clear()
    write(live.plugins / "search/named_requirements.txt", "no-such-thing>=3\n")
    await only(live, "failed search/named")


async def test_requirements_named_by_the_plugin_count_from_its_first_load(live: Live) -> None:
    write(live.plugins / "search/named_requirements.txt", "no-such-thing>=3\n")
    write(live.plugins / "search/other_plugin.py", search_plugin("named"))
    await only(live, "failed search/other")
