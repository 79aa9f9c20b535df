"""Whether a text is that of a plugin written for the original application; told from bytes, nothing is parsed."""

from __future__ import annotations

import re

_NAME = re.compile(rb"(?<!\w)base_plugin(?!\w)")
_IMPORT = re.compile(rb"\b(?:from|import)\b")
_STATEMENT_MAX_BYTES = 300
_MENTIONS_MAX = 1000


def imports_base_plugin(source: bytes) -> bool:
    """Whether a module imports `base_plugin`, as far as the text of its lines tells.

    Time grows with the size of the text and no faster, whatever is in it: it is a stranger's. A line of a docstring may
    be taken for an import, which does no harm.

    Args:
        source: the module's text.
    """
    if b"base_plugin" not in source:  # which is told many times faster
        return False
    for number, found in enumerate(_NAME.finditer(source)):
        if number == _MENTIONS_MAX:
            break
        begin = max(0, found.start() - _STATEMENT_MAX_BYTES)
        before = source[begin : found.start()].replace(b"\r", b"\n").rpartition(b"\n")[2].lstrip()
        end = found.end()
        after = source[end : end + _STATEMENT_MAX_BYTES].replace(b"\r", b"\n").partition(b"\n")[0]
        if not before.startswith(b"#") and _IMPORT.search(before) and not after.startswith((b"'", b'"')):
            return True
    return False
