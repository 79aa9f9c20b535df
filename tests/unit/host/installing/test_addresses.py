"""Which addresses are refused, in whatever way they are written."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import RequestRefused
from service.host.installing.addresses import address_reason, check_url, public_url, shown


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/x.py",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:text/plain,x",
        "gopher://127.0.0.1/",
        "//example.org/x",
        "example.org/x.py",
        "/etc/passwd",
        "",
        "http://",
        "http:///x",
        "http://:80/x",
        "https://exa mple.org/",
        "http://exa\tmple.org/",
        "http://example.org/\r\nHost: x",
        "http://example.org:0/",
        "http://example.org:99999/",
        "http://example.org:port/",
        "http://[::1/",
        "http://[zz]/",
        "http://h\\@evil/",
        "http://xn--/",
        "http://" + "a" * 9000,
        "http://169.254.169.254/latest/meta-data/",
        "http://169.254.169.254./",
        "http://user:pw@169.254.169.254/",
        "http://example.org@169.254.169.254/",
        "http://169.254.0.1/",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://0xa9.0xfe.0xa9.0xfe/",
        "http://0251.0376.0251.0376/",
        "http://169.254.43518/",
        "http://169.16689662/",
        "http://2130706433/",
        "http://127.1/",
        "http://0177.0.0.1/",
        "http://169.254.169%2e254/",
        "http://１６９.２５４.１６９.２５４/",
        "http://169。254。169。254/",
        "http://0.0.0.0/",
        "http://0/",
        "http://0.1.2.3/",
        "http://255.255.255.255/",
        "http://224.0.0.1/",
        "http://240.0.0.1/",
        "http://100.100.100.200/",
        "http://168.63.129.16/",
        "http://192.0.0.192/",
        "http://[::]/",
        "http://[fe80::1]/",
        "http://[fe80::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[::1%25lo]/",
        "http://[febf::1]/",
        "http://[ff02::1]/",
        "http://[fd00:ec2::254]/",
        "http://[fd20:ce::254]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[::169.254.169.254]/",
        "http://[::ffff:0:169.254.169.254]/",
        "http://[64:ff9b::169.254.169.254]/",
        "http://[2002:a9fe:a9fe::1]/",
        "http://[::ffff:0.0.0.0]/",
        "http://metadata.google.internal/",
        "http://METADATA.Google.Internal./",
        "http://metadata/",
    ],
)
def test_refused(url: str) -> None:
    with pytest.raises(RequestRefused) as caught:
        check_url(url)
    assert caught.value.code == "url_refused"
    assert caught.value.text.zh
    assert "pw" not in caught.value.text.en


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/x_plugin.py",
        "https://example.org/x.py?token=1#frag",
        "http://localhost/x",
        "http://10.0.0.1/",
        "http://192.168.1.2/",
        "http://172.16.0.1/",
        "http://[::1]:80/",
        "http://[fd12::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://user:pw@example.org/",
        "http://例子.中国/插件_plugin.py",
        "http://100.64.0.1/",
        "http://8.8.8.8/",
        "HTTPS://EXAMPLE.ORG/",
    ],
)
def test_allowed(url: str) -> None:
    assert check_url(url).scheme in ("http", "https")


@pytest.mark.parametrize(
    ("host", "allowed", "good"),
    [
        ("example.org", ["example.org"], True),
        ("EXAMPLE.org.", ["example.ORG"], True),
        ("sub.example.org", ["example.org"], False),
        ("sub.example.org", ["*.example.org"], True),
        ("a.b.example.org", ["*.example.org"], True),
        ("example.org", ["*.example.org"], False),
        ("evilexample.org", ["*.example.org", "example.org"], False),
        ("example.org.evil.com", ["example.org"], False),
        ("[::1]", ["::1"], True),
        ("[::1]", ["[::1]"], True),
        ("other.org", [" example.org ", "other.org"], True),
    ],
)
def test_allowed_hosts(host: str, allowed: list[str], good: bool) -> None:
    if good:
        check_url(f"http://{host}/x", allowed)
    else:
        with pytest.raises(RequestRefused, match="allowed_hosts"):
            check_url(f"http://{host}/x", allowed)


def test_being_listed_does_not_allow_metadata() -> None:
    with pytest.raises(RequestRefused):
        check_url("http://169.254.169.254/", ["169.254.169.254"])


def test_what_is_shown_has_no_secrets() -> None:
    url = check_url("https://user:hunter2@example.org/a/b.py?token=hunter2#hunter2")
    assert shown(url) == "https://example.org/a/b.py?…"
    assert public_url("https://user:hunter2@example.org/b.py?raw=1#x") == "https://example.org/b.py?raw=1"
    assert public_url("http://[") == ""


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://a/b.py?raw=1&token=hunter2&ref=main", "https://a/b.py?raw=1&ref=main"),
        ("https://a/b.py?Access-Token=hunter2", "https://a/b.py"),
        ("https://a/b.py?X-Amz-Signature=hunter2&X-Amz-Credential=hunter2&v=2", "https://a/b.py?v=2"),
        ("https://a/b.py?sv=1&sig=hunter2%2B", "https://a/b.py?sv=1"),
        ("https://a/b.py?design=1&tokens=2&key=a%2Bb.py", "https://a/b.py?design=1&tokens=2&key=a%2Bb.py"),
    ],
)
def test_what_lets_somebody_in_is_not_kept(given: str, kept: str) -> None:
    assert public_url(given) == kept


@given(st.ip_addresses(v=4))
def test_every_way_to_write_a_refused_address_is_refused(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    parts = str(address).split(".")
    ways = [
        str(number),
        hex(number),
        ".".join(hex(int(part)) for part in parts),
        ".".join(f"0{int(part):o}" for part in parts),
        f"{parts[0]}.{int(parts[1]) << 16 | int(parts[2]) << 8 | int(parts[3])}",
    ]
    for way in ways:
        if socket.inet_ntoa(socket.inet_aton(way)) != way:
            with pytest.raises(RequestRefused):
                check_url(f"http://{way}/")
    reason = address_reason(str(address))
    for inner in (
        f"::ffff:{address}",
        f"64:ff9b::{address}",
        str(ipaddress.IPv6Address((0x2002 << 112) | (number << 80))),
    ):
        assert (address_reason(inner) is None) == (reason is None)


@given(st.text(max_size=60))
def test_any_text_is_judged_and_never_raises_anything_else(text: str) -> None:
    for url in (
        text,
        f"http://{text}",
        f"http://example.org/{text}",
        f"http://{text}@h/",
        f"http://[{text}]/",
    ):
        try:
            check_url(url)
        except RequestRefused as error:
            assert error.code == "url_refused"
