"""The download plugin `http`: addresses, redirects, headers, TLS and proxies."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.http_origin import Manner, Origin
from tests.unit.plugins.http_task import CONTENT, MIB, SMALL, Reports, files, names, stop, until

Make = Callable[..., Any]


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    origin = Origin()
    async with origin.running():
        yield origin


@pytest.fixture
async def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Origin]:
    """The same over TLS, with a certificate that the plugin trusts."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    await asyncio.to_thread(
        subprocess.run,
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key),
         "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    origin = Origin()
    async with origin.running(context):
        yield origin


def redirect(location: str, status: int = 302) -> Manner:
    return Manner(status=status, headers={"Location": location})


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/f",
        "FILE:///etc/passwd",
        "//127.0.0.1/f",
        "http://",
        "http://a:b/",
    ],
)
async def test_other_schemes_are_refused_also_behind_a_redirect(make: Make, origin: Origin, url: str) -> None:
    plugin = make("download", "http_plugin")
    with pytest.raises(ValueError, match=r"neither http nor https|names no host|is no address"):
        await plugin.download(Reports().task(url))
    if url in {"//127.0.0.1/f", "http://"}:  # these lead to this very server
        return
    origin.manners["/away"] = redirect(url)
    with pytest.raises(ValueError, match="not allowed"):
        await plugin.download(Reports().task(origin.url("/away")))
    assert names(plugin) == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed_and_names_the_file(make: Make, origin: Origin, status: int) -> None:
    plugin = make("download", "http_plugin")
    origin.add("/sub/%E7%94%B5%20%E5%BD%B1.mkv", CONTENT)
    origin.manners["/a?x=1"] = redirect("sub/电 影.mkv".encode().decode("latin-1"), status)
    origin.manners["/a?x=1"].headers = {"Location": "sub/电 影.mkv"}
    assert await plugin.download(Reports().task(origin.url("/a?x=1"))) is True
    assert files(plugin) == {"电 影.mkv": CONTENT}
    # The other connections go there at once.
    assert [request.path for request in origin.requests].count("/a?x=1") == 1


async def test_a_redirect_that_is_no_longer_good_is_followed_anew(make: Make, origin: Origin) -> None:
    origin.manners["/f"] = redirect("/once")
    origin.add("/once", CONTENT, drop_after=2 * MIB)
    origin.add("/twice", CONTENT)

    def expire(request: object) -> None:
        if len(origin.requests) > 3:
            origin.manners["/once"].status = 403
            origin.manners["/f"] = redirect("/twice")

    origin.manners["/once"].on_request = expire
    plugin = make("download", "http_plugin", connections=1)
    assert await plugin.download(Reports().task(origin.url("/f"))) is True
    assert files(plugin) == {"once": CONTENT}


async def test_redirects_in_a_circle_and_without_end_are_refused(make: Make, origin: Origin) -> None:
    plugin = make("download", "http_plugin")
    origin.manners |= {"/a": redirect("/b"), "/b": redirect("/a")}
    with pytest.raises(ValueError, match="circle"):
        await plugin.download(Reports().task(origin.url("/a")))
    assert len(origin.requests) == 2
    origin.manners |= {f"/{number}": redirect(f"/{number + 1}") for number in range(100)}
    with pytest.raises(ValueError, match="more than 20 redirects"):
        await plugin.download(Reports().task(origin.url("/0")))
    assert len(origin.requests) <= 25


@pytest.mark.parametrize("given", ["address", "metadata", "config"])
async def test_a_login_stays_with_its_host(make: Make, origin: Origin, given: str) -> None:
    headers = {
        "Authorization": "Basic dXNlcjpwQHNz",
        "Cookie": "a=b",
        "Referer": "http://page/",
        "Range": "bytes=5-",
    }
    config = {"headers": [{"name": name, "value": value} for name, value in headers.items()]}
    plugin = make("download", "http_plugin", **(config if given == "config" else {}))
    origin.manners["/start"] = redirect("/same")
    origin.manners["/same"] = redirect(origin.url("/other", "localhost"))
    origin.manners["/other"] = redirect(origin.url("/f"))
    origin.add("/f", CONTENT)
    url = origin.url("/start", "user:p%40ss@127.0.0.1" if given == "address" else "127.0.0.1")
    task = Reports().task(url, metadata={"headers": headers} if given == "metadata" else {})
    assert await plugin.download(task) is True
    assert files(plugin) == {"f": CONTENT}
    start, same, other, *rest = origin.requests
    assert start.headers["authorization"] == same.headers["authorization"] == "Basic dXNlcjpwQHNz"
    assert start.headers["range"] == "bytes=0-"
    assert "authorization" not in other.headers
    assert "cookie" not in other.headers
    if given != "address":
        assert start.headers["cookie"] == "a=b"
        assert other.headers["referer"] == "http://page/"
    # Where another host sent us, nothing private goes, not even back home.
    assert "authorization" not in rest[0].headers


