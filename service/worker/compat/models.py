"""`models` of the original application: the SDK's models, made and read as pydantic's are.

They take keyword arguments, ignore those that they do not know, and have `model_dump`, `dict`, `json`, `copy` and the
like. A class that a plugin derives from one gets its own fields from its annotations.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import uuid
from collections.abc import Iterator, Mapping
from enum import Enum, StrEnum
from typing import Any, ClassVar, TypeVar

from service import sdk
from service.sdk.models import FieldType

Values = dict[str, Any]
Self = TypeVar("Self", bound="Model")
_UNSET: Any = object()


class TaskStatus(StrEnum):
    """How a task stands, under the names that tasks have over HTTP."""

    PENDING = "pending"
    RUNNING = "running"
    DOWNLOADING = "downloading"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Model:
    """A model in pydantic's manner, to be mixed into one of the SDK's dataclasses.

    What a constructor gets beyond the fields is an attribute of the instance, and no part of its dump.
    """

    # Fields that are made into text when they are not, and what stands for a required value that is missing.
    _texts: ClassVar[tuple[str, ...]] = ()
    _fallbacks: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, *positional: Any, **values: Any) -> None:
        public = [one.name for one in _fields(self) if not one.name.startswith("_")]
        if len(positional) > len(public):
            raise TypeError(f"{type(self).__name__} takes {len(public)} values, {len(positional)} were given")
        values = {**dict(zip(public, positional, strict=False)), **values}
        for field in _fields(self):
            setattr(self, field.name, self._value_for(field, values.pop(field.name, _UNSET)))
        for name, value in values.items():
            if not hasattr(type(self), name):
                setattr(self, name, value)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in inspect.get_annotations(cls):
            default = cls.__dict__.get(name, _UNSET)
            if isinstance(default, list | dict | set):
                setattr(cls, name, dataclasses.field(default_factory=_copier(default)))
        if not any(base is Model for base in cls.__bases__):
            # Without a constructor of its own: this class's takes the new fields too.
            dataclasses.dataclass(init=False, repr=False, eq=False)(cls)

    def _value_for(self, field: dataclasses.Field[Any], value: Any) -> Any:
        if value is _UNSET or (value is None and field.default is not None):
            if field.default is not dataclasses.MISSING:
                return field.default
            if field.default_factory is not dataclasses.MISSING:
                return field.default_factory()
            if field.name in self._fallbacks:
                fallback = self._fallbacks[field.name]
                return fallback() if callable(fallback) else fallback
            if "Optional[" in str(field.type) or "None" in str(field.type):
                return None
            raise ValueError(f"{type(self).__name__} needs a value for {field.name!r}")
        if field.name in self._texts and value is not None and not isinstance(value, str):
            return str(value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        # A plugin's own enumeration of states or types stands for its values.
        super().__setattr__(name, value.value if isinstance(value, Enum) else value)

    def model_dump(
        self,
        *,
        include: Any = None,
        exclude: Any = None,
        exclude_none: bool = False,
        **_: Any,
    ) -> Values:
        """The fields as a plain dictionary.

        Args:
            include: names to take, all where it is `None`.
            exclude: names to leave out.
            exclude_none: leave out what is `None`.
        """
        dumped: Values = super().model_dump()  # type: ignore[misc]  # of the SDK's class that this is mixed into
        return {
            name: value
            for name, value in dumped.items()
            if (include is None or name in include)
            and name not in (exclude or ())
            and not (exclude_none and value is None)
        }

    def dict(self, **options: Any) -> Values:
        """As `model_dump`."""
        return self.model_dump(**options)

    def model_dump_json(self, *, indent: int | None = None, **options: Any) -> str:
        """`model_dump` as JSON; what JSON has no form for is made into text."""
        known = {name: options[name] for name in ("include", "exclude", "exclude_none") if name in options}
        return json.dumps(self.model_dump(**known), ensure_ascii=False, default=str, indent=indent)

    def json(self, **options: Any) -> str:
        """As `model_dump_json`."""
        return self.model_dump_json(**options)

    def model_copy(self: Self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, with other values for some fields."""
        # Not through copy.deepcopy of the instance: a running task has a line to the server, which is not copied.
        other = copy.copy(self)
        for field in _fields(self):
            if deep and not field.name.startswith("_"):
                setattr(other, field.name, copy.deepcopy(getattr(self, field.name)))
        for name, value in (update or {}).items():
            setattr(other, name, value)
        return other

    def copy(self: Self, *, update: Mapping[str, Any] | None = None, deep: bool = False, **_: Any) -> Self:
        """As `model_copy`."""
        return self.model_copy(update=update, deep=deep)

    @classmethod
    def model_validate(cls: type[Self], value: Any, **_: Any) -> Self:
        """One from a dictionary, or the instance that was given."""
        return value if isinstance(value, cls) else cls(**value)

    @classmethod
    def parse_obj(cls: type[Self], value: Any) -> Self:
        """As `model_validate`."""
        return cls.model_validate(value)

    @classmethod
    def model_validate_json(cls: type[Self], text: str | bytes, **_: Any) -> Self:
        """One from JSON."""
        return cls.model_validate(json.loads(text))

    @classmethod
    def parse_raw(cls: type[Self], text: str | bytes, **_: Any) -> Self:
        """As `model_validate_json`."""
        return cls.model_validate_json(text)

    @classmethod
    def model_construct(cls: type[Self], _fields_set: Any = None, **values: Any) -> Self:
        """One from values that are known to be right."""
        return cls(**values)

    @classmethod
    def construct(cls: type[Self], _fields_set: Any = None, **values: Any) -> Self:
        """As `model_construct`."""
        return cls(**values)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return ((one.name, getattr(self, one.name)) for one in _fields(self) if not one.name.startswith("_"))


