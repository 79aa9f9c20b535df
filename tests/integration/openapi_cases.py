"""What a server is asked for `test_openapi_conformance`, made by schemathesis from the document of the API.

It is a file of its own that no other test process collects: making the cases takes seconds.
"""

from __future__ import annotations

import os

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
from tests.rounds import SEED, SOAK

BASE_URL = os.environ["OPENAPI_CASES_URL"]

# The two that go on for ever have tests of their own.
schema = (
    schemathesis.openapi.from_dict(build_openapi(ROUTES, version="test"))
    .exclude(path="/api/ws")
    .exclude(path="/api/events")
)


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


if SOAK:

    @pytest.mark.soak
    @schema.parametrize()
    @seed(SEED)
    @settings(QUIETLY, max_examples=100)
    def test_it_does_so_for_long(case: Case) -> None:
        case.call_and_validate(base_url=BASE_URL, checks=CHECKS, timeout=30)

else:

    @schema.parametrize()
    @settings(QUIETLY, max_examples=3, derandomize=True)
    def test_the_server_does_as_its_document_says(case: Case) -> None:
        case.call_and_validate(base_url=BASE_URL, checks=CHECKS, timeout=30)
