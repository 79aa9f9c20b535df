"""A sentence in both languages."""

from __future__ import annotations

from typing import Literal

import msgspec

Language = Literal["zh", "en"]


class Text(msgspec.Struct, frozen=True):
    """The same sentence in Chinese and in English."""

    zh: str
    en: str

    def in_language(self, language: Language) -> str:
        """The sentence in one language."""
        return self.en if language == "en" else self.zh
