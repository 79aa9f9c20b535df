"""What can go wrong with a document; said without the query of an address, because keys stand in queries.

FetchFailed              nothing usable came (ConnectionError)
  AddressRefused         neither http nor https, or no address at all (ValueError too)
  NotConnected           no connection, or no answer over it
  TooSlow                not there in time (TimeoutError too)
  TooManyRedirects
  TooLarge
  Broken                 half an answer, or one that is not HTTP or cannot be unpacked
  BadStatus              the status is not success; only `Web.document` minds it
"""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime


class FetchFailed(ConnectionError):
    """Nothing usable came; the message says why.

    Attributes:
        attempts: how often it was tried.
    """

    attempts = 1


class AddressRefused(FetchFailed, ValueError):
    """The address, or one that it redirects to, is not fetched.

    Args:
        message: why.
        target: the address.
    """

    def __init__(self, message: str, target: str) -> None:
        super().__init__(message)
        self.target = target


class NotConnected(FetchFailed):
    """There was no connection, or no answer over it."""


class TooSlow(FetchFailed, TimeoutError):
    """It was not there in time."""


class TooManyRedirects(FetchFailed):
    """It is redirected on and on."""


class TooLarge(FetchFailed):
    """It has more bytes than are taken."""


class Broken(FetchFailed):
    """It is half an answer, or one that is not HTTP or cannot be unpacked."""


class BadStatus(FetchFailed):
    """The status is not success.

    Args:
        status: which.
        reason: the server's words for it.
        wait_s: what it asks for with `Retry-After`, in seconds.
    """

    def __init__(self, status: int, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(f"HTTP {status} {reason}".rstrip())
        self.status = status
        self.wait_s = wait_s


def retry_after_s(text: str) -> float | None:
    """What `Retry-After` asks for, in either of its forms; None where it has none."""
    value = text.strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value, re.ASCII):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
