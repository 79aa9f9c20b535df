"""What a plugin must be, and what is said of one that is not."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from service.model.identity import is_valid_name
from service.worker import contract
from service.worker.faults import ContractBroken

HEAD = "from service.sdk import *\n"
SEARCH = """
class Demo(SearchPlugin):
    name = "demo"
    version = "1"
    description = ""
    async def search(self, keyword, **kwargs): return []
"""


def module_of(source: str) -> ModuleType:
    module = ModuleType("plugins.search.demo_plugin")
    exec(compile(HEAD + source, "demo_plugin.py", "exec"), module.__dict__)
    return module


def broken(source: str, plugin_type: str = "search") -> ContractBroken:
    module = module_of(source)
    with pytest.raises(ContractBroken) as caught:
        contract.check_methods(contract.find_class(module, plugin_type), plugin_type)
    return caught.value


def test_an_abstract_base_of_the_file_itself_does_not_count() -> None:
    source = (
        "import abc\nclass Base(SearchPlugin, abc.ABC):\n    @abc.abstractmethod\n    def parts(self): ...\n"
        + SEARCH.replace("SearchPlugin", "Base").replace("return []", "return []\n    def parts(self): ...")
    )
    assert contract.find_class(module_of(source), "search").__name__ == "Demo"


def test_an_imported_class_does_not_count() -> None:
    module = module_of(SEARCH)
    other = ModuleType("plugins.search.other_plugin")
    exec(HEAD + SEARCH.replace("Demo", "Other"), other.__dict__)
    module.__dict__["Other"] = other.__dict__["Other"]
    assert contract.find_class(module, "search").__name__ == "Demo"


def test_two_candidates_are_both_named() -> None:
    error = broken(SEARCH + SEARCH.replace("Demo", "Second"))
    assert error.code == "several_plugin_classes"
    assert "Demo" in error.en
    assert "Second" in error.zh


@pytest.mark.parametrize(
    ("signature", "good"),
    [
        ("async def search(self, keyword, **kwargs): ...", True),
        ("def search(self, words): ...", True),
        ("async def search(self, *args, **kwargs): ...", True),
        ("async def search(self, keyword, limit=3): yield", True),
        ("@staticmethod\n    def search(keyword): ...", True),
        ("async def search(self): ...", False),
        ("async def search(self, keyword, limit): ...", False),
        ("search = 3", False),
    ],
)
def test_signatures(signature: str, good: bool) -> None:
    source = f"class Demo(SearchPlugin):\n    name = 'demo'\n    {signature}\n"
    if good:
        assert "search" in contract.check_methods(contract.find_class(module_of(source), "search"), "search")
    else:
        assert broken(source).code == "wrong_signature"


def test_a_missing_method_is_named() -> None:
    error = broken("class Demo(SearchPlugin):\n    name = 'demo'\n")
    assert (error.code, "search" in error.en) == ("method_missing", True)


def test_a_plugin_of_another_type_is_told_its_folder() -> None:
    assert "plugins/parser/" in broken("class P(ParserPlugin):\n    name = 'p'\n").en


@pytest.mark.parametrize(
    "name",
    [
        "demo",
        "斗罗",
        "a-b_c9",
        "हिन्दी",
        "x" * 64,
        "",
        "x" * 65,
        "a/b",
        "../x",
        "a b",
        "a.b",
        "a\0",
        "💥",
        "a:b",
    ],
)
def test_both_sides_have_the_same_rule_of_names(name: str) -> None:
    assert contract.is_valid_name(name) == is_valid_name(name)
    assert is_valid_name(name) == (name in ("demo", "斗罗", "a-b_c9", "हिन्दी", "x" * 64))


def test_a_name_may_be_a_property() -> None:
    source = SEARCH.replace('name = "demo"', "@property\n    def name(self): return 'made'")
    plugin = contract.find_class(module_of(source), "search")()
    assert contract.describe(plugin, "search", [])["name"] == "made"


@pytest.mark.parametrize(
    ("schema", "stored", "config", "missing"),
    [
        ([{"name": "a", "default": 1}], {}, {"a": 1}, []),
        ([{"name": "a", "default": 1}], {"a": 2, "x": 3}, {"a": 2, "x": 3}, []),
        ([{"name": "a", "default": 1}], {"a": ""}, {"a": 1}, []),
        ([{"name": "a", "required": True}], {"a": ""}, {}, ["a"]),
        ([{"name": "a", "required": True}], {"a": 0}, {"a": 0}, []),
    ],
)
def test_stored_values_over_defaults(
    schema: list[dict[str, Any]], stored: dict[str, Any], config: dict[str, Any], missing: list[str]
) -> None:
    fields = [contract._field(one, None) for one in schema]
    assert contract.effective_config(fields, None, stored) == (config, missing)


def test_a_schema_that_is_none_is_refused() -> None:
    plugin = contract.find_class(module_of(SEARCH), "search")()
    plugin.get_config_schema = lambda: [{"label": "no name"}]  # type: ignore[method-assign,list-item]
    with pytest.raises(ContractBroken, match="no ConfigField"):
        contract.schema_of(plugin)
    plugin.get_config_schema = lambda: [{"name": "x", "type": "colour"}]  # type: ignore[method-assign,list-item]
    with pytest.raises(ContractBroken, match="colour"):
        contract.schema_of(plugin)
