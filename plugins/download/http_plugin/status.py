"""What a status that is not success means."""

from __future__ import annotations

import http.client
from typing import NoReturn

from plugins.download.http_plugin.connection import Answer
from plugins.download.http_plugin.errors import DownloadFailed, Interrupted

_WORTH_A_RETRY = {408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524}


def raise_for_status(answer: Answer) -> NoReturn:
    """Say what a status that is not success means; the answer is closed.

    Raises:
        Interrupted: it may pass.
        DownloadFailed: it will not.
    """
    answer.close()
    status = answer.status
    said = f"the server answered {status} {http.client.responses.get(status, '')}".rstrip()
    if status in _WORTH_A_RETRY:
        raise Interrupted(said, answer.retry_after_s, refused=status in {429, 503})
    remedy = {
        401: "it wants a login: put it into the address, http://user:password@host/…, or into the headers",
        403: "it does not give the file to us: it may want a login or a Referer, see the plugin's headers",
        404: "check the address",
        410: "the file is gone; look for another source",
    }
    raise DownloadFailed(f"{said} for {answer.url}; {remedy.get(status, 'check the address')}", status)
