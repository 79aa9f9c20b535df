"""Every error as an RFC 9457 problem: its HTTP status, its title, its words in the language of the request.

The code of an error decides its status; a code that has no row here has the status of its error class.
"""

from __future__ import annotations

import errno
import math
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from aiohttp import web

from service import errors
from service.api.keys import REQUEST_ID
from service.api.language import language_of, localised
from service.api.responses import REQUEST_ID_HEADER
from service.model.text import Language, Text

PROBLEM_TYPE = "application/problem+json"

_log = structlog.get_logger(__name__)


class Kind(msgspec.Struct, frozen=True):
    """What all problems of one code have in common."""

    status: int
    title: Text


def _kind(status: int, zh: str, en: str) -> Kind:
    return Kind(status, Text(zh=zh, en=en))


KINDS: dict[str, Kind] = {
    "request_invalid": _kind(400, "请求有误", "The request cannot be understood"),
    "url_refused": _kind(400, "该地址不允许访问", "The address is refused"),
    "no_download_plugin": _kind(400, "没有可用的下载插件", "No download plugin fits"),
    "method_not_supported": _kind(400, "插件不支持该操作", "The plugin cannot do this"),
    "token_required": _kind(401, "需要访问令牌", "A token is required"),
    "token_wrong": _kind(401, "访问令牌不正确", "The token is wrong"),
    "origin_refused": _kind(403, "来源不被允许", "The origin is refused"),
    "plugin_refused": _kind(403, "插件不能使用此接口", "Plugins may not use this API"),
    "not_found": _kind(404, "没有这个页面", "There is nothing here"),
    "plugin_not_found": _kind(404, "插件不存在", "There is no such plugin"),
    "task_not_found": _kind(404, "任务不存在", "There is no such task"),
    "download_not_found": _kind(404, "下载不存在", "There is no such download"),
    "source_not_found": _kind(404, "文件不存在", "There is no such file"),
    "revision_not_found": _kind(404, "版本不存在", "There is no such revision"),
    "change_not_found": _kind(404, "更改不存在", "There is no such change"),
    "method_not_allowed": _kind(405, "不支持该请求方法", "The method is not allowed"),
    "request_timeout": _kind(408, "请求超时", "The request took too long"),
    "plugin_exists": _kind(409, "插件已存在", "The plugin is already there"),
    "plugin_disabled": _kind(409, "插件已停用", "The plugin is disabled"),
    "task_conflict": _kind(409, "任务状态不允许该操作", "The task is in no state for this"),
    "config_missing": _kind(409, "缺少必填配置", "Required configuration is missing"),
    "locally_modified": _kind(409, "插件在本地被修改过", "The plugin was edited here"),
    "origin_changed": _kind(409, "来源发生了变化", "It comes from elsewhere now"),
    "no_origin": _kind(409, "没有可供更新的来源", "There is nowhere to update it from"),
    "change_superseded": _kind(409, "之后又有改动", "Something was changed since"),
    "token_configured": _kind(409, "令牌由设置指定", "The token is configured"),
    "token_unused": _kind(409, "没有在用的令牌", "There is no token"),
    "source_changed": _kind(412, "文件已被改动", "The file has changed"),
    "too_large": _kind(413, "内容过大", "The content is too large"),
    "uri_too_long": _kind(414, "地址过长", "The address is too long"),
    "media_type_unsupported": _kind(415, "不支持的内容类型", "The content type is not supported"),
    "expectation_failed": _kind(417, "无法满足 Expect", "The expectation cannot be met"),
    "host_refused": _kind(421, "Host 不被允许", "The host is refused"),
    "plugin_invalid": _kind(422, "插件无法加载", "The plugin does not load"),
    "name_changed": _kind(422, "插件改了名称", "The plugin has another name"),
    "hash_mismatch": _kind(422, "文件哈希不一致", "The hash does not match"),
    "picture_invalid": _kind(422, "不是可用的图片", "It is no picture that can be shown"),
    "config_invalid": _kind(422, "配置有误", "The configuration does not fit"),
    "grant_invalid": _kind(422, "没有申请这些权限", "The plugin does not ask for that"),
    "upgrade_required": _kind(426, "只接受 WebSocket 连接", "Only a WebSocket fits here"),
    "too_many_tries": _kind(429, "尝试次数过多", "There were too many tries"),
    "too_many_installs": _kind(429, "安装过于频繁", "There were too many installs"),
    "too_many_clients": _kind(429, "连接过多", "There are too many connections"),
    "headers_too_large": _kind(431, "请求头过大", "The headers are too large"),
    "files_not_deleted": _kind(500, "文件无法删除", "The files cannot be deleted"),
    "internal": _kind(500, "服务器内部错误", "Internal error"),
    "fetch_failed": _kind(502, "下载失败", "The address did not deliver"),
    "plugin_error": _kind(502, "插件出错", "The plugin raised"),
    "search_failed": _kind(502, "所有插件都失败了", "Every plugin failed"),
    "too_many_results": _kind(502, "结果过多", "There are too many results"),
    "download_failed": _kind(502, "下载失败", "The download failed"),
    "plugin_crashed": _kind(502, "插件进程崩溃", "The plugin crashed"),
    "plugin_unavailable": _kind(503, "插件暂时不可用", "The plugin is not available"),
    "front_end_missing": _kind(503, "网页尚未构建", "The page has not been built"),
    "server_stopped": _kind(503, "服务器在任务运行时停止", "The server stopped while the task ran"),
    "shutting_down": _kind(503, "服务器正在关闭", "The server is shutting down"),
    "worker_unavailable": _kind(503, "无法启动插件进程", "No worker can be started"),
    "store_busy": _kind(503, "数据库被占用", "The database is held by another process"),
    "not_ready": _kind(503, "正在启动", "Not ready yet"),
    "fetch_timeout": _kind(504, "下载超时", "The address took too long"),
    "plugin_timeout": _kind(504, "插件超时", "The plugin took too long"),
    "registry_unreachable": _kind(504, "无法连接软件包源", "The package registry cannot be reached"),
    "dependencies_timeout": _kind(504, "安装依赖超时", "The dependencies took too long"),
    "plugin_not_saved": _kind(507, "插件文件无法保存", "The plugin cannot be saved"),
    "config_not_saved": _kind(507, "配置无法保存", "The configuration cannot be saved"),
    "change_not_saved": _kind(507, "更改无法保存", "The change cannot be saved"),
    "revision_not_kept": _kind(507, "版本无法保存", "The revision cannot be kept"),
    "token_not_saved": _kind(507, "令牌无法保存", "The token cannot be saved"),
    "store_failed": _kind(507, "无法读写数据库", "The database cannot be used"),
    "data_dir_unusable": _kind(507, "无法创建插件的数据目录", "The plugin's data folder cannot be made"),
    "disk_full": _kind(507, "磁盘空间不足", "The disk is full"),
}

