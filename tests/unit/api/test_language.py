from __future__ import annotations

import pytest

from service.api.language import preferred_language


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("en", "en"),
        ("EN-us", "en"),
        ("zh", "zh"),
        ("zh-Hant-TW", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-GB,en;q=0.9,zh;q=0.8", "en"),
        ("zh;q=0.5, en;q=0.9", "en"),
        ("en;q=0.5, zh", "zh"),
        ("en, zh", "en"),
        ("zh, en", "zh"),
        ("fr", "zh"),
        ("fr, en;q=0.2", "en"),
        ("*", "zh"),
        ("fr, *;q=0.5", "zh"),
        ("*, zh;q=0", "en"),
        ("en;q=0", "zh"),
        ("en;q=0, zh;q=0", "zh"),
        ("en; q=0.9 , zh; q=0.1", "en"),
        ("en;level=1;q=0.1, zh;q=0.5", "zh"),
        ("en;q=nan, zh;q=0.1", "zh"),
        ("en;q=7, zh;q=0.1", "zh"),
        ("en;q=x, zh;q=0.1", "zh"),
        ("", "zh"),
        (",,;;=,", "zh"),
        ("english", "zh"),
    ],
)
def test_the_preferred_language_wins(header: str, language: str) -> None:
    assert preferred_language(header) == language
