"""Which language a request is answered in: Chinese, or English where `Accept-Language` prefers it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from aiohttp import web

from service.model.text import Language, Text

_HEADER_MAX_LENGTH = 512


def language_of(request: web.BaseRequest) -> Language:
    """The language for this request's `message` and `detail`."""
    header = request.headers.get("Accept-Language")
    return "zh" if header is None else preferred_language(header[:_HEADER_MAX_LENGTH])


def say(request: web.BaseRequest, text: Text) -> str:
    """`text` in the language of the request."""
    return text.in_language(language_of(request))


def localised(value: Any, language: Language) -> Any:
    """A value to be sent, with all in it that knows both languages in the given one."""
    if hasattr(value, "in_language"):
        return value.in_language(language)
    if isinstance(value, list):
        return [localised(item, language) for item in value]
    if isinstance(value, dict):
        return {key: localised(item, language) for key, item in value.items()}
    return value


@lru_cache(maxsize=256)
def preferred_language(header: str) -> Language:
    """Weigh an `Accept-Language` header (RFC 9110, 12.5.4): the higher weight wins, of equal ones the first named.

    A header that names neither language, or that cannot be read, means Chinese.
    """
    # (weight, minus position): the greater tuple is preferred.
    best: dict[str, tuple[float, int]] = {}
    for position, item in enumerate(header.split(",")):
        tag, _, parameters = item.partition(";")
        primary = tag.strip().lower().partition("-")[0]
        if primary in ("zh", "en", "*"):
            rank = (_weight(parameters), -position)
            best[primary] = max(best.get(primary, (0.0, -position)), rank)
    unnamed = best.get("*", (0.0, -len(header)))
    zh, en = best.get("zh", unnamed), best.get("en", unnamed)
    if en[0] == 0.0 and zh[0] == 0.0:
        return "zh"
    return "en" if en > zh else "zh"


def _weight(parameters: str) -> float:
    """The `q` among the parameters of one range; 1 where there is none, 0 where it is not a weight."""
    for parameter in parameters.split(";"):
        name, equals, value = parameter.partition("=")
        if equals and name.strip().lower() == "q":
            try:
                weight = float(value)
            except ValueError:
                return 0.0
            return weight if 0.0 <= weight <= 1.0 else 0.0
    return 1.0
