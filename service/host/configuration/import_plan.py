"""What an import of configuration comes to: the entries as they would be stored, and how they differ from what is.

Nothing here changes anything. Whoever shows a plan may see no password: it is told where one differs, not what it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from service.errors import ConfigInvalid
from service.host.configuration import config_file, config_schema, config_secrets
from service.host.configuration.config_secrets import MASK
from service.host.configuration.config_values import is_unset
from service.host.configuration.entries import is_on, own, plain
from service.model.plugin import Manifest
from service.model.text import Text

Entry = Mapping[str, Any]
# Where no schema tells which settings are passwords, as of plugins that are not there, their names do.
_SECRET_NAME = re.compile(
    r"pass(?:w|phrase|code)|(?<![a-z])pass(?![a-z])|pwd|token|secret|cookie|sess(?:ion|data|id)|credential|authorization"
    r"|(?:api|access|private|secret|auth|sign(?:ing)?)[-_ ]?key|密码|口令|密钥|令牌",
    re.IGNORECASE,
)


class Stored(Protocol):
    """What is asked of the configuration that is stored."""

    def entry(self, key: str) -> dict[str, Any]:
        """What is stored under a key."""

    def values(self, key: str) -> dict[str, Any]:
        """The same without what the server keeps in it."""

    def has(self, key: str) -> bool:
        """Whether anything is stored under a key."""


@dataclass(frozen=True, slots=True)
class Fitting:
    """Entries beside their plugins' schemas.

    Attributes:
        entries: as they are to be stored; where something is wrong, as they came.
        errors: by key, what is wrong: the setting (empty: the entry itself), and why.
    """

    entries: dict[str, Entry]
    errors: dict[str, list[tuple[str, Text]]]


@dataclass(frozen=True, slots=True)
class EntryPlan:
    """What would change of one entry.

    Attributes:
        id: of the plugin.
        present: whether it is there.
        enabled: whether it is on, before and after; `None` where that stays.
        fields: settings that differ, each before and after, passwords masked; `None` where it is not set.
        errors: see `Fitting`.
    """

    id: str
    present: bool
    enabled: tuple[bool, bool] | None
    fields: list[tuple[str, Any, Any]]
    errors: list[tuple[str, Text]]


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What an import would do, and how many plugins would get a new generation."""

    reloaded_count: int
    changes: list[EntryPlan]


async def fit(
    entries: Mapping[str, Entry], manifests: Mapping[str, Manifest | None], stored: Stored
) -> Fitting:
    """Hold entries against the schemas of their plugins; those of plugins that are not there stay as they are.

    Args:
        entries: by key, such as `search:demo`.
        manifests: of the plugins that are there; `None` of one that never loaded.
        stored: for passwords that come as `********`.
    """
    found = Fitting(dict(entries), {})
    for key, entry in entries.items():
        if (wrong := config_file.entry_problem(entry)) is not None:
            found.errors[key] = [("", Text(zh=f"“{key}” {wrong.zh}", en=f'"{key}" {wrong.en}'))]
        elif (manifest := manifests.get(key)) is not None:
            try:
                checked = await config_schema.check(manifest, plain(entry), stored.values(key))
            except ConfigInvalid as invalid:
                found.errors[key] = [(one["field"], one["message"]) for one in invalid.fields["errors"]]
            else:
                found.entries[key] = {**checked.values, **own(entry)}
    return found


def plan(fitting: Fitting, manifests: Mapping[str, Manifest | None], stored: Stored) -> ImportPlan:
    """How entries that were held against the schemas differ from what is stored."""
    changes, count = [], 0
    for key, entry in fitting.entries.items():
        errors = fitting.errors.get(key, [])
        before: Entry = stored.entry(key)
        after: Entry = entry if isinstance(entry, Mapping) else {}
        differs = not stored.has(key) or not _same(before, after)
        if not (differs or errors):
            continue
        was, will = is_on(before), is_on(after)
        count += differs and will and key in manifests
        changes.append(
            EntryPlan(
                id=key.replace(":", "/", 1),
                present=key in manifests,
                enabled=(was, will) if was != will else None,
                fields=_fields(before, after, manifests.get(key)) if isinstance(entry, Mapping) else [],
                errors=errors,
            )
        )
    return ImportPlan(0 if fitting.errors else count, changes)


def _fields(before: Entry, after: Entry, manifest: Manifest | None) -> list[tuple[str, Any, Any]]:
    shown_before, shown_after = _masked(before, manifest), _masked(after, manifest)
    found = []
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name), after.get(name)
        # An entry that does not fit still has the masks that stand for what is stored.
        stands_for_it = new == MASK == shown_after.get(name) and old is not None
        if name == "_enabled" or stands_for_it or _same(old, new) or (is_unset(old) and is_unset(new)):
            continue
        found.append((name, _shown(shown_before.get(name)), _shown(shown_after.get(name))))
    return found


def _masked(entry: Entry, manifest: Manifest | None) -> dict[str, Any]:
    hidden: dict[str, Any] = _hidden_by_name(entry)
    if manifest is not None:
        shape = config_secrets.shape_of(manifest)
        known = {name: value for name, value in plain(entry).items() if shape.member(name) is not None}
        hidden |= config_secrets.hide(shape, known)
    return {**hidden, **own(entry)}


def _hidden_by_name(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            name: MASK if _SECRET_NAME.search(name) and not is_unset(inner) else _hidden_by_name(inner)
            for name, inner in value.items()
        }
    return [_hidden_by_name(inner) for inner in value] if isinstance(value, list) else value


def _shown(value: Any) -> Any:
    return None if is_unset(value) else value


def _same(one: Any, other: Any) -> bool:
    """`1`, `1.0` and `true` are three different values; the order of members is none."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
