"""Installing a plugin from an address or from an upload."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web

from service.api.body import read_json
from service.api.keys import INSTALLER, INSTALLS
from service.api.language import language_of, localised, say
from service.api.messages import InstallByUrl, Installed
from service.api.pacing import take_turn
from service.api.problems import RequestInvalid
from service.api.responses import json_response
from service.api.upload import read_upload
from service.host.installing.install import InstallRequest
from service.model.text import Text

_INSTALLED = Text(
    zh="插件安装成功并已加载，可以立即使用", en="The plugin was installed and loaded and can be used at once"
)
_KEPT = Text(
    zh="插件已保存，但未能加载；请按所列的错误修改文件，保存后会自动重新加载",
    en="The plugin was kept but does not load; mend the file as its error says, and it loads when it is saved",
)


async def install_plugin(request: web.Request) -> web.Response:
    """Install a plugin from an address (JSON) or a file (multipart), as one transaction.

    It serves when this answers; on any failure nothing is on disk and nothing is registered. `keep` keeps a plugin
    that does not load, `dry_run` only says what would happen.
    """
    take_turn(request, INSTALLS)
    wanted = await read_install_request(request)
    installer = request.app[INSTALLER]
    # When the client goes away, this is cancelled: the installer leaves nothing behind, or has its last step done.
    if wanted.dry_run:
        plan = await installer.plan(wanted)
        return json_response({"status": "plan"} | localised(plan, language_of(request)))
    done = await installer.install(wanted)
    view = done.plugin.in_language(language_of(request))
    return json_response(
        Installed(
            plugin_name=view.name,
            hot_loaded=done.hot_loaded,
            message=say(request, _INSTALLED if done.hot_loaded else _KEPT),
            plugin=view,
            change=done.change,
        )
    )


async def read_install_request(request: web.Request) -> InstallRequest:
    """What is to be installed, from an address (JSON) or a file (multipart).

    Raises:
        RequestInvalid, RequestRefused: the request cannot be understood.
    """
    if request.content_type == "multipart/form-data":
        upload = await read_upload(request)
        return InstallRequest(
            source=upload.file,
            requirements=upload.requirements,
            filename=upload.filename,
            url=None,
            plugin_type=upload.plugin_type,
            sha256=upload.sha256,
            replace=upload.replace,
            keep=upload.keep,
            dry_run=upload.dry_run,
            grant=upload.grant,
        )
    body = await read_json(request, InstallByUrl)
    _check_url(body.url)
    return InstallRequest(
        source=None,
        filename=None,
        url=body.url,
        plugin_type=body.plugin_type,
        sha256=body.sha256,
        replace=body.replace,
        keep=body.keep,
        dry_run=body.dry_run,
        grant=body.grant,
    )


def _check_url(url: str) -> None:
    """Refuse what is no web address at all; which addresses are allowed is the fetch's to say."""
    try:
        parts = urlsplit(url)
        whole = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        whole = False
        parts = urlsplit("")
    if not whole or not url.isprintable() or parts.scheme.lower() not in ("http", "https"):
        raise RequestInvalid(
            Text(zh="url 必须是 http 或 https 地址", en="url must be an http or https address"), field="url"
        )
