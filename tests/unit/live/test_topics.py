from __future__ import annotations

import re
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.live.topics import PATTERN_MAX_LENGTH, TopicInvalid, Topics, check_pattern, topics_of


@pytest.mark.parametrize(
    ("pattern", "subject", "matches"),
    [
        ("plugins/search/demo", "plugins/search/demo", True),
        ("plugins/search/demo", "plugins/search/demo2", False),
        ("plugins/search/demo", "plugins/search", False),
        ("plugins/**", "plugins/search/demo", True),
        ("plugins/**", "plugins/x", True),
        ("plugins/**", "plugins", False),
        ("plugins/**", "pluginsx/y", False),
        ("plugins/*", "plugins/search/demo", False),
        ("plugins/*", "plugins/search", True),
        ("plugins/*/demo", "plugins/search/demo", True),
        ("plugins/*/demo", "plugins/parser/demo", True),
        ("plugins/*/demo", "plugins/a/b/demo", False),
        ("plugins/search/de*", "plugins/search/demo", True),
        ("plugins/search/de*", "plugins/search/de", True),
        ("plugins/search/*mo", "plugins/search/demo", True),
        ("plugins/search/d*m*o", "plugins/search/demo", True),
        ("plugins/search/d*m*o", "plugins/search/do", False),
        ("plugins/search/aba*aba", "plugins/search/aba", False),
        ("plugins/s*/**", "plugins/search/demo", True),
        ("plugins/s*/**", "plugins/search", False),
        ("plugins/s*/**", "plugins/parser/demo", False),
        ("*", "registry", True),
        ("*", "plugins/x", False),
        ("**", "registry", True),
        ("**", "plugins/search/demo", True),
        ("plugins/search/插*", "plugins/search/插件", True),
        ("Plugins/**", "plugins/x", False),
        ("plugins/search/a.b", "plugins/search/axb", False),
    ],
)
def test_matching(pattern: str, subject: str, matches: bool) -> None:
    topics = Topics([check_pattern(pattern)])
    assert topics.matches(subject) is matches
    # Also when it is remembered, and beside patterns that do not match.
    assert topics.matches(subject) is matches
    assert Topics(["nothing/of/*", "that", pattern]).matches(subject) is matches


@pytest.mark.parametrize(
    "pattern",
    ["", "/", "a/", "/a", "a//b", "**/a", "a/**/b", "a**", "a/b**", "a/***", "x" * (PATTERN_MAX_LENGTH + 1)],
)
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(TopicInvalid) as refused:
        check_pattern(pattern)
    assert refused.value.text.zh
    assert refused.value.code == "topic_invalid"


def test_no_topics_match_nothing() -> None:
    assert not Topics([]).matches("a")


_part = st.text("ab*", min_size=1, max_size=5).filter(lambda part: "**" not in part)


@given(
    st.lists(_part, min_size=1, max_size=3),
    st.booleans(),
    st.lists(st.text("ab", min_size=1, max_size=5), min_size=1, max_size=4),
)
def test_it_agrees_with_a_regular_expression(parts: list[str], rest: bool, subject: list[str]) -> None:
    pattern = "/".join([*parts, "**"] if rest else parts)
    expression = "/".join(part.replace("*", "[^/]*") for part in parts) + ("/.+" if rest else "")
    expected = re.fullmatch(expression, "/".join(subject)) is not None
    assert Topics([check_pattern(pattern)]).matches("/".join(subject)) is expected


def test_no_pattern_takes_long() -> None:
    topics = Topics([("*a" * (PATTERN_MAX_LENGTH // 2 - 1)) + "b" for _ in range(64)])
    began = perf_counter()
    assert not topics.matches("a" * 64)
    assert not topics.matches("a" * 5000)
    assert perf_counter() - began < 0.5


def test_the_memory_of_subjects_is_bounded() -> None:
    topics = Topics(["tasks/*x"])
    for number in range(10_000):
        topics.matches(f"tasks/{number}")
    assert len(topics._remembered) <= 512


def test_the_same_patterns_are_one_object() -> None:
    assert topics_of(frozenset({"a", "b"})) is topics_of(frozenset({"b", "a"}))
