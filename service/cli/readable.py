"""Text of strangers, as a terminal may show it."""

from __future__ import annotations

import re
import unicodedata

_CONTROL_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_JOINER = "\N{ZERO WIDTH JOINER}"


def readable(text: object) -> str:
    """A stranger's text on one line, without what would move the cursor or change the colours of a terminal."""
    plain = _CONTROL_SEQUENCE.sub("", str(text or ""))
    shown = (" " if unicodedata.category(char)[0] in "CZ" and char != _JOINER else char for char in plain)
    return " ".join("".join(shown).split())
