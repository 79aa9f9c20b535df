"""Regular expressions of the server on every Python that it runs on."""

from __future__ import annotations

import re
from pathlib import Path

SERVICE = Path(__file__).parents[2] / "service"
# A group that is repeated possessively, such as `(a|b)*+`; a single character or class may be.
POSSESSIVE_GROUP = re.compile(r"\)(?:[*+?]|\{{1,2}\d+(?:,\d*)?\}{1,2})\+(?!=)")


def test_no_group_is_repeated_possessively() -> None:
    # Python 3.11.0 to 3.11.4 (Debian 12 has 3.11.2) match such groups wrongly where they have alternatives.
    found = [
        f"{path.relative_to(SERVICE)}:{number}"
        for path in SERVICE.rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if "re.compile" in line or line.lstrip().startswith(('r"', 'rf"', 'rb"')) or "= r" in line
        if POSSESSIVE_GROUP.search(line)
    ]
    assert not found
