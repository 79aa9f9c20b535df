"""Writes docs/settings.md from the settings themselves and from the comments of config/service.toml.

    python -m tests.settings_document          writes it

tests/integration/test_docs.py fails where it is out of date.
"""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path

from service.settings import Settings, describe_settings

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "settings.md"
# The comments are in Chinese and in English; the English part of a line comes last.
_CHINESE = re.compile(r".*[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]")

HEAD = """\
# Settings

<!-- Made by `python -m tests.settings_document` from service/settings.py and config/service.toml; not edited here. -->

The server reads `config/service.toml` in its home when it starts. A new home gets that file with all defaults and
comments in it; what is left out of it has its default. A change counts from the next start.

Each setting has an environment variable, which counts over the file: `PLUGBAY_`, the section, two underscores, the key,
all in capitals. Lists are separated by commas. `plugbay serve --host H --port P` counts over both.

```console
$ PLUGBAY_SERVER__PORT=9000 PLUGBAY_INSTALL__ALLOWED_HOSTS=example.org,example.net plugbay serve
```

A wrong or unknown setting stops the start with its name, where it was set, its value and what is allowed.

Four more variables are not settings of the server: `PLUGBAY_HOME` is its home, `PLUGBAY_URL` and `PLUGBAY_TOKEN` are
for the commands that ask a running one, and `PLUGBAY_LANG` (`en`, `zh`) is the language of the terminal.
"""


def document() -> str:
    """The whole text."""
    comments = _comments((ROOT / "config" / "service.toml").read_text(encoding="utf-8"))
    parts = [HEAD]
    section = ""
    for setting in describe_settings():
        if setting.section != section:
            section = setting.section
            doc = " ".join((type(getattr(Settings(), section)).__doc__ or "").split())
            parts.append(
                f"\n## {section}\n\n{textwrap.fill(doc, 120)}\n\n| setting | default | allowed | |\n|---|---|---|---|\n"
            )
        said = comments[section, setting.key]
        parts.append(
            f"| `{section}.{setting.key}` | {_shown(setting.default)} | {setting.allowed.en} | {said} |\n"
        )
    return "".join(parts)


def _comments(toml: str) -> dict[tuple[str, str], str]:
    """The English comment above each setting; empty where one has none of its own."""
    found: dict[tuple[str, str], str] = {}
    section, lines = "", list[str]()
    for line in toml.splitlines():
        if match := re.fullmatch(r"\[(\w+)\]", line):
            section, lines = match[1], []
        elif match := re.match(r"# \[(\w+)\.(\w+)\.", line):
            # An example of one table of many; what stands in it is an example, too.
            found[match[1], match[2]] = " ".join(filter(None, lines))
            section, lines = f"{match[1]}.{match[2]}", []
        elif match := re.match(r"(?:# )?(\w+) = ", line):
            found[section, match[1]] = " ".join(filter(None, lines))
            lines = []
        elif line.startswith("#"):
            lines.append(_CHINESE.sub("", line.removeprefix("# ")).strip())
    return found


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"`{value:g}`"
    return "none" if value is None else f"`{json.dumps(value, ensure_ascii=False)}`"


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
