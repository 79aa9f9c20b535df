"""What can go wrong, as one tree. Every error says the cause, the place and the remedy, in Chinese and English.

    PlugbayError                    code and text of its own
    ├── RequestRefused              the request cannot be understood or is not allowed
    │   ├── PluginNotFound          no plugin of that type has that name
    │   ├── PluginDisabled          it is switched off
    │   ├── PluginExists            an install would replace it, and was not told to
    │   ├── ConfigMissing           required configuration is not set
    │   ├── ConfigInvalid           a value has the wrong type; names every field
    │   └── GrantInvalid            a plugin would be granted what it does not ask for; names all of it
    ├── LoadFailed                  a generation did not get ready; carries a LoadError
    ├── FetchFailed                 the address of an install did not deliver
    └── CallFailed                  a call to a plugin gave no result
        ├── PluginUnavailable       nothing serves at the moment
        ├── PluginRaised            its method raised
        ├── PluginCrashed           its process ended in the middle of the call
        └── PluginTimeout           its method did not answer in time

`code` is part of the interface: clients match on it and it never changes with language.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from service.model.text import Text

if TYPE_CHECKING:
    from service.model.plugin import LoadError


class PlugbayError(Exception):
    """The root. `fields` are the additional members of the problem object that a client is given.

    Args:
        text: what happened and what to do about it, in both languages.
        code: stable name of the case; the class's own where none is given.
        fields: further members for the client, JSON-encodable.
    """

    code = "internal"

    def __init__(self, text: Text, *, code: str | None = None, **fields: Any) -> None:
        super().__init__(text.en)
        self.text = text
        if code is not None:
            self.code = code
        self.fields = fields


class RequestRefused(PlugbayError):
    """The request cannot be understood or is not allowed; nothing was changed."""

    code = "request_invalid"


class PluginNotFound(RequestRefused):
    """No plugin of that type has that name."""

    code = "plugin_not_found"

    def __init__(self, type: str, name: str) -> None:
        super().__init__(
            Text(
                zh=f"没有名为 {name} 的 {type} 插件，请在插件列表中核对名称和类型",
                en=f"There is no {type} plugin named {name}; look up its name and type in the list of plugins",
            )
        )


class PluginDisabled(RequestRefused):
    """The plugin is switched off."""

    code = "plugin_disabled"

    def __init__(self, id: str) -> None:
        super().__init__(
            Text(zh=f"插件 {id} 已停用，请先启用", en=f"Plugin {id} is disabled; enable it first"),
            id=id,
        )


class PluginExists(RequestRefused):
    """An install would take the place of a plugin that is there."""

    code = "plugin_exists"

    def __init__(self, id: str, file: str) -> None:
        super().__init__(
            Text(
                zh=f"插件 {id} 已存在（{file}），如需覆盖，请在安装时指定 replace",
                en=f"Plugin {id} is already there ({file}); to replace it, install with replace",
            ),
            id=id,
            file=file,
        )


class ConfigMissing(RequestRefused):
    """Required configuration is not set, so calls cannot work."""

    code = "config_missing"

    def __init__(self, id: str, missing: list[str]) -> None:
        names = ", ".join(missing)
        super().__init__(
            Text(
                zh=f"插件 {id} 缺少必填配置：{names}；设置后即可调用",
                en=f"Plugin {id} lacks required configuration: {names}; it can be called once that is set",
            ),
            id=id,
            config_missing=missing,
        )


class ConfigInvalid(RequestRefused):
    """Some values do not fit the plugin's schema.

    `errors` is a list of `{"field": path, "message": Text}`, every wrong field once.
    """

    code = "config_invalid"

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        names = ", ".join(error["field"] for error in errors)
        super().__init__(
            Text(zh=f"配置有误：{names}", en=f"These settings do not fit the schema: {names}"),
            errors=errors,
        )


class GrantInvalid(RequestRefused):
    """What is to be granted is no part of what the plugin asks for; nothing was changed.

    `errors` is as that of `ConfigInvalid`.
    """

    code = "grant_invalid"

    def __init__(self, id: str, errors: list[dict[str, Any]]) -> None:
        super().__init__(
            Text(
                zh=f"插件 {id} 没有申请这些权限；只能授予它申请的权限，见其 permissions.asked",
                en=f"Plugin {id} does not ask for that; only what it asks for can be granted, see its "
                "permissions.asked",
            ),
            id=id,
            errors=errors,
        )


# Of failed loads, those that no change to the plugin would mend.
_NOT_ITS_FAULT = frozenset(
    {
        "dependencies_timeout",
        "registry_unreachable",
        "worker_unavailable",
        "data_dir_unusable",
    }
)


class LoadFailed(PlugbayError):
    """A generation did not get ready. `error` says at which stage, where and why.

    Its code is `plugin_invalid`, or that of the error where not the plugin is to blame but something that did not
    answer in time, or that the machine lacks.
    """

    code = "plugin_invalid"

    def __init__(self, error: LoadError) -> None:
        code = error.code if error.code in _NOT_ITS_FAULT else None
        super().__init__(error.text, code=code, error=error)
        self.error = error


class FetchFailed(PlugbayError):
    """The address of an install did not deliver."""

    code = "fetch_failed"


class CallFailed(PlugbayError):
    """A call to a plugin gave no result."""


class PluginUnavailable(CallFailed):
    """Nothing serves at the moment. `retry_after` is in seconds."""

    code = "plugin_unavailable"

    def __init__(self, id: str, reason: Text, retry_after: float) -> None:
        super().__init__(
            Text(
                zh=f"插件 {id} 暂时不可用：{reason.zh}",
                en=f"Plugin {id} is not available: {reason.en}",
            )
        )
        self.retry_after = retry_after


class PluginRaised(CallFailed):
    """The plugin's method raised.

    `error` is `{"type", "message", "traceback", "file", "line"}`, of the plugin's own frames.
    """

    code = "plugin_error"

    def __init__(self, id: str, error: dict[str, Any]) -> None:
        summary = f"{error.get('type')}: {error.get('message')}"
        if error.get("file") and error.get("line"):
            summary += f" ({error['file']}:{error['line']})"
        super().__init__(
            Text(zh=f"插件 {id} 出错：{summary}", en=f"Plugin {id} raised {summary}"), error=error
        )


class PluginCrashed(CallFailed):
    """The plugin's process ended in the middle of the call."""

    code = "plugin_crashed"

    def __init__(self, id: str, reason: Text) -> None:
        super().__init__(
            Text(
                zh=f"插件 {id} 的进程在调用中退出（{reason.zh}），正在自动重启",
                en=f"The process of plugin {id} ended during the call ({reason.en}); it is being restarted",
            )
        )


class PluginTimeout(CallFailed):
    """The plugin's method did not answer in time."""

    code = "plugin_timeout"

    def __init__(self, id: str, method: str, seconds: float) -> None:
        super().__init__(
            Text(
                zh=f"插件 {id} 的 {method} 在 {seconds:g} 秒内没有返回",
                en=f"{method} of plugin {id} did not answer within {seconds:g} s",
            )
        )
