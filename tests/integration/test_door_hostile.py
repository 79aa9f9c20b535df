"""Whatever is sent to the door: no error of the server's own, and nothing of it comes back as markup."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service.api.access_log import protocol_logger
from tests.integration.test_door import ask
from tests.unit.api.fakes import Api, running_api

pytestmark = pytest.mark.asyncio(loop_scope="module")

MARK = "<img src=x onerror=alert(1)>"
# What a line of a head can hold: any byte but the ends of lines and NUL.
BYTES = "".join(chr(one) for one in range(1, 256) if chr(one) not in "\r\n")
TEXT = st.text(alphabet=BYTES, max_size=40) | st.sampled_from(
    [MARK, "//evil.example", "\\", "%00", "%0d%0aX:y"]
)
NAMES = st.sampled_from(
    "Host Origin Cookie Authorization Accept Accept-Language X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto "
    "Forwarded Sec-Fetch-Site Sec-Fetch-Mode Content-Type If-None-Match Range Referer".split()
)
TARGETS = st.tuples(
    st.sampled_from(["/", "/?token=", "/api/", "/api/plugins/search/", "/assets/", "//", "/livez/", ""]), TEXT
).map("".join)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    folder = tmp_path_factory.mktemp("hostile")
    async with running_api(
        folder, listen_host="0.0.0.0", trusted_proxies=["127.0.0.1"], logger=protocol_logger()
    ) as api:
        yield api


@settings(
    max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
@given(
    method=st.sampled_from(["GET", "POST", "OPTIONS", "DELETE"]),
    target=TARGETS,
    headers=st.lists(st.tuples(NAMES, TEXT), max_size=4),
    is_page=st.booleans(),
)
@example(method="GET", target="/", headers=[("Host", MARK)], is_page=True)
@example(method="GET", target=f"/?a={MARK}", headers=[("Origin", MARK)], is_page=True)
@example(method="POST", target="//evil.example", headers=[("Sec-Fetch-Site", MARK)], is_page=True)
async def test_no_error_and_no_markup(
    guarded: Api, method: str, target: str, headers: list[tuple[str, str]], is_page: bool
) -> None:
    lines = [f"{method} {target.replace(' ', '%20')} HTTP/1.1", "Connection: close"]
    if "Host" not in dict(headers):
        lines.append("Host: localhost")
    lines += ["Accept: text/html"] if is_page else []
    answer = await ask(guarded.port, lines + [f"{name}: {value}" for name, value in headers])
    assert answer.status in (200, 204, 303, 304, 400, 401, 403, 404, 405, 413, 415, 417, 421, 426, 429), (
        answer
    )
    if answer.headers.get("content-type", "").startswith("text/html"):
        assert MARK not in answer.body.decode()

    location = answer.headers.get("location", "/")
    assert location.startswith("/") and not location.startswith(("//", "/\\"))
