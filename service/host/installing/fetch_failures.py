"""Why an address did not deliver, in words."""

from __future__ import annotations

import errno
import http
import os
import ssl

import aiohttp
from yarl import URL

from service.errors import FetchFailed
from service.host.installing.addresses import shown
from service.model.text import Text


def status_failed(target: URL, status: int) -> FetchFailed:
    """Its server answers with another status than one that delivers."""
    try:
        phrase = f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        phrase = str(status)
    failure = fetch_failed(target, Text(zh=f"服务器回答 {phrase}", en=f"its server answers {phrase}"))
    failure.fields["upstream_status"] = status
    return failure


def fetch_failed(target: URL, reason: Text) -> FetchFailed:
    """It could not be fetched, for this reason."""
    return FetchFailed(
        Text(
            zh=f"无法从 {shown(target)} 下载：{reason.zh}；请检查地址后重试",
            en=f"{shown(target)} could not be fetched: {reason.en}; check the address and try again",
        ),
        url=shown(target),
    )


_UNCONNECTED = {
    errno.ECONNREFUSED: "连接被拒绝，该端口没有服务",
    errno.ECONNRESET: "连接被重置",
    errno.ETIMEDOUT: "连接超时",
    errno.EHOSTUNREACH: "主机不可达",
    errno.ENETUNREACH: "网络不可达",
    errno.EACCES: "没有权限",
}


def _unconnected(number: int | None) -> Text:
    if number is None:
        return Text(zh="不可达", en="unreachable")
    words = os.strerror(number)
    return Text(zh=_UNCONNECTED.get(number, words), en=words)


def reason_of(error: Exception) -> Text:
    """What went wrong on the way, in words."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return Text(zh=f"找不到主机 {error.host}", en=f"the host {error.host} is not known")
        case aiohttp.ClientConnectorCertificateError():
            return Text(zh="证书无效", en="its certificate is not valid")
        case aiohttp.ClientConnectorSSLError() | ssl.SSLError():
            return Text(zh="无法建立安全连接", en="no secure connection could be made")
        case aiohttp.ClientConnectorError():
            detail = _unconnected(error.os_error.errno)
            return Text(
                zh=f"无法连接 {error.host}:{error.port}（{detail.zh}）",
                en=f"{error.host}:{error.port} cannot be connected to ({detail.en})",
            )
        case aiohttp.ServerDisconnectedError():
            return Text(zh="服务器没有回答就断开了连接", en="its server hung up without an answer")
        case aiohttp.ClientPayloadError():
            return Text(zh="内容没有传完连接就断开了", en="its server hung up before all had come")
        case aiohttp.ClientResponseError() | aiohttp.http.HttpProcessingError():
            return Text(zh="服务器的回答不是有效的 HTTP", en="its server's answer is not HTTP")
        case _:
            name = type(error).__name__
            return Text(zh=f"连接出错（{name}）", en=f"the connection failed ({name})")
