"""What is logged of requests: one line each at level debug, without the query and headers, which may hold a token."""

from __future__ import annotations

import logging

import structlog
from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.http_exceptions import HttpProcessingError

from service.api.keys import ACTOR, REQUEST_ID

_log = structlog.get_logger(__name__)


class AccessLog(AbstractAccessLogger):
    """To be given to the runner as `access_log_class`."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Write the line. `time` is in seconds."""
        actor = request.get(ACTOR)
        _log.debug(
            "request",
            method=request.method,
            path=request.rel_url.path,
            status=response.status,
            ms=round(time * 1000, 2),
            bytes=response.body_length,
            peer=request.remote,
            client=None if actor is None else actor.address,
            request_id=request.get(REQUEST_ID),
        )

    @property
    def enabled(self) -> bool:
        """Whether anybody reads it; if not, aiohttp does not even take the time."""
        return logging.getLogger(__name__).isEnabledFor(logging.DEBUG)


def protocol_logger() -> logging.Logger:
    """What the runner is to be given as `logger`.

    aiohttp logs bytes that are no HTTP as an error with a traceback that quotes them. Anybody can send those, and
    they may hold a token: here it is one line at level debug that quotes nothing.
    """
    logger = logging.getLogger(f"{__name__}.protocol")
    if not any(isinstance(one, _Unreadable) for one in logger.filters):
        logger.addFilter(_Unreadable())
    return logger


class _Unreadable(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError | web.RequestPayloadError):
            return True
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        record.msg, record.args = "request cannot be read: %s", (type(error).__name__,)
        record.exc_info = record.exc_text = None
        return logging.getLogger(record.name).isEnabledFor(logging.DEBUG)
