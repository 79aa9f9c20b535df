"""The door: who may talk to the server at all. Every request passes it, the WebSocket's and unknown paths' included.

In order: the `Host` must be a loopback name or a listed one; an `Origin` must be the server's own or a listed one;
and unless everything about the connection is loopback, the token must be shown. A header by which a proxy speaks for
somebody else always makes the token necessary; what it says counts only where the proxy is listed.
"""

from __future__ import annotations

import time
from urllib.parse import parse_qs, urlsplit

from aiohttp import web

from service.api.authority import (
    DEFAULT_PORTS,
    Authority,
    is_loopback_address,
    is_loopback_name,
    parse_authority,
    parse_origin,
    with_port,
)
from service.api.cors import preflight
from service.api.credentials import Credentials
from service.api.door_refusals import (
    DoorRefused,
    refuse_host,
    refuse_origin,
    refuse_tries,
    refuse_wrong_token,
)
from service.api.forwarding import Proxies, scheme_of
from service.api.keys import ACTOR, CORS_ORIGIN, SCHEME, TOKEN_NEEDED
from service.api.page_addresses import is_page
from service.api.tries import TooManyTries, Tries
from service.errors import PlugbayError
from service.model.actor import Actor, Via, acting
from service.model.text import Text

_CACHED_VERDICTS = 256
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Answered without the token: the one tells a supervisor that the process lives, the other takes the token.
TOKEN_FREE_PATHS = frozenset({"/livez", "/api/session"})
# What the form of the sign-in page is sent as, to the address of the page that it stands for.
_FORM = "application/x-www-form-urlencoded"

# Headers by which a proxy speaks for somebody else, and the beginnings of names that only proxies give.
_FORWARDING = (
    "forwarded forwarded-for via client-ip cdn-loop front-end-https proxy-client-ip wl-proxy-client-ip "
    "x-real-ip x-client-ip x-cluster-client-ip x-remote-ip x-remote-addr x-originating-ip x-proxyuser-ip "
    "x-forwarder-for x-original-forwarded-for x-original-host x-original-url x-rewrite-url x-http-host-override "
    "x-host x-scheme true-client-ip fastly-client-ip fly-client-ip x-azure-clientip x-arr-clientip x-amzn-trace-id"
)
_FORWARDING_PREFIXES = (b"x-forwarded", b"cf-", b"x-envoy-", b"x-appengine-", b"tailscale-")
_HOST, _ORIGIN, _FORWARDED, _SITE, _MODE, _COOKIE, _AUTHORIZATION = range(7)
_NAMES_KNOWN = 512
_HEADERS: dict[bytes, int] = {
    b"host": _HOST,
    b"origin": _ORIGIN,
    b"sec-fetch-site": _SITE,
    b"sec-fetch-mode": _MODE,
    b"cookie": _COOKIE,
    b"authorization": _AUTHORIZATION,
    **{name.encode(): _FORWARDED for name in _FORWARDING.split()},
}


class _HostVerdict:
    """What is known of one spelling of `Host`: its authority, and whether it is a loopback name."""

    __slots__ = ("authority", "loopback", "origins")

    def __init__(self, authority: Authority, loopback: bool) -> None:
        self.authority = authority
        self.loopback = loopback
        # Origins already judged under this Host, with the scheme of the request: True for the server's own, False for
        # a listed one.
        self.origins: dict[tuple[str, str], bool] = {}


