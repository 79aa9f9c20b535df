"""Which helpers a text imports, told by its looks alone."""

from __future__ import annotations

import asyncio
import time

import pytest

from service.host.files.imports import ImportReader, named_in, paths_of_modules
from service.host.files.sources import source_file

HELPERS = {
    "search/words.py": source_file(b"def late():\n    from .deep import x\n"),
    "search/deep.py": source_file(b"import plugins.shared.inner.part\n"),
    "search/other.py": source_file(b""),
    "shared/__init__.py": source_file(b""),
    "shared/inner/part.py": source_file(b"from ...search import words  # a circle\n"),
}
ALL = {"search/words.py", "search/deep.py", "shared/__init__.py", "shared/inner/part.py"}


def reached(text: str, path: str = "search/demo_plugin.py") -> set[str]:
    return ImportReader().reached([path], {**HELPERS, path: source_file(text.encode())})


@pytest.mark.parametrize(
    "text",
    [
        "from plugins.search.words import WORD",
        "import plugins.search.words as words",
        "import os, plugins.search.words",
        "from .words import *",
        "from . import words as w",
        "from .import words",
        "from.words import x",
        "from ..search.words import x",
        "from plugins.search import (\n    one,  # the first )\n    words,\n)",
        "from . import one, \\\n    words",
        "from . \\\n    import words",
        "def f():\n\tfrom .words import x",
        "if True: from .words import x",
        "importlib.import_module('plugins.search.words')",
    ],
)
def test_every_way_of_importing_is_found_and_followed(text: str) -> None:
    assert reached(text) == ALL


@pytest.mark.parametrize(
    "text",
    [
        "",
        "import words",
        "from words import x",
        "# from .words import x",
        "x = 'from plugins'",
        "y = words.WORD",
    ],
)
def test_what_is_no_import_of_a_helper_is_none(text: str) -> None:
    assert reached(text + "\nplugins = 1") == set()


def test_a_package_is_read_from_its_own_folder() -> None:
    path = "search/demo_plugin/__init__.py"
    assert reached("from .words import x\n", path) == set()
    assert reached("from ..words import x\n", path) == ALL


def test_modules_that_are_there_have_files() -> None:
    names = ["plugins.shared", "plugins.search.words", "plugins.search", "plugins.none"]
    assert paths_of_modules(names, HELPERS) == {"shared/__init__.py", "search/words.py"}


@pytest.mark.parametrize("before", range(16 * 1024 - 60, 16 * 1024 + 60, 7))
def test_where_a_large_text_is_cut_nothing_is_lost(before: int) -> None:
    comment = f"#{'x' * (before - 2)}\n"
    code = "x" * (before - 1) + "\n"
    names = f"from .words import ({', '.join(f'name{number}' for number in range(300))}, last)\n"
    for text in (comment + code + names, code + "import plugins.search.words\n", code + comment + names):
        found = named_in("search/demo_plugin.py", text.encode())
        assert "plugins.search.words" in found
        assert "last" not in text or "plugins.search.words.last" in found


async def test_reading_a_large_text_holds_up_no_other_thread() -> None:
    text = b"plugins\n" + b"from." * 256 * 1024
    reading = asyncio.create_task(asyncio.to_thread(named_in, "search/demo_plugin.py", text))
    started, longest = time.perf_counter(), 0.0
    while not reading.done():
        began = time.perf_counter()
        await asyncio.sleep(0)
        longest = max(longest, time.perf_counter() - began)
    # One search over all of it would be the longest turn and the whole reading.
    assert longest < (time.perf_counter() - started) / 2


@pytest.mark.parametrize(
    "part",
    [
        "from . ",
        "from a import (",
        f"from {' ' * 39}",
        "from .\\\n",
        "plugins.",
        "from .a.",
        "#",
        "plugins.a.",
    ],
)
def test_no_text_takes_long(part: str) -> None:
    text = (part * (1024 * 1024 // len(part)) + " plugins").encode()
    began = time.process_time()
    named_in("search/demo_plugin.py", text)
    assert time.process_time() - began < 2.0
