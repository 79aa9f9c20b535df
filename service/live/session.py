"""What one client says, and what it is answered: the methods behind the control frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec
import structlog

from service.live import jsonrpc
from service.live.client import Client
from service.live.frames import text_frame
from service.live.hub import Hub, Subscribed
from service.live.jsonrpc import INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, Batch, Request, RpcError
from service.live.topics import TopicInvalid, check_pattern
from service.model.misfit import misfit_of
from service.model.request_id import carrying_out
from service.model.text import Language, Text

log = structlog.get_logger(__name__)

_METHOD_CHARS = 100

T = TypeVar("T", bound=msgspec.Struct)

# Takes a response and gives the frame that is to be sent for it now, if any.
_Respond = Callable[[bytes], bytes]

_SEQ = r"\A(0|[1-9][0-9]{0,17})\Z"
_Seq = Annotated[str, msgspec.Meta(pattern=_SEQ)]
_Epoch = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Topics = Annotated[list[str], msgspec.Meta(min_length=1)]

# What the patterns ask for, in words.
_FORMATS = {
    _SEQ: Text(zh='必须是写成字符串的整数，如 "41"', en='must be a whole number in a string, such as "41"')
}


class Since(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A position: `seq` is a decimal string, since not every client has integers that large."""

    epoch: _Epoch
    seq: _Seq


class SubscribeParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of `subscribe`."""

    topics: _Topics
    since: Since | None = None


class UnsubscribeParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of `unsubscribe`."""

    topics: _Topics


class Session:
    """Carries out the frames of one client, one after the other.

    Args:
        hub: what feeds the client.
        client: the hub's client.
        language: of the errors.
    """

    def __init__(self, hub: Hub, client: Client, language: Language) -> None:
        self._hub = hub
        self._client = client
        self._language = language

    async def text(self, frame: bytes) -> None:
        """Carry out a text frame. Whatever it holds, the worst that follows is an error response."""
        limit = self._hub.limits.frame_bytes
        try:
            if len(frame) > limit:
                raise RpcError(
                    INVALID_REQUEST,
                    Text(
                        zh=f"该帧有 {len(frame)} 字节，上限为 {limit} 字节",
                        en=f"The frame has {len(frame)} bytes; {limit} are allowed",
                    ),
                    limit=limit,
                )
            message = jsonrpc.read(frame)
        except RpcError as error:
            self._hub.send(self._client, text_frame(jsonrpc.failure(None, error, self._language)))
            return
        if isinstance(message, Batch):
            await self._batch(message)
        else:
            await self._call(message, text_frame)

    def binary(self) -> None:
        """Answer a binary frame, which has no meaning here."""
        error = RpcError(
            INVALID_REQUEST,
            Text(zh="只接受文本帧，不接受二进制帧", en="Only text frames are understood, no binary ones"),
        )
        self._hub.send(self._client, text_frame(jsonrpc.failure(None, error, self._language)))

    async def _batch(self, batch: Batch) -> None:
        """All responses in one frame; what a `subscribe` in the batch brings about comes after it."""
        responses: list[bytes] = []

        def collect(response: bytes) -> bytes:
            responses.append(response)
            return b""

        hold = self._hub.hold(self._client)
        try:
            for item in batch.items:
                if isinstance(item, RpcError):
                    collect(jsonrpc.failure(None, item, self._language))
                else:
                    await self._call(item, collect)
        finally:
            frame = text_frame(b"[" + b",".join(responses) + b"]") if responses else b""
            self._hub.release(self._client, hold, frame)

    async def _call(self, request: Request, respond: _Respond) -> None:
        if request.id is not msgspec.UNSET:
            id = request.id

            def answer(value: Any) -> bytes:
                return respond(jsonrpc.result(id, value))
        else:

            def answer(value: Any) -> bytes:
                return b""

        with carrying_out(None if request.id is msgspec.UNSET else request.id):
            try:
                await self._perform(request, answer)
                log.debug("rpc", method=request.method)
            except TopicInvalid as error:
                self._fail(request, RpcError(INVALID_PARAMS, error.text), respond)
            except RpcError as error:
                self._fail(request, error, respond)

    async def _perform(self, request: Request, answer: Callable[[Any], bytes]) -> None:
        hub, client = self._hub, self._client
        match request.method:
            case "subscribe":
                wish = _params(request, SubscribeParams)
                since = None if wish.since is None else (wish.since.epoch, int(wish.since.seq))
                respond: Callable[[Subscribed], bytes] = answer
                await hub.subscribe(client, map(check_pattern, wish.topics), since, respond)
            case "unsubscribe":
                hub.unsubscribe(client, _params(request, UnsubscribeParams).topics)
                self._send(answer({"topics": sorted(client.subscription.patterns)}))
            case "ping":
                self._send(answer({}))
            case unknown:
                raise RpcError(
                    METHOD_NOT_FOUND,
                    Text(
                        zh=f"没有方法 {unknown[:100]}，可用 subscribe、unsubscribe、ping",
                        en=f"There is no method {unknown[:100]}; there are subscribe, unsubscribe and ping",
                    ),
                )

    def _fail(self, request: Request, error: RpcError, respond: _Respond) -> None:
        log.debug("rpc", method=request.method[:_METHOD_CHARS], code=error.code)
        if request.id is not msgspec.UNSET:
            self._send(respond(jsonrpc.failure(request.id, error, self._language)))

    def _send(self, frame: bytes) -> None:
        if frame:
            self._hub.send(self._client, frame)


def _params(request: Request, type: type[T]) -> T:
    params = request.params
    names = type.__struct_fields__
    if isinstance(params, list) and len(params) <= len(names):
        # By position (JSON-RPC 2.0, 4.2).
        params = dict(zip(names, params, strict=False))
    try:
        return msgspec.convert(params, type)
    except msgspec.ValidationError as error:
        misfit = misfit_of(str(error), type, _FORMATS)
        path, must = misfit.path, misfit.must
        raise RpcError(
            INVALID_PARAMS,
            Text(
                zh=f"{request.method} 的参数{f' {path} ' if path else ''}{must.zh}",
                en=f"The parameter {path} of {request.method} {must.en}"
                if path
                else f"What {request.method} is given as its parameters {must.en}",
            ),
        ) from None
