"""The original application's models: the SDK's, to be used like pydantic's."""

from __future__ import annotations

from enum import Enum

import pytest

from service import sdk
from service.worker.compat import models


def test_a_model_ignores_what_it_does_not_know() -> None:
    result = models.SearchResult(title="t", url="u", metadata=None, thumbnail=None, episodes=[1], copy=1)
    assert result.model_dump() == sdk.SearchResult("t", "u").model_dump()
    assert result.episodes == [1]  # type: ignore[attr-defined]
    assert result.dict() == dict(result) == result.copy().dict()
    assert models.SearchResult(title=5, url=None).dict()["title"] == "5"
    with pytest.raises(ValueError, match="title"):
        models.SearchResult(url="u")
    with pytest.raises(TypeError):
        models.SearchResult(*range(20))


def test_a_model_has_what_pydantics_have() -> None:
    result = models.SearchResult("t", "u", metadata={"a": [1]})
    assert result.model_dump(exclude_none=True) == {"title": "t", "url": "u", "metadata": {"a": [1]}}
    assert result.dict(include={"title"}, exclude={"url"}) == {"title": "t"}
    assert models.SearchResult.parse_raw(result.json()) == result
    assert models.SearchResult.model_validate_json(result.model_dump_json(indent=2)) == result
    assert models.SearchResult.parse_obj(result.dict()) == models.SearchResult.construct(**result.dict())
    deep, shallow = result.model_copy(deep=True), result.copy(update={"title": "other"})
    result.metadata["a"].append(2)
    assert (deep.metadata, shallow.metadata, shallow.title) == ({"a": [1]}, {"a": [1, 2]}, "other")
    assert "title='t'" in repr(result)


def test_a_derived_model_has_its_own_fields() -> None:
    class Episode(models.SearchResult):
        season: int = 1
        tags: list[str] = []
        note: str | None

    one, two = Episode(title="t", url="u", season=2), Episode(title="t", url="u")
    one.tags.append("x")
    assert (one.season, two.season, two.tags, two.note) == (2, 1, [], None)
    assert one.dict()["tags"] == ["x"]


def test_fields_that_are_not_all_known_are_kept() -> None:
    class State(str, Enum):  # noqa: UP042  # as they have it
        HALF = "half"

    task = models.DownloadTask(url="u", title="t", status=State.HALF, size=5, eta=None)
    assert task.id
    dumped = task.model_dump()
    assert (dumped["status"], dumped["size"], dumped["eta"]) == ("half", 5, None)
    assert "_send" not in dumped
    assert task.dict(exclude={"size"}, exclude_none=True).keys().isdisjoint({"size", "eta"})
    assert models.VideoInfo(title="t", url="u", formats=[1]).dict()["formats"] == [1]


def test_fields_of_a_form() -> None:
    class Kind(str, Enum):  # noqa: UP042  # as they have it
        TEXT = "text"

    field = models.ConfigField(
        name="a", label="A", type="string", placeholder="p", min=1, max=5, help="what it does", required=None
    )
    assert (field.type, field.description, field.required) == ("text", "what it does", False)
    assert [models.ConfigField(name="a", type=kind).type for kind in ("int", "bool", "dropdown", Kind.TEXT, None)] == [
        "number", "boolean", "select", "text", "text",
    ]  # fmt: skip
    assert models.ConfigField("a", "A", "select", options={"x": "X"}).options == [
        {"value": "x", "label": "X"}
    ]
    assert models.ConfigField(name="a", type="select", choices=("x", "y")).options == ["x", "y"]
    nested = models.ConfigField(name="a", type="list", fields=[{"name": "b", "type": "integer"}])
    assert nested.model_dump()["fields"][0]["type"] == "number"
    assert isinstance(field, sdk.ConfigField)
