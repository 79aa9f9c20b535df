"""The scaffolds: the same code in both languages, each told in its own."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from importlib.resources import files

import pytest

from service.scaffolds.scaffold import name_problem, text_of_plugin, text_of_test

FILES = [f"{type}_{kind}.py" for type in ("search", "download", "parser") for kind in ("plugin", "test")]
HAN = re.compile(r"[\u3400-\u9fff]")


def code(language: str, name: str) -> str:
    """What a scaffold does, without what it says."""
    tree = ast.parse((files("service.scaffolds") / language / name).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


def told(text: str) -> list[str]:
    """The comments and docstrings of a text."""
    comments = [
        one.string
        for one in tokenize.generate_tokens(io.StringIO(text).readline)
        if one.type == tokenize.COMMENT
    ]
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = [ast.get_docstring(node) for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]
    return [one for one in comments if " " in one.strip("# /") and "python" not in one] + [
        one for one in docs if one
    ]


@pytest.mark.parametrize("name", FILES)
def test_both_languages_have_the_same_code(name: str) -> None:
    assert code("en", name) == code("zh", name)


@pytest.mark.parametrize("type", ["search", "download", "parser"])
def test_each_is_told_in_its_language(type: str) -> None:
    english, chinese = text_of_plugin(type, "demo", "en"), text_of_plugin(type, "demo", "zh")
    assert len(told(english)) > 5
    assert not any(HAN.search(one) for one in told(english))
    assert all(HAN.search(one) for one in told(chinese)), told(chinese)
    assert HAN.search(text_of_test(type, "demo_plugin.py", "zh"))
    for text in (english, chinese):
        assert 'name = "demo"' in text and "caffold" not in text


@pytest.mark.parametrize("name", ["demo", "示例", "7-up", "a" * 57])
def test_names_that_a_plugin_can_have(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize("name", ["", "a b", "../x", "a.py", "a_plugin", "a" * 58, "plugin_template", "a\n"])
def test_names_that_it_cannot_have(name: str) -> None:
    problem = name_problem(name)
    assert problem is not None and problem.zh and problem.en