class Door:
    """The rules, made once from the settings.

    Args:
        listen_host: the address that the server listens on, as configured.
        allowed_hosts: names, with or without a port, by which clients may address the server; `*.name` stands for
            every name below `name`.
        allowed_origins: origins (`https://name:port`) whose pages may use it; they get CORS.
        token: what those show who do not come by loopback; None refuses all of them.
        trusted_proxies: addresses and networks of proxies that are believed what they say of their clients.

    Attributes:
        credentials: knows the token, if there is one. Where it is replaced, the old token and all cookies are void.

    Raises:
        PlugbayError: an entry of a list is not a host, an origin or a network.
    """

    def __init__(
        self,
        *,
        listen_host: str,
        allowed_hosts: list[str],
        allowed_origins: list[str],
        token: str | None,
        trusted_proxies: list[str] | None = None,
    ) -> None:
        self._listens_on_loopback = is_loopback_name(listen_host.strip("[]").lower())
        self._allowed_hosts = {_listed_host(item) for item in allowed_hosts if not item.startswith("*.")}
        self._allowed_domains = [_listed_host(item[2:]) for item in allowed_hosts if item.startswith("*.")]
        self._allowed_origins = {_listed_origin(item) for item in allowed_origins}
        self._proxies = Proxies(trusted_proxies or ())
        self.credentials = None if token is None else Credentials(token)
        self._tries = Tries(time.monotonic)
        self._hosts: dict[bytes, _HostVerdict] = {}
        # Names as they were spelled, those that mean nothing here apart: a browser sends a dozen, always alike.
        self._others: set[bytes] = set()
        self._kinds: dict[bytes, int] = {}

    def examine(self, request: web.BaseRequest) -> web.Response | None:
        """Let a request in (None), or answer it here (a preflight, a sign-in).

        Raises:
            DoorRefused: it may not come in.
        """
        host: bytes | None = None
        origin: bytes | None = None
        site = mode = cookie = b""
        authorization = False
        forwarded = False
        others, kinds = self._others, self._kinds
        for name, value in request.raw_headers:
            if name in others:
                continue
            kind = kinds[name] if name in kinds else self._kind_of(name)
            if kind is None:
                continue
            if kind == _HOST:
                if host is not None:
                    refuse_host("more than one", "多个")
                host = value
            elif kind == _ORIGIN:
                if origin is not None:
                    refuse_origin()
                origin = value
            elif kind == _FORWARDED:
                forwarded = True
            elif kind == _SITE:
                site = value
            elif kind == _MODE:
                mode = value
            elif kind == _COOKIE:
                cookie = value
            else:
                authorization = True

        verdict = None if host is None else self._hosts.get(host)
        if verdict is None:
            verdict = self._judge_host(host)
        target = request.raw_path
        if not target.startswith("/") and target != "*":
            _check_absolute_target(target, verdict.authority)

        peer = request.remote or ""
        address, own = peer, verdict
        if forwarded and self._proxies and self._proxies.has(peer):
            told = self._proxies.read(request.raw_headers)
            address = told.address or peer
            if told.scheme is not None:
                request[SCHEME] = told.scheme
            if told.host is not None:
                forwarded_host = told.host.encode("latin-1")
                own = self._hosts.get(forwarded_host) or self._judge_host(forwarded_host)

        if origin is not None:
            self._check_origin(request, own, origin)
        elif site in (b"cross-site", b"same-site"):
            _check_fetch_metadata(request, site, mode)

        needs_token = not (
            self._listens_on_loopback and verdict.loopback and not forwarded and is_loopback_address(peer)
        )
        request[TOKEN_NEEDED] = needs_token
        via: Via | None = "loopback"
        if needs_token:
            via, credentials = None, self.credentials
            if credentials is not None:
                known = not authorization and credentials.knows(cookie)
                via = "cookie" if known else credentials.shown_by(request)
        actor = request[ACTOR] = Actor(address, via)
        if request.method not in _SAFE_METHODS:
            acting.set(actor)
        if (
            origin is not None
            and request.method == "OPTIONS"
            and "Access-Control-Request-Method" in request.headers
        ):
            return preflight(request)
        if target.startswith("/?") and request.method in ("GET", "HEAD"):
            signed_in = self._sign_in(request, needs_token)
            if signed_in is not None:
                return signed_in
        if via is None:
            _check_token_free(request)
        return None

    def lets_in(self, request: web.BaseRequest) -> bool:
        """Whether a request that was let in would be so again: its token may have been replaced meanwhile."""
        if not request[TOKEN_NEEDED]:
            return True
        return self.credentials is not None and self.credentials.shown_by(request) is not None

    def sign_in(self, request: web.BaseRequest, token: str, response: web.StreamResponse) -> None:
        """Leave the cookie with whoever has the token.

        Raises:
            DoorRefused: it is another one, or the address has tried too many.
        """
        if self.credentials is None:
            raise DoorRefused(
                Text(
                    zh="这台服务器没有访问令牌：它只接受本机访问，无需登录",
                    en="This server has no token: it only takes connections from this machine, which need none",
                ),
                code="token_wrong",
            )
        if not self._try(request, self.credentials, token):
            refuse_wrong_token()
        self.credentials.set_cookie(response, secure=scheme_of(request) == "https")

    def _try(self, request: web.BaseRequest, credentials: Credentials, token: str) -> bool:
        address = request[ACTOR].address
        try:
            self._tries.note(address)
        except TooManyTries as refused:
            refuse_tries(refused.retry_after)
        right = credentials.is_token(token)
        if right:
            self._tries.forgive(address)
        return right

    def _kind_of(self, name: bytes) -> int | None:
        lowered = name.lower()
        kind = _HEADERS.get(lowered)
        if kind is None and lowered.startswith(_FORWARDING_PREFIXES):
            kind = _FORWARDED
        if len(self._others) + len(self._kinds) >= _NAMES_KNOWN:
            self._others.clear()
            self._kinds.clear()
        if kind is None:
            self._others.add(name)
        else:
            self._kinds[name] = kind
        return kind

    def _judge_host(self, header: bytes | None) -> _HostVerdict:
        if header is None:
            refuse_host("missing", "缺失")
        text = header.decode("latin-1")
        authority = parse_authority(text)
        if authority is None:
            refuse_host(text[:100] or "empty", None if text else "为空")
        loopback = is_loopback_name(authority.host)
        if not loopback and not self._is_listed(authority):
            refuse_host(text[:100])
        verdict = _HostVerdict(authority, loopback)
        if len(self._hosts) >= _CACHED_VERDICTS:
            # Only ports and letter case vary among names that are let in: no client does this in earnest.
            self._hosts.clear()
        self._hosts[header] = verdict
        return verdict

    def _is_listed(self, authority: Authority) -> bool:
        if authority in self._allowed_hosts or Authority(authority.host, None) in self._allowed_hosts:
            return True
        return any(
            authority.host.endswith(f".{domain.host}") and domain.port in (None, authority.port)
            for domain in self._allowed_domains
        )

    def _check_origin(self, request: web.BaseRequest, verdict: _HostVerdict, header: bytes) -> None:
        scheme, text = scheme_of(request), header.decode("latin-1")
        own = verdict.origins.get((scheme, text))
        if own is None:
            origin = parse_origin(text)
            if origin == (scheme, with_port(verdict.authority, scheme)):
                own = True
            elif origin in self._allowed_origins or text in self._allowed_origins:
                own = False
            else:
                refuse_origin(text[:100])
            if len(verdict.origins) >= _CACHED_VERDICTS:
                verdict.origins.clear()
            verdict.origins[scheme, text] = own
        if not own:
            request[CORS_ORIGIN] = text

    def _sign_in(self, request: web.BaseRequest, needs_token: bool) -> web.Response | None:
        """`/?token=`: leave the cookie and go on to `/`, so that the token stays in no address bar or history."""
        given = parse_qs(urlsplit(request.raw_path).query).get("token")
        if given is None:
            return None
        credentials = self.credentials
        right = credentials is not None and len(given) == 1 and self._try(request, credentials, given[0])
        if not right and needs_token:
            refuse_wrong_token()
        response = web.Response(
            status=303,
            headers={"Location": "/", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"},
        )
        if right and credentials is not None:
            credentials.set_cookie(response, secure=scheme_of(request) == "https")
        return response


def _listed_host(item: str) -> Authority:
    host = parse_authority(item)
    if host is None:
        raise PlugbayError(
            Text(
                zh=f"server.allowed_hosts 中的 {item} 不是主机名，应写作 name、name:port、[::1] 或 *.name",
                en=f"{item} in server.allowed_hosts is no host; write name, name:port, [::1] or *.name",
            ),
            code="settings_invalid",
        )
    return host


def _listed_origin(item: str) -> tuple[str, Authority] | str:
    """Origins of other schemes (`chrome-extension://id`) have no port to normalise and are kept as they are."""
    origin = parse_origin(item.rstrip("/"))
    if origin is not None:
        return origin
    scheme, separator, rest = item.partition("://")
    if not (separator and scheme and rest) or scheme.lower() in DEFAULT_PORTS:
        raise PlugbayError(
            Text(
                zh=f"server.allowed_origins 中的 {item} 不是来源，应写作 https://name 或 https://name:port",
                en=f"{item} in server.allowed_origins is no origin; write https://name or https://name:port",
            ),
            code="settings_invalid",
        )
    return item


def _check_absolute_target(target: str, authority: Authority) -> None:
    """`GET http://name/path`: the name in the target must be the one in `Host`, else rules and routes would differ."""
    try:
        parts = urlsplit(target)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or parse_authority(parts.netloc) != authority:
        refuse_host(parts.netloc[:100] or target[:100])


def _check_fetch_metadata(request: web.BaseRequest, site: bytes, mode: bytes) -> None:
    """Browsers leave `Origin` out of some requests that other pages cause; what they say instead counts.

    Only a link that somebody follows may lead into the API: a script, a picture or a frame of another page would call
    plugins though nobody wants to. A page on another port of this host is another page, too.
    """
    if request.method not in _SAFE_METHODS:
        refuse_origin(site.decode("latin-1"))
    if request.raw_path.startswith("/api/") and (
        mode == b"no-cors" or request.headers.get("Sec-Fetch-Dest", "document") != "document"
    ):
        refuse_origin(site.decode("latin-1"))


def _check_token_free(request: web.BaseRequest) -> None:
    """Refuse who shows no token, but for what anybody may ask, and for the form by which it is shown."""
    path = request.rel_url.path
    if path in TOKEN_FREE_PATHS:
        return
    if request.method == "POST" and is_page(path) and request.content_type == _FORM:
        return
    if "Authorization" in request.headers:
        refuse_wrong_token()
    raise DoorRefused(
        Text(
            zh="需要访问令牌：请打开服务器启动时打印的登录地址，或发送 Authorization: Bearer 令牌",
            en="A token is required: open the sign-in address that the server printed at its start, "
            "or send Authorization: Bearer TOKEN",
        ),
        code="token_required",
    )