_KIND_OF_CLASS: tuple[tuple[type[errors.PlugbayError], Kind], ...] = (
    (errors.RequestRefused, KINDS["request_invalid"]),
    (errors.LoadFailed, KINDS["plugin_invalid"]),
    (errors.FetchFailed, KINDS["fetch_failed"]),
    (errors.CallFailed, KINDS["plugin_error"]),
)

# What the router and the other parts of aiohttp raise has only a status.
_CODE_OF_STATUS = {
    400: "request_invalid",
    401: "token_required",
    403: "origin_refused",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "too_large",
    414: "uri_too_long",
    415: "media_type_unsupported",
    417: "expectation_failed",
    421: "host_refused",
    431: "headers_too_large",
}

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="plugbay"'}
_HEADERS_OF_CODE = {
    "token_required": _CHALLENGE,
    "token_wrong": _CHALLENGE,
    "upgrade_required": {"Upgrade": "websocket"},
    "not_ready": {"Retry-After": "1"},
    "shutting_down": {"Retry-After": "5"},
    "too_many_clients": {"Retry-After": "30"},
    "worker_unavailable": {"Retry-After": "5"},
}

_DETAIL_OF_CODE = {
    "not_found": Text(
        zh="没有这个页面；接口列表见 /api/openapi.json",
        en="There is nothing here; /api/openapi.json lists every route",
    ),
    "method_not_allowed": Text(
        zh="该地址不支持此请求方法，允许的方法见 Allow 头",
        en="This address does not take that method; the Allow header names those that it takes",
    ),
    "too_large": Text(zh="请求内容过大", en="The request is too large"),
    "expectation_failed": Text(
        zh="只支持 Expect: 100-continue", en="The only expectation that can be met is 100-continue"
    ),
}

