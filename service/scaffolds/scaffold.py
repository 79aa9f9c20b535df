"""The texts of a new plugin and of its test, under the name that it is to have, and which names it can have."""

from __future__ import annotations

import json
import re
from importlib.resources import files

from service.model.identity import NAME_MAX_LENGTH, is_valid_name
from service.model.text import Language, Text

SUFFIX = "_plugin"
# The file's stem is held to the rule of names, too.
STEM_MAX_LENGTH = NAME_MAX_LENGTH - len(SUFFIX)


def text_of_plugin(type: str, name: str, language: Language) -> str:
    """A plugin that works as it is.

    Args:
        type: `search`, `download` or `parser`.
        name: one that `name_problem` finds nothing wrong with.
        language: of its comments.
    """
    text = _read(language, f"{type}_plugin.py")
    return text.replace("ScaffoldPlugin", _class_name(name)).replace(
        '"scaffold"', json.dumps(name, ensure_ascii=False)
    )


def text_of_test(type: str, plugin: str, language: Language) -> str:
    """Its test.

    Args:
        type: as for `text_of_plugin`.
        plugin: where the plugin is, relative to the folder of the test or the one above it.
        language: of its comments.
    """
    text = _read(language, f"{type}_test.py")
    return text.replace('"scaffold_plugin.py"', json.dumps(plugin, ensure_ascii=False))


def name_problem(name: str) -> Text | None:
    """Why a new plugin cannot have this name, and what to do about it; `None` where it can."""
    bare = re.sub(r"(_plugin)?(\.py)?$", "", name)
    if is_valid_name(name) and len(name) <= STEM_MAX_LENGTH and bare == name:
        if not name.startswith("plugin_template"):
            return None
        return Text(
            zh="plugin_template 开头的文件不会被加载",
            en="files that begin with plugin_template are not loaded",
        )
    if bare != name and is_valid_name(bare):
        return Text(zh=f"不要带 _plugin 或 .py，写 {bare}", en=f"leave out _plugin and .py: {bare}")
    if is_valid_name(name) or len(name) > STEM_MAX_LENGTH:
        return Text(
            zh=f"太长；最多 {STEM_MAX_LENGTH} 个字符",
            en=f"it is too long: {STEM_MAX_LENGTH} characters at most",
        )
    return Text(
        zh="名称由字母（任何文字）、数字、_ 和 - 组成，不能是路径",
        en="a name is made of letters (of any script), digits, `_` and `-`, and is never a path",
    )


def _read(language: Language, name: str) -> str:
    return (files("service.scaffolds") / language / name).read_text(encoding="utf-8")


def _class_name(name: str) -> str:
    parts = [part[:1].upper() + part[1:] for part in re.split(r"[-_]+", name) if part]
    joined = "".join(parts)
    return f"{joined}Plugin" if joined.isidentifier() else f"My{joined}Plugin" if joined else "MyPlugin"
