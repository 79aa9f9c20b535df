"""CloudEvents 1.0: read by the project's own SDK, and by the rules that it does not check."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

# 3.1: attributes are named with lower-case letters and digits, twenty at most.
NAME = re.compile(r"[a-z0-9]{1,20}")
# RFC 3339, with the offset that the specification asks for.
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
# 3.2: characters that a string may not have.
FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
MEMBERS = {"data", "data_base64"}


def check_event(frame: str, value: dict[str, Any]) -> None:
    """See that a frame is a CloudEvent in the JSON format.

    Args:
        frame: as it came.
        value: what it holds.

    Raises:
        CloudEventValidationError, AssertionError: it is none.
    """
    event = JSONFormat().read(CloudEvent, frame)
    assert event.get_type() == value["type"] and event.get_data() == value["data"]
    for name, attribute in value.items():
        if name in MEMBERS:
            continue
        assert NAME.fullmatch(name), f"3.1: the attribute {name!r}"
        assert isinstance(attribute, str | bool | int) and attribute != "", f"3.2: {name} is {attribute!r}"
        assert not isinstance(attribute, str) or not FORBIDDEN.search(attribute), (
            f"3.2: {name} is {attribute!r}"
        )
    assert urlsplit(value["source"]).path, f"3.3.1: source is {value['source']!r}"
    assert TIME.fullmatch(value["time"]), f"3.3.2: time is {value['time']!r}"
    assert re.fullmatch(r"[a-z]+/[a-z0-9.+-]+", value["datacontenttype"]), value["datacontenttype"]
    assert "data_base64" not in value or "data" not in value, "JSON format 3.1: one of data and data_base64"
