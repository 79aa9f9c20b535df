"""Pages that need no front end and no script: for a reader who cannot be let in, or for whom there is nothing to show.

Everything that a page says, it says in both languages, the reader's first: a browser's language is not always that
of whoever looks.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape

from aiohttp import hdrs, web

from service.api.forwarding import scheme_of
from service.api.language import language_of
from service.api.page_addresses import address_of, is_page
from service.api.problems import headers_of, kind_of
from service.errors import PlugbayError
from service.model.text import Text

_STYLE = """\
:root{color-scheme:light dark;--bg:light-dark(#f6f7f9,#0d0e12);--card:light-dark(#fff,#15171c);
--line:light-dark(#e5e7ec,#252932);--strong:light-dark(#cfd3db,#3a404c);--text:light-dark(#15171c,#eef0f4);
--soft:light-dark(#4a5160,#b4bac6);--accent:light-dark(#5050c8,#8f8ff7);--on:light-dark(#fff,#0d0e12);
--code:light-dark(#eceef2,#242831)}
*{box-sizing:border-box}
body{display:grid;min-height:100vh;margin:0;padding:24px 16px;place-items:center;background:var(--bg);color:var(--text);
font:15px/1.6 system-ui,-apple-system,'Segoe UI',Roboto,'PingFang SC','Microsoft YaHei','Noto Sans CJK SC',sans-serif}
main{width:100%;max-width:480px;padding:28px;border:1px solid var(--line);border-radius:12px;background:var(--card)}
svg{display:block;width:40px;height:40px;margin-bottom:16px}
h1{margin:0 0 12px;font-size:20px;line-height:1.35}
h1 span,section p+p{color:var(--soft)}
h1 span{display:block;font-size:15px;font-weight:500}
p{margin:0 0 8px;overflow-wrap:anywhere}
section p+p{font-size:13.5px}
code{padding:1px 5px;border-radius:4px;background:var(--code);font:0.9em ui-monospace,Menlo,Consolas,
'DejaVu Sans Mono',monospace}
form{display:flex;gap:8px;margin:20px 0 0}
input{flex:1;min-width:0;height:40px;padding:0 12px;border:1px solid var(--strong);border-radius:8px;
background:var(--card);color:inherit;font:inherit}
button{height:40px;padding:0 16px;border:0;border-radius:8px;background:var(--accent);color:var(--on);font:inherit;
font-weight:600;cursor:pointer;white-space:nowrap}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
a{color:var(--accent)}
@media(max-width:400px){main{padding:22px 18px}form{flex-direction:column}input{flex:none}}
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
CONTENT_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_LOGO = (
    '<svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="8" fill="#5b5bd6"/>'
    '<path d="M12 6v6M20 6v6M16 24v3" stroke="#fff" stroke-width="3" stroke-linecap="round"/>'
    '<path d="M8 12h16v4a8 8 0 0 1-16 0z" fill="#fff"/></svg>'
)

_SIGN_IN_CODES = frozenset({"token_required", "token_wrong", "too_many_tries"})
# The cookie is not sent where another site led here; asking once more from here, it is.
_AGAIN = '<meta http-equiv="refresh" content="0;url={address}">'
_HOW = Text(
    zh="请打开服务器启动时打印的登录地址（形如 <code>{address}</code>），或在下面填入令牌。"
    "令牌也保存在服务器主目录的 <code>data/token</code> 文件中，或就是设置 <code>server.token</code> 的值。",
    en="Open the sign-in address that the server printed at its start (such as <code>{address}</code>), or enter the "
    "token below. The token is also in <code>data/token</code> of the server's home, or is the setting "
    "<code>server.token</code>.",
)
_TOKEN = Text(zh="访问令牌", en="Token")
_SIGN_IN = Text(zh="登录", en="Sign in")


def wants_page(request: web.BaseRequest) -> bool:
    """Whether somebody looks at the answer in a browser: programs, fetch() among them, do not ask for HTML."""
    looks = "text/html" in request.headers.get(hdrs.ACCEPT, "")
    return looks and (request.method in ("GET", "HEAD") or is_page(request.rel_url.path))


def refusal_page(request: web.BaseRequest, error: PlugbayError) -> web.Response:
    """The page for an error, with the status and headers that its problem has; where a token helps, a form for it."""
    kind = kind_of(error)
    said = _section(request, Text(zh=escape(error.text.zh), en=escape(error.text.en)))
    if error.code in _SIGN_IN_CODES:
        scheme = scheme_of(request)
        address = escape(f"{scheme}://{request.headers.get(hdrs.HOST, '')}/?token=…")
        how = Text(zh=_HOW.zh.format(address=address), en=_HOW.en.format(address=address))
        wait = said if error.code == "too_many_tries" else ""
        body = wait + _section(request, how) + _form(request)
        led_here = request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
        again = _AGAIN.format(address=escape(address_of(request)))
        head = again if led_here and error.code == "token_required" else ""
    else:
        body, head = said, ""
    page = _page(request, kind.title, body, head)
    headers = headers_of(error) | {
        "Content-Security-Policy": CONTENT_POLICY,
        "Content-Type": "text/html; charset=utf-8",
        # With `no-referrer` the form's own `Origin` would be `null`, which never comes in.
        "Referrer-Policy": "same-origin",
        "Vary": "Accept, Accept-Language",
    }
    return web.Response(status=kind.status, text=page, headers=headers)


def _page(request: web.BaseRequest, title: Text, body: str, head: str) -> str:
    first, second = _both(request, title)
    language = "zh-CN" if language_of(request) == "zh" else "en"
    other = "en" if language == "zh-CN" else "zh-CN"
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="robots" content="noindex">{head}'
        f"<title>{escape(first)} · Plugbay</title><style>{_STYLE}</style></head>"
        f'<body><main>{_LOGO}<h1>{escape(first)}<span lang="{other}">{escape(second)}</span></h1>{body}</main></body>'
        "</html>"
    )


def _section(request: web.BaseRequest, text: Text) -> str:
    """Both languages, as HTML that is already escaped."""
    first, second = _both(request, text)
    other = "en" if language_of(request) == "zh" else "zh-CN"
    return f'<section><p>{first}</p><p lang="{other}">{second}</p></section>'


def _form(request: web.BaseRequest) -> str:
    """It has no action, so it is sent to the very address that is looked at, and leads back there with its fragment."""
    label, button = (" · ".join(_both(request, text)) for text in (_TOKEN, _SIGN_IN))
    return (
        '<form method="post">'
        '<input type="password" name="token" autocomplete="current-password" required autofocus '
        f'aria-label="{label}" placeholder="{label}">'
        f"<button>{button}</button></form>"
    )


def _both(request: web.BaseRequest, text: Text) -> tuple[str, str]:
    return (text.zh, text.en) if language_of(request) == "zh" else (text.en, text.zh)
