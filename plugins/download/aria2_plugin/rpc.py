"""Calls of aria2's JSON-RPC interface."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from plugins.shared.external_program import ProgramError

if TYPE_CHECKING:
    import aiohttp


class Unknown(LookupError):
    """aria2 has no download of that GID."""


class Rpc:
    """Connections to one aria2, to be used with `async with`.

    Args:
        url: where it listens.
        secret: its `--rpc-secret`, or empty.
        timeout_s: seconds for each call.
    """

    def __init__(self, url: str, secret: str, *, timeout_s: float) -> None:
        self._url = url
        self._secret = secret
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        import aiohttp  # as in `web_documents`: with the first call, so that the plugin loads in no time

        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timeout_s))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(self, method: str, *params: Any) -> Any:
        """One call of aria2's.

        Raises:
            Unknown: it names a GID that aria2 does not have.
            ProgramError: aria2 cannot be reached or refuses.
        """
        import aiohttp

        if self._session is None:
            raise RuntimeError("it is used outside of its `async with`")
        token = [f"token:{self._secret}"] if self._secret else []
        request = {
            "jsonrpc": "2.0",
            "id": "plugbay",
            "method": f"aria2.{method}",
            "params": [*token, *params],
        }
        try:
            async with self._session.post(self._url, json=request, allow_redirects=False) as response:
                answer = await response.json(content_type=None)
        except TimeoutError as error:
            raise ProgramError(
                f"aria2 at {self._url} does not answer within {self._timeout_s:g} s; see whether it hangs"
            ) from error
        except aiohttp.ClientConnectionError as error:
            raise ProgramError(
                f"aria2 cannot be reached at {self._url} ({error}); start it with `aria2c --enable-rpc`, or "
                "set rpc_url"
            ) from error
        except (aiohttp.ClientError, ValueError) as error:
            raise ProgramError(
                f"what answers at {self._url} is not aria2; set rpc_url, which usually ends in /jsonrpc"
            ) from error
        if isinstance(answer, dict) and "result" in answer:
            return answer["result"]
        problem = answer.get("error") if isinstance(answer, dict) else None
        message = str(problem.get("message") if isinstance(problem, dict) else "an answer that is none")
        if message == "Unauthorized":
            raise ProgramError(
                f"aria2 at {self._url} refuses the secret; set secret to what aria2 has as --rpc-secret"
            )
        if "not found" in message or message.startswith(("Invalid GID", "No such download")):
            raise Unknown(message)
        raise ProgramError(f"aria2 at {self._url} refuses: {message}")
