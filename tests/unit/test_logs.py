from __future__ import annotations

import io
import json
import logging
import threading

from service.logs import get_logger, lines_dropped, logging_to
from service.model.request_id import carrying_out, named


def test_a_line_for_people_fits_eighty_columns() -> None:
    stream = io.StringIO()
    with logging_to(stream):
        get_logger("host.registry").info("plugin reloaded", id="search/demo", generation=3, total_ms=4.87654)
    line = stream.getvalue().rstrip("\n")
    assert line[8:] == " info  plugin reloaded  id=search/demo generation=3 total_ms=4.88"
    assert len(line) <= 80


def test_json_is_one_object_a_line_with_text_as_it_is() -> None:
    stream = io.StringIO()
    with logging_to(stream, format="json"):
        get_logger("api").warning("拒绝", status=403)
        get_logger("api").error("second\nline")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first["event"] == "拒绝"
    assert (first["level"], first["status"], first["logger"]) == ("warning", 403, "api")
    assert first["timestamp"].endswith("Z")
    assert second["event"] == "second\nline"
    assert "拒绝" in stream.getvalue()


def test_what_is_below_the_level_is_not_written() -> None:
    stream = io.StringIO()
    with logging_to(stream, level="warning"):
        get_logger("a").info("quiet")
        logging.getLogger("aiohttp.server").info("quiet")
        logging.getLogger("aiohttp.server").error("loud %d", 1)
    assert "quiet" not in stream.getvalue()
    assert "aiohttp.server: loud 1" in stream.getvalue()


def test_a_traceback_follows_its_line() -> None:
    stream = io.StringIO()
    with logging_to(stream):
        try:
            raise LookupError("nobody there")
        except LookupError:
            get_logger("a").exception("it failed")
    head, *rest = stream.getvalue().splitlines()
    assert head.endswith("error it failed")
    assert rest[0] == "Traceback (most recent call last):"
    assert rest[-1] == "LookupError: nobody there"


def test_tokens_are_taken_out_wherever_they_come_from() -> None:
    stream = io.StringIO()
    with logging_to(stream):
        get_logger("a").info("GET /?token=s3cret&x=1", header="Authorization: Bearer s3cret", token="s3cret")
        logging.getLogger("aiohttp.access").info('"GET /?token=s3cret HTTP/1.1" 200')
    assert "s3cret" not in stream.getvalue()
    assert "x=1" in stream.getvalue()


def test_a_stream_that_nobody_reads_holds_nothing_up() -> None:
    class Stuck(io.StringIO):
        def __init__(self) -> None:
            super().__init__()
            self.released = threading.Event()

        def write(self, text: str) -> int:
            self.released.wait(30)
            return super().write(text)

    stream = Stuck()
    with logging_to(stream):
        for number in range(20_000):
            get_logger("a").info("line", number=number)
        assert stream.tell() == 0, "the writer was meant to be stuck all the while"
        assert lines_dropped() > 5_000
        stream.released.set()
    assert "number=0" in stream.getvalue()
    assert "lines of the log were dropped" in stream.getvalue()


def test_afterwards_logging_is_as_it_was() -> None:
    before = logging.getLogger().handlers[:], logging.getLogger().level
    with logging_to(io.StringIO(), level="debug"):
        assert logging.getLogger().level == logging.DEBUG
    assert (logging.getLogger().handlers[:], logging.getLogger().level) == before


def test_lines_have_the_id_of_the_request_that_they_are_for_a_librarys_too() -> None:
    stream = io.StringIO()
    with logging_to(stream, format="json"):
        get_logger("a").info("before")
        with named("req-1"), carrying_out(7):
            get_logger("a").info("ours")
            logging.getLogger("aiohttp.server").warning("theirs %d", 1)
            get_logger("a").info("another's", request_id="req-2")
        logging.getLogger("aiohttp.server").warning("after")
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(one["event"], one.get("request_id"), one.get("rpc_id")) for one in told] == [
        ("before", None, None),
        ("ours", "req-1", "7"),
        ("theirs 1", "req-1", "7"),
        ("another's", "req-2", "7"),
        ("after", None, None),
    ]
