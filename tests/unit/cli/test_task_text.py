"""How tasks read in words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from service.cli.task_text import (
    age_text,
    event_detail,
    failure_lines,
    localised,
    name_of,
    progress_text,
    readable,
    size_text,
    span_text,
    took_text,
)
from tests.unit.cli.task_server import failure, problem, task


def test_a_strangers_text_cannot_move_the_cursor() -> None:
    assert readable("a\x1b[31mb\x1b[0m\tc\r\nd\x1b]0;title\x07e\u202ef") == "ab c d ]0;title e f"
    assert readable("斗罗大陆　第一季 👩\u200d🚀") == "斗罗大陆 第一季 👩\u200d🚀"
    assert readable(None) == ""


def test_sizes_and_times() -> None:
    assert [size_text(size) for size in (0, 1023, 1024, 4617089843, 5e15)] == [
        "0 B", "1023 B", "1.0 KiB", "4.3 GiB", "4547.5 TiB",
    ]  # fmt: skip
    assert [span_text(seconds) for seconds in (0, 59.6, 3725, 200_000)] == ["0:00", "1:00", "1:02:05", "2 d"]
    now = datetime(2026, 11, 22, 12, 5, tzinfo=UTC)
    assert age_text(task(), now) == "5 m"
    assert age_text(task(created_at="2026-11-22T12:04:59Z"), now) == "1 s"
    assert age_text(task(created_at="2026-11-30T12:00:00Z"), now) == "0 s"
    assert age_text(task(created_at="nonsense"), now) == ""
    ended = task(started_at="2026-11-22T12:00:00Z", completed_at="2026-11-22T12:00:04.5Z")
    assert took_text(ended) == "4.5 s"
    assert took_text(task()) == ""


def test_progress_says_what_is_known() -> None:
    assert progress_text(task()) == ""
    whole = task(progress=62.14, downloaded=650_000_000, total=1_046_000_000, speed=12_900_000.0, eta=32)
    assert progress_text(whole) == " 62.1%  619.9 MiB/997.5 MiB  12.3 MiB/s  0:32 left"
    assert progress_text(task(downloaded=1024, speed=0)) == "1.0 KiB  0 B/s"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://example.org/a/%E6%96%97%E7%BD%97.mp4?x=1", "斗罗.mp4"),
        ("https://example.org/", "https://example.org/"),
        ("magnet:?xt=urn:btih:00&dn=The+Film", "The Film"),
        ("magnet:?xt=urn:btih:00", "magnet:?xt=urn:btih:00"),
        ("http://[", "http://["),
    ],
)
def test_a_download_without_a_title_is_called_by_its_address(url: str, name: str) -> None:
    assert name_of(task(url=url)) == name
    assert name_of(task(url=url, title="Title")) == "Title"


def test_errors_of_events_are_told_in_the_readers_language() -> None:
    told = localised(
        task(
            problem=problem("download_failed", "失败", "it failed"),
            error="失败",
            failures=[failure("bad", "no luck")],
        )
    )
    assert (told["error"], told["problem"]["detail"], told["problem"]["title"]) == ("it failed",) * 3
    assert [line.plain for line in failure_lines(told)] == ["bad failed: raised no luck"]


def test_an_event_of_a_task_in_a_few_words() -> None:
    download = task(
        url="https://example.org/a.mp4", status="downloading", progress=10.0, total=100, downloaded=10
    )
    assert event_detail({"task": download}) == " · download a.mp4  10.0%  10 B/100 B"
    search = task("search", keyword="soul")
    assert event_detail({"task": search, "results": [1, 2]}) == " · search soul, 2 more"
    failed = search | {"error": "失败", "problem": problem("search_failed", "失败", "every plugin failed")}
    assert event_detail({"task": failed}) == " · search soul: every plugin failed"