async def test_headers_are_forgiving_but_never_two_in_one(make: Make, origin: Origin) -> None:
    plugin = make("download", "http_plugin", headers="X-One: 1\nX-Two: 二\n\nnonsense", user_agent="agent/1")
    assert await plugin.download(Reports().task(origin.add("/f", SMALL))) is True
    assert origin.requests[0].headers["x-one"] == "1"
    assert origin.requests[0].headers["x-two"].encode("latin-1").decode() == "二"
    assert origin.requests[0].headers["user-agent"] == "agent/1"
    with pytest.raises(ValueError, match="is no header"):
        task = Reports().task(origin.url("/f"), metadata={"headers": {"X": "1\r\nAuthorization: x"}})
        await plugin.download(task)


async def test_https_also_behind_a_redirect(make: Make, origin: Origin, secure: Origin) -> None:
    secure.add("/f", CONTENT)
    origin.manners["/f"] = redirect(secure.url("/f", "localhost"))
    plugin = make("download", "http_plugin")
    assert await plugin.download(Reports().task(origin.url("/f"))) is True
    assert files(plugin) == {"f": CONTENT}
    # Back to the open, no login goes along.
    secure.manners["/back"] = redirect(origin.url("/open", "localhost"))
    origin.add("/open", SMALL)
    await plugin.download(Reports().task(secure.url("/back", "user:word@localhost")))
    assert "authorization" in secure.requests[-1].headers
    assert "authorization" not in origin.requests[-1].headers


async def test_a_certificate_that_is_not_valid_is_refused_at_once(make: Make, secure: Origin) -> None:
    secure.add("/f", SMALL)
    plugin = make("download", "http_plugin")
    with pytest.raises(ValueError, match=r"the certificate of 127\.0\.0\.1"):
        await plugin.download(Reports().task(secure.url("/f", "127.0.0.1")))
    assert secure.requests == []


async def test_tls_connections_are_cut_off_and_go_on_as_well(make: Make, secure: Origin) -> None:
    gate = asyncio.Event()
    secure.add("/f", CONTENT, gate=gate, gate_after=MIB)
    plugin, reports = make("download", "http_plugin"), Reports()
    task = reports.task(secure.url("/f", "localhost"))
    running = asyncio.create_task(plugin.download(task))
    await reports.until(lambda: any(report.get("downloaded", 0) >= 2 * MIB for report in reports.all))
    await stop(reports, running, "pause")
    await until(lambda: secure.serving == 0)
    gate.set()
    again = Reports()
    assert await plugin.download(again.task(task.url, resume=reports.checkpoints[-1])) is True
    assert files(plugin) == {"f": CONTENT}


async def test_an_address_where_nobody_is(make: Make, unused_tcp_port: int) -> None:
    plugin = make("download", "http_plugin", retries=1)
    with pytest.raises(ValueError, match=rf"127.0.0.1:{unused_tcp_port} broke: .*refused.*2 tries"):
        await plugin.download(Reports().task(f"http://127.0.0.1:{unused_tcp_port}/f"))


async def test_a_proxy_of_the_environment_is_used_but_not_for_this_machine(
    make: Make, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://user:word@127.0.0.1:{origin.port}")
    origin.manners["http://files.invalid/f"] = Manner(CONTENT)
    plugin = make("download", "http_plugin")
    assert await plugin.download(Reports().task("http://files.invalid/f")) is True
    assert origin.requests[0].headers["proxy-authorization"] == "Basic dXNlcjp3b3Jk"
    assert origin.requests[0].headers["host"] == "files.invalid"
    assert await plugin.download(Reports().task(origin.add("/g", SMALL))) is True
    assert files(plugin) == {"f": CONTENT, "g": SMALL}
