"""A server is asked what its API document allows, and some of what it does not: it must answer as described."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import CheckContext
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.api.openapi import build_openapi
from service.api.routes import ROUTES
from tests.integration.server_process import STOP_S, environment

SEARCH = """
from service.sdk import SearchPlugin
class Demo(SearchPlugin):
    name = "demo"
    version = description = "1"
    async def search(self, keyword, **kwargs):
        return [{"title": keyword, "url": "u"}]
"""

# The two that go on for ever have tests of their own.
schema = (
    schemathesis.openapi.from_dict(build_openapi(ROUTES, version="test"))
    .exclude(path="/api/ws")
    .exclude(path="/api/events")
)


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("home")
    folder = Path(home, "plugins", "search")
    folder.mkdir(parents=True)
    (folder / "demo_plugin.py").write_text(SEARCH)
    process = subprocess.Popen(
        [sys.executable, "-m", "service", "serve", "--home", str(home), "--port", "0"],
        # Whatever address is made up, none is asked.
        env=environment(PLUGBAY_LOGS__FORMAT="json", PLUGBAY_INSTALL__ALLOWED_HOSTS="plugins.invalid"),
        stderr=subprocess.PIPE,
        text=True,
        cwd=home,
    )
    try:
        assert process.stderr is not None
        listening = next(line for line in process.stderr if '"server.listening"' in line)
        with subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL) as drain:
            yield f"http://127.0.0.1:{json.loads(listening)['port']}"
            process.terminate()
            assert process.wait(STOP_S) == 0
            drain.wait(STOP_S)
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def no_internal_error(context: CheckContext, response: Response, case: Case) -> bool | None:
    assert response.status_code != 500, response.text
    return None


@schema.parametrize()
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_the_server_does_as_its_document_says(case: Case, base_url: str) -> None:
    case.call_and_validate(
        base_url=base_url,
        checks=[
            no_internal_error,
            status_code_conformance,
            content_type_conformance,
            response_schema_conformance,
        ],
        timeout=30,
    )