class SearchResult(Model, sdk.SearchResult):
    """One thing that was found; see the SDK's."""

    _texts = ("title", "url")
    _fallbacks = {"url": ""}


class _WithUnknown(Model):
    """A model whose fields in the original are not all known here: what else it was given is in its dump."""

    def model_dump(self, **options: Any) -> Values:
        known = {one.name for one in _fields(self)}
        more = {
            name: value
            for name, value in vars(self).items()
            if name not in known and not name.startswith("_")
        }
        dumped = super().model_dump(**options)
        include, exclude = options.get("include"), options.get("exclude") or ()
        return dumped | {
            name: value
            for name, value in more.items()
            if (include is None or name in include)
            and name not in exclude
            and not (options.get("exclude_none") and value is None)
        }


class VideoInfo(_WithUnknown, SearchResult):
    """What is behind one address: a `SearchResult` that may say more."""


class DownloadTask(_WithUnknown, sdk.DownloadTask):
    """A download; see the SDK's."""

    _texts = ("id", "url", "title")
    _fallbacks = {"id": lambda: uuid.uuid4().hex, "url": ""}


_FIELD_TYPES: dict[FieldType, str] = {
    "text": "string str url uri email path file folder directory textarea input multiline json date time",
    "password": "secret token",
    "number": "int integer float double decimal range slider",
    "boolean": "bool checkbox switch toggle",
    "select": "choice choices dropdown radio enum",
    "list": "array table items objects",
}
_TYPE_OF = {word: kind for kind, words in _FIELD_TYPES.items() for word in (kind, *words.split())}


class ConfigField(Model, sdk.ConfigField):
    """One field of a plugin's configuration form; see the SDK's.

    Other names of the types are understood (`string`, `int`, `bool` …); one that is not known is a text.
    """

    _texts = ("name", "label", "description")

    def __init__(self, *positional: Any, **values: Any) -> None:
        super().__init__(*positional, **values)
        self.type = _TYPE_OF.get(str(self.type).strip().lower(), "text")
        self.description = self.description or str(values.get("help") or values.get("help_text") or "")
        options = values.get("choices") if self.options is None else self.options
        if isinstance(options, Mapping):
            options = [{"value": value, "label": str(label)} for value, label in options.items()]
        elif isinstance(options, type) and issubclass(options, Enum):
            options = [one.value for one in options]
        self.options = list(options) if isinstance(options, list | tuple | set | frozenset) else None
        self.fields = [
            one if isinstance(one, sdk.ConfigField) else ConfigField(**one) for one in self.fields or ()
        ] or None


def _fields(model: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(model)


def _copier(default: Any) -> Any:
    return lambda: copy.copy(default)
