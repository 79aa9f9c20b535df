"""The language of the command line: `PLUGBAY_LANG`, else the locale, Chinese or English."""

from __future__ import annotations

import os
from collections.abc import Mapping

from service.model.text import Language, Text


def language_of(environ: Mapping[str, str]) -> Language:
    """`zh` where the first of these that is set begins with it, else `en`, which every terminal can show."""
    for variable in ("PLUGBAY_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environ.get(variable):
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


LANGUAGE: Language = language_of(os.environ)


def say(zh: str, en: str) -> str:
    """The sentence in the language of this run."""
    return zh if LANGUAGE == "zh" else en


def told(text: Text) -> str:
    """The text in the language of this run."""
    return text.in_language(LANGUAGE)
