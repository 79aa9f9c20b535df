from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.authority import (
    Authority,
    is_loopback_address,
    is_loopback_name,
    parse_authority,
    parse_origin,
)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost", "localhost", None),
        ("LocalHost:8000", "localhost", 8000),
        ("localhost.", "localhost", None),
        ("localhost.:80", "localhost", 80),
        ("[::1]", "::1", None),
        ("[0:0:0:0:0:0:0:1]:8000", "::1", 8000),
        ("my_box.lan:65535", "my_box.lan", 65535),
    ],
)
def test_spellings_of_one_name_become_one(text: str, host: str, port: int | None) -> None:
    assert parse_authority(text) == Authority(host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "localhost..",
        "a..b",
        "user@localhost",
        "user:pw@localhost",
        "localhost:",
        "localhost:0",
        "localhost:65536",
        "localhost:123456",
        "localhost:80:80",
        "localhost:８０",
        "localhost: 80",
        "local host",
        "localhost/",
        "localhost#",
        "localhost,evil",
        "::1",
        "[::1",
        "[::1]x",
        "[::1%lo]",
        "[localhost]",
        "-evil",
        "loc\x00alhost",
        "a" * 301,
    ],
)
def test_what_is_no_authority_is_none(text: str) -> None:
    assert parse_authority(text) is None


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    authority = parse_authority(text)
    if authority is not None:
        assert authority.host
        assert authority.host == authority.host.lower()
        assert "@" not in authority.host


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"])
def test_loopback_names(host: str) -> None:
    assert is_loopback_name(host)


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "128.0.0.1", "localhost.evil.com", "127.0.0.1.evil.com", "2130706433", "127.1", ""],
)
def test_names_that_only_look_like_loopback(host: str) -> None:
    assert not is_loopback_name(host)


def test_an_address_that_is_none_is_not_loopback() -> None:
    assert not is_loopback_address("")
    assert not is_loopback_address("localhost")


def test_origins_have_their_port() -> None:
    assert parse_origin("HTTP://LOCALHOST") == ("http", Authority("localhost", 80))
    assert parse_origin("https://a.b:8443") == ("https", Authority("a.b", 8443))
    for text in (
        "null",
        "",
        "localhost",
        "file://",
        "http://",
        "http://a/path",
        "http://a b",
        "ftp://a",
        "http://u@a",
    ):
        assert parse_origin(text) is None
