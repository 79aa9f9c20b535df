from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.forwarding import Forwarded, Proxies
from service.errors import PlugbayError

LISTED = Proxies(["10.0.0.0/8", "127.0.0.1", "fd00::/8"])


def read(**headers: str | list[str]) -> Forwarded:
    pairs = [
        (name.replace("_", "-").encode(), one.encode("latin-1"))
        for name, given in headers.items()
        for one in ([given] if isinstance(given, str) else given)
    ]
    return LISTED.read(pairs)


@pytest.mark.parametrize(
    ("hops", "client"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("6.6.6.6, 198.51.100.7", "198.51.100.7"),
        ("6.6.6.6, 198.51.100.7, 10.1.2.3", "198.51.100.7"),
        (["6.6.6.6", "198.51.100.7, 10.1.2.3"], "198.51.100.7"),
        ("198.51.100.7, 127.0.0.1, ::ffff:10.0.0.1", "198.51.100.7"),
        ("198.51.100.7:4711", "198.51.100.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]:80", "2001:db8::7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("6.6.6.6, unknown", None),
        ("6.6.6.6, _hidden", None),
        ("6.6.6.6, 010.0.0.1", None),
        ("10.0.0.1", None),
        (" , ", None),
        ("", None),
    ],
)
def test_the_client_is_the_last_that_no_proxy_is(hops: str, client: str | None) -> None:
    assert read(X_Forwarded_For=hops).address == client


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("for=198.51.100.7", Forwarded("198.51.100.7", None, None)),
        (
            'for=6.6.6.6;host=evil.example, For="[2001:db8::7]:80" ; Proto=HTTPS;host="plug.example:8443";by=_x',
            Forwarded("2001:db8::7", "https", "plug.example:8443"),
        ),
        ("for=198.51.100.7, for=10.0.0.9;proto=http", Forwarded("198.51.100.7", "http", None)),
        ("proto=gopher", Forwarded(None, None, None)),
        ('for="198.51.100.7', Forwarded(None, None, None)),
        ("for=198.51.100.7 proto=https", Forwarded(None, None, None)),
    ],
)
def test_the_standard_header_says_the_same(header: str, expected: Forwarded) -> None:
    assert read(Forwarded=header) == expected


def test_the_nearest_proxy_has_the_last_word() -> None:
    told = read(
        X_Forwarded_For="198.51.100.7",
        X_Forwarded_Proto="http, https",
        X_Forwarded_Host=["evil.example", "plug.example"],
    )
    assert told == Forwarded("198.51.100.7", "https", "plug.example")


def test_of_two_that_may_differ_neither_is_believed() -> None:
    """A proxy that sets the one passes the other on as the client wrote it."""
    told = read(
        X_Forwarded_For="198.51.100.7", Forwarded="for=6.6.6.6;proto=https;host=x", X_Forwarded_Proto="http"
    )
    assert told == Forwarded(None, "http", None)


def test_only_listed_ones_are_proxies() -> None:
    assert all(LISTED.has(one) for one in ("10.9.8.7", "127.0.0.1", "::ffff:127.0.0.1", "fd12::1"))
    assert not any(LISTED.has(one) for one in ("11.0.0.1", "127.0.0.2", "::1", "", "unix:", "name"))
    assert not Proxies([])
    for wrong in ("10.0.0.1/8", "10.0.0.0/33", "name", "::1/129"):
        with pytest.raises(PlugbayError, match=r"server\.trusted_proxies") as caught:
            Proxies([wrong])
        assert caught.value.code == "settings_invalid"


HEADERS = st.lists(
    st.tuples(
        st.sampled_from([b"Forwarded", b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host"]),
        st.text(alphabet='for=prt hs";,\\:.[]0129af_', max_size=60).map(str.encode) | st.binary(max_size=40),
    ),
    max_size=5,
)


@given(HEADERS)
def test_nothing_that_is_sent_upsets_it(headers: list[tuple[bytes, bytes]]) -> None:
    told = LISTED.read(headers)
    assert told.scheme in (None, "http", "https")
    assert told.address is None or not LISTED.has(told.address)
