"""A server is asked what its API document allows, and some of what it does not: it must answer as described."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, seed, settings
from schemathesis import Case
from schemathesis.checks import CHECKS as ALL
from schemathesis.checks import CheckContext, load_all_checks
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    negative_data_rejection,
    positive_data_acceptance,
)

from service.api.openapi import build_openapi
from service.api.routes import ROUTES
from tests.integration.server_process import STOP_S, environment
from tests.rounds import SEED, SOAK

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
        env=environment(
            PLUGBAY_LOGS__FORMAT="json",
            PLUGBAY_INSTALL__ALLOWED_HOSTS="plugins.invalid",
            PLUGBAY_LIMITS__INSTALLS_PER_MINUTE="100000",
        ),
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


# What no schema says: two members that belong together, addresses that are whole, words that are no topic, a name that
# the end of a file's name is left out of, and 4.0, which is no whole number to those who read strictly.
UNSAID = {
    "/api/plugins/reload": {"plugin_type", "plugin_name"},
    "/api/plugins/template": {"name"},
    "/api/plugins/install": {"url"},
    "/api/plugins/check": {"url"},
    "/api/download": {"url"},
    "/api/thumbnail": {"url", None},
    "/api/activity": {"topics"},
    "/api/search": {"limit"},
}


def positive_data(context: CheckContext, response: Response, case: Case) -> bool | None:
    """What fits the document is taken, unless it breaks a rule that is said in words, or is a plugin that is none."""
    if response.status_code in (414, 422, 431):
        return None
    if response.status_code == 400 and response.json().get("field") in UNSAID.get(case.path, ()):
        return None
    return positive_data_acceptance(context, response, case)


def negative_data(context: CheckContext, response: Response, case: Case) -> bool | None:
    """What does not fit is refused, and be it for the length of the address."""
    return None if response.status_code in (414, 431) else negative_data_rejection(context, response, case)


def allowed_methods(context: CheckContext, response: Response, case: Case) -> bool | None:
    """`Allow` names the methods; there is a search plugin's route at some addresses, too."""
    return None if case.path.startswith("/api/search/") else allow_header_conformance(context, response, case)


load_all_checks()
OWN = {
    "not_a_server_error": no_internal_error,
    "positive_data_acceptance": positive_data,
    "negative_data_rejection": negative_data,
    "allow_header_conformance": allowed_methods,
}
CHECKS = [OWN.get(check.__name__, check) for check in ALL.get_all()]
QUIETLY = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))


@schema.parametrize()
@settings(QUIETLY, max_examples=5, derandomize=True)
def test_the_server_does_as_its_document_says(case: Case, base_url: str) -> None:
    case.call_and_validate(base_url=base_url, checks=CHECKS, timeout=30)


# The cases of a schema are made when tests are collected, which takes seconds: only where they are run.
if SOAK:

    @pytest.mark.soak
    @schema.parametrize()
    @seed(SEED)
    @settings(QUIETLY, max_examples=100)
    def test_it_does_so_for_long(case: Case, base_url: str) -> None:
        case.call_and_validate(base_url=base_url, checks=CHECKS, timeout=30)