_DISK_FULL = Text(
    zh="磁盘空间不足，未做任何更改；请清理后重试",
    en="The disk is full and nothing was changed; make room and try again",
)
_INTERNAL = Text(
    zh="服务器内部错误，详情见服务器日志，请求编号 {id}",
    en="Something went wrong in the server; its log says what, under request {id}",
)


class RequestInvalid(errors.RequestRefused):
    """A request that cannot be understood. `field` names the member or parameter that is wrong."""

    def __init__(self, text: Text, *, field: str | None = None) -> None:
        if field is None:
            super().__init__(text)
        else:
            super().__init__(text, field=field)


def kind_of(error: errors.PlugbayError) -> Kind:
    """The status and title of an error, by its code, else by its class."""
    kind = KINDS.get(error.code)
    if kind is not None:
        return kind
    for cls, fallback in _KIND_OF_CLASS:
        if isinstance(error, cls):
            return fallback
    return KINDS["internal"]


def headers_of(error: errors.PlugbayError) -> dict[str, str]:
    """The headers that belong to an error, in whatever form it is told."""
    headers = dict(_HEADERS_OF_CODE.get(error.code, {}))
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
    return headers


def problem_of(request: web.BaseRequest, error: errors.PlugbayError) -> web.Response:
    """The answer to a request that ended with one of our own errors."""
    return _problem(request, kind_of(error), error.code, error.text, error.fields, headers_of(error))


def problem_of_http(request: web.BaseRequest, error: web.HTTPException) -> web.Response:
    """The answer for an error that aiohttp raised, such as 404 and 405 of the router."""
    status = error.status
    code = _CODE_OF_STATUS.get(status, "request_invalid" if status < 500 else "internal")
    phrase = HTTPStatus(status).phrase
    kind = KINDS[code]
    if kind.status != status:
        kind = Kind(status, Text(zh=phrase, en=phrase))
    headers = {name: error.headers[name] for name in ("Allow", "Retry-After") if name in error.headers}
    detail = _DETAIL_OF_CODE.get(code, Text(zh=kind.title.zh, en=phrase))
    return _problem(request, kind, code, detail, {}, headers)


def problem_of_unexpected(request: web.Request, error: Exception) -> web.Response:
    """The answer for an error that nobody foresaw: it is logged whole, the client is told nothing but where."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        _log.error("disk full", request_id=request[REQUEST_ID], path=request.rel_url.path, error=str(error))
        return _problem(request, KINDS["disk_full"], "disk_full", _DISK_FULL, {}, {})
    request_id = request[REQUEST_ID]
    _log.error(
        "request failed",
        request_id=request_id,
        method=request.method,
        path=request.rel_url.path,
        exc_info=error,
    )
    detail = Text(zh=_INTERNAL.zh.format(id=request_id), en=_INTERNAL.en.format(id=request_id))
    return _problem(request, KINDS["internal"], "internal", detail, {}, {})


def problem_of_unreadable(
    code: str, detail: Text | None, language: Language, request_id: str
) -> web.Response:
    """The answer to what never became a request, so that all that is known of it is what is given here."""
    kind = KINDS[code]
    response = _in_language(kind, code, detail or kind.title, {"request_id": request_id}, {}, language)
    response.headers[REQUEST_ID_HEADER] = request_id
    return response


def _problem(
    request: web.BaseRequest,
    kind: Kind,
    code: str,
    detail: Text,
    fields: dict[str, Any],
    headers: dict[str, str],
) -> web.Response:
    if (request_id := request.get(REQUEST_ID)) is not None:
        fields = {**fields, "request_id": request_id}
    return _in_language(kind, code, detail, fields, headers, language_of(request))


def _in_language(
    kind: Kind, code: str, detail: Text, fields: dict[str, Any], headers: dict[str, str], language: Language
) -> web.Response:
    members: dict[str, Any] = {
        "type": f"urn:plugbay:problem:{code}",
        "title": kind.title.in_language(language),
        "status": kind.status,
        "detail": detail.in_language(language),
        "code": code,
    }
    for name, value in fields.items():
        members.setdefault(name, localised(value, language))
    return web.Response(status=kind.status, body=_encode(members), content_type=PROBLEM_TYPE, headers=headers)


def _encode(members: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(members)
    except UnicodeEncodeError:
        # Text from outside (a raw byte in a path, a file name on disk) may hold what UTF-8 cannot.
        return msgspec.json.encode(_printable(members))


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_printable(item) for item in value]
    if isinstance(value, msgspec.Struct):
        return _printable(msgspec.structs.asdict(value))
    return value
