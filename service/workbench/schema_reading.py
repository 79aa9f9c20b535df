"""A JSON Schema that loads and is hardly meant so: words that are none of JSON Schema's, and what they leave unsaid."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from service.model.text import Text
from service.workbench.problems import Found
from service.workbench.reading import Reading
from service.worker.json_schema import KEYWORDS, walk

_NEAR = 0.75
# Only draft 4 has this one, and what is for people only may begin with these.
_OLD_WORDS = frozenset({"id"})
_OWN_PREFIXES = ("x-", "$")


def schema_doubts(reading: Reading, schema: Mapping[str, Any]) -> Iterator[Found]:
    """What of a plugin's JSON Schema counts for nothing.

    Args:
        reading: the plugin.
        schema: what it gave.
    """
    for path, part in walk(schema):
        for word, value in part.items():
            if word in KEYWORDS or word in _OLD_WORDS or str(word).startswith(_OWN_PREFIXES):
                continue
            near = difflib.get_close_matches(str(word), KEYWORDS, 1, _NEAR)
            if near:
                remedy = Text(zh=f"是否想写 {near[0]}？", en=f"did you mean {near[0]}?")
            elif not path and isinstance(value, Mapping):
                remedy = Text(zh=f"把 {word} 移到 properties 中", en=f"move {word} into properties")
            else:
                continue
            text = Text(
                zh=f"{word} 不是 JSON Schema 的关键字，不起作用",
                en=f"{word} is no keyword of JSON Schema and counts for nothing",
            )
            yield _doubt(reading, (*path, str(word)), text, remedy)
    kinds = schema.get("type", "object")
    if "object" not in (kinds if isinstance(kinds, list | tuple) else [kinds]):
        text = Text(
            zh=f"配置总是对象，而此 schema 要求 {kinds}，没有值能符合",
            en=f"A configuration is always an object; this schema asks for {kinds}, so nothing fits it",
        )
        yield _doubt(reading, ("type",), text, Text(zh="写作 object", en="write object"))


def _doubt(reading: Reading, path: tuple[str, ...], text: Text, remedy: Text) -> Found:
    place = reading.json_schema_place(path)
    return Found(code="field_doubtful", severity="warning", message=text, place=place, help=remedy)
