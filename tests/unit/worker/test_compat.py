"""What plugins written for the original application find where they look for its modules."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from service import sdk
from service.host.dependencies.declaration import declared
from service.worker import contract
from service.worker.compat import bases, stand_ins
from service.worker.compat.conversions import to_bool, to_float, to_int
from service.worker.compat.signs import imports_base_plugin
from service.worker.faults import ContractBroken

PLAIN = "from base_plugin import SearchPlugin\n"


# -- imports -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "from base_plugin import SearchPlugin as found",
        "import base_plugin\nfound = base_plugin.SearchPlugin",
        "from plugins.base_plugin import SearchPlugin as found",
        "from plugins import base_plugin\nfound = base_plugin.SearchPlugin",
        "from ..base_plugin import SearchPlugin as found",
        "from .base_plugin import SearchPlugin as found",
        "from base_plugin import *\nfound = SearchPlugin\nOptional, List, ABC, abstractmethod",
        "import importlib\nfound = importlib.import_module('base_plugin').SearchPlugin",
        "import models, database, logger\nfrom base_plugin import SearchPlugin as found\n"
        "assert isinstance(models.SearchResult(title='t', url='u'), models.SearchResult)",
    ],
)
def test_every_spelling_gives_the_same_class(serve: Any, text: str) -> None:
    found = serve({"plugins.search.demo_plugin": text}).found
    assert found is bases.SearchPlugin
    assert issubclass(found, sdk.SearchPlugin)


@pytest.mark.parametrize("own", ["plugins.base_plugin", "plugins.models", "plugins.search.base_plugin"])
def test_a_module_of_the_users_own_comes_first(serve: Any, own: str) -> None:
    text = PLAIN + f"import {own}\nfound = {own}.MINE\n"
    assert serve({"plugins.search.demo_plugin": text, own: "MINE = 1\n"}).found == 1


@pytest.mark.parametrize("name", ["models", "logger", "database"])
def test_an_installed_module_wins_only_where_no_base_plugin_is_imported(
    serve: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{name}.py").write_text("INSTALLED = True\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    text = f"import {name}\nfound = hasattr({name}, 'INSTALLED')\n"
    assert serve({"plugins.search.demo_plugin": text}).found
    for module in ("plugins.search.demo_plugin", name):
        del sys.modules[module]
    assert not serve({"plugins.search.demo_plugin": text + PLAIN}).found
    # Where a helper is what imports it, that counts from then on.
    del sys.modules["plugins.search.demo_plugin"], sys.modules[name], sys.modules["base_plugin"]
    modules = {
        "plugins.search.demo_plugin": "from .helper import SearchPlugin\n" + text,
        "plugins.search.helper": PLAIN,
    }
    assert not serve(modules).found


def test_other_names_are_not_served_and_nothing_stays_behind(serve: Any) -> None:
    with pytest.raises(ModuleNotFoundError):
        serve({"plugins.search.demo_plugin": "import plugins.parser.other"})
    serve({"plugins.search.some_plugin": "import models, plugins.models"})
    assert "models" in sys.modules
    stand_ins.uninstall()
    stand_ins.uninstall()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("models")


@pytest.mark.parametrize(
    ("own", "requirements", "dependencies"),
    [
        ("", b"", ["httpx"]),
        ("# /// script\n# dependencies = ['lxml>=5']\n# ///\n", b"", ["lxml>=5", "httpx"]),
        ("# /// script\n# dependencies = ['HTTPX<1']\n# ///\n", b"", ["HTTPX<1"]),
        ("", b"httpx[http2]>=0.27\n", ["httpx[http2]>=0.27"]),
    ],
)
def test_httpx_is_added_once(own: str, requirements: bytes, dependencies: list[str]) -> None:
    assert declared((own + PLAIN).encode(), requirements).dependencies == dependencies
    native = own + "from service.sdk import SearchPlugin\n"
    assert declared(native.encode(), requirements).dependencies == [
        one for one in dependencies if one != "httpx"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from base_plugin import SearchPlugin", True),
        ("    from  plugins.base_plugin import (\n  SearchPlugin,\n)", True),
        ("from ..base_plugin import *", True),
        ("import os, base_plugin as b", True),
        ("from plugins.search import base_plugin", True),
        ("try: import base_plugin\nexcept ImportError: pass", True),
        ("import os\r\nfrom base_plugin import *\r\n", True),
        ("import os\rfrom base_plugin import *\r", True),
        ("from database_plugin import X", False),
        ("import base_plugins", False),
        ("# from base_plugin import SearchPlugin", False),
        ("base_plugin = 1", False),
        ("importance = 'base_plugin'", False),
        ("from x import y; name = 'base_plugin'", False),
        ("", False),
    ],
)
def test_who_imports_base_plugin(text: str, expected: bool) -> None:
    assert imports_base_plugin(text.encode()) is expected


def test_a_hostile_text_is_looked_through_in_no_time() -> None:
    for text in (b"base_plugin " * 400_000, b"from" + b" " * 5_000_000, b"from " + b"a." * 2_500_000):
        assert not imports_base_plugin(text)


# -- classes -----------------------------------------------------------------------------------------------------------


def test_a_base_without_a_name_is_a_step_on_the_way(serve: Any) -> None:
    module = serve(
        {
            "plugins.search.demo_plugin": PLAIN + "from abc import ABC\n"
            "class Base(SearchPlugin, ABC):\n    async def search(self, keyword): return self.parse(keyword)\n"
            "class Demo(Base):\n    name = version = description = 'demo'\n    def parse(self, k): return []\n"
        }
    )
    cls = contract.find_class(module, "search")
    assert cls.__name__ == "Demo"
    assert contract.check_methods(cls, "search") == ["search"]


def test_what_is_lacking_is_named(serve: Any) -> None:
    text = PLAIN + "class Demo(SearchPlugin):\n    name = 'demo'\n"
    cls = contract.find_class(serve({"plugins.search.demo_plugin": text}), "search")
    with pytest.raises(ContractBroken, match="search") as caught:
        contract.check_methods(cls, "search")
    assert caught.value.code == "method_missing"


def test_a_base_class_that_is_only_called_like_ours_is_named(serve: Any) -> None:
    text = "from .base_plugin import SearchPlugin\nclass Demo(SearchPlugin):\n    name = 'demo'\n"
    copied = "from abc import ABC\nclass SearchPlugin(ABC): ...\n"
    module = serve({"plugins.search.demo_plugin": text, "plugins.search.base_plugin": copied})
    with pytest.raises(ContractBroken, match=r"plugins\.search\.base_plugin"):
        contract.find_class(module, "search")


def test_attributes_may_be_set_by_the_constructor(serve: Any) -> None:
    text = PLAIN + (
        "class Demo(SearchPlugin):\n"
        "    def __init__(self):\n        super().__init__()\n        self.name = 'later'\n        self.config = {}\n"
        "    async def search(self, keyword): return []\n"
    )
    cls = contract.find_class(serve({"plugins.search.demo_plugin": text}), "search")
    manifest = contract.describe(cls(), "search", contract.check_methods(cls, "search"))
    assert (manifest["name"], manifest["version"], manifest["description"]) == ("later", "", "")


def test_a_name_that_is_never_set_is_missed(serve: Any) -> None:
    text = PLAIN + "class Demo(SearchPlugin):\n    async def search(self, keyword): return []\n"
    cls = contract.find_class(serve({"plugins.search.demo_plugin": text}), "search")
    contract.check_methods(cls, "search")
    with pytest.raises(ContractBroken) as caught:
        contract.describe(cls(), "search", [])
    assert caught.value.code == "name_missing"


def test_methods_that_the_original_did_not_know_may_mean_something_else(serve: Any) -> None:
    text = (
        "from base_plugin import DownloadPlugin\nclass Demo(DownloadPlugin):\n    name = version = description = 'd'\n"
        "    supported_protocols = ['x']\n    async def download(self, task): return True\n"
        "    def start(self, gid, options): ...\n    def stop(self, gid): ...\n    def pause(self): ...\n"
        "    def cancel(self, task_id): ...\n"
    )
    cls = contract.find_class(serve({"plugins.download.demo_plugin": text}), "download")
    assert contract.check_methods(cls, "download") == ["download", "cancel"]


class _Plain(bases.ParserPlugin):
    name = version = description = "plain"

    def parse_url(self, url: str) -> Any:
        return []


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("8080", 8080),
        (" 8080 ", 8080),
        (8080.0, 8080),
        ("8080.7", 8080),
        ("-3", -3),
        ("9007199254740993", 9007199254740993),
        ("", 7),
        ("  ", 7),
        (None, 7),
        ("abc", 7),
        ("1,000", 7),
        ("nan", 7),
        ("1e999", 7),
        ("9" * 5000, 7),
        ([], 7),
        ({}, 7),
    ],
)
def test_whole_numbers_of_the_configuration(value: Any, number: int) -> None:
    plugin = _Plain()
    plugin.set_config({"port": value})
    assert plugin._get_config_int("port", 7) == number


def test_values_of_the_configuration() -> None:
    plugin = _Plain()
    plugin.set_config(
        {"a": "1.5", "b": "x", "n": 3, "s": " text ", "empty": "", "list": "a, b，c\nd", "l": [1]}
    )
    assert [plugin._get_config_float(key, 9.0) for key in ("a", "b", "n", "empty", "none")] == [
        1.5,
        9,
        3,
        9,
        9,
    ]
    assert [plugin._get_config_str(key, "d") for key in ("s", "n", "empty", "none")] == [
        " text ",
        "3",
        "d",
        "d",
    ]
    assert [plugin._get_config_list(key) for key in ("list", "l", "none")] == [["a", "b", "c", "d"], [1], []]
    assert plugin._get_config("n") == 3
    assert plugin._get_config_int("none", None) is None
    plugin.config = None  # type: ignore[assignment]  # as a plugin of theirs may do
    assert plugin._get_config_int("n", 5) == 5
    assert to_float(10**400) is None
    assert to_int(True) == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [(word, True) for word in ("true", "1", "on", "YES", " True ", "是", 1, True, 2.0)]
    + [(word, False) for word in ("false", "0", "off", "No", "否", 0, False)]
    + [(word, None) for word in ("", "maybe", None, [], {})],
)
def test_yes_and_no(value: Any, expected: bool | None) -> None:
    assert to_bool(value) is expected
    plugin = _Plain()
    plugin.set_config({"flag": value})
    for default in (True, False):
        assert plugin._get_config_bool("flag", default) is (default if expected is None else expected)
