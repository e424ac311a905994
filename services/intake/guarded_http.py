"""An HTTP client for URLs that others wrote: it goes where it may (`domain/reach.py`) and nowhere else.

It follows no redirect by itself: each is a request of its own, looked at anew. It uses no proxy and keeps no connection, for one
that was opened to a host must not serve another host at the same address.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence

import httpx

from services.intake.domain.reach import NotAllowed, Reach, checked, is_trusted

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
TIMEOUT = httpx.Timeout(10.0)  # for each step: connecting, and each piece of what comes
_ONE_USE = httpx.Limits(max_connections=20, max_keepalive_connections=0)


class Forbidden(httpx.TransportError):
    """The URL leads where we do not go; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, as the machine's own resolver tells them. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class GuardedTransport(httpx.AsyncBaseTransport):
    """Looks a name up once, and connects to what it looked at; TLS still asks for the name."""

    def __init__(self, reach: Reach, lookup: Resolve = resolve, trusting: ssl.SSLContext | None = None) -> None:
        self._reach = reach
        self._lookup = lookup
        self._inner = httpx.AsyncHTTPTransport(verify=trusting or True, trust_env=False, limits=_ONE_USE)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises Forbidden besides what httpx raises."""
        host = request.url.raw_host.decode("ascii")
        away: httpx.TransportError = httpx.ConnectError("no address", request=request)
        for address in await self._addresses(request.url, host):
            pinned = httpx.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": host},
            )
            try:
                return await self._inner.handle_async_request(pinned)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                away = error
        raise away

    async def _addresses(self, url: httpx.URL, host: str) -> Sequence[str]:
        try:
            trusted = is_trusted(self._reach, url.scheme, host, url.port)
            return checked(await self._lookup(host, url.port or 443), trusted=trusted)
        except NotAllowed as refused:
            raise Forbidden(refused.code) from None
        except (OSError, UnicodeError):
            raise httpx.ConnectError("the name has no address") from None

    async def aclose(self) -> None:
        """End all connections."""
        await self._inner.aclose()


def guarded_client(reach: Reach, lookup: Resolve = resolve, trusting: ssl.SSLContext | None = None) -> httpx.AsyncClient:
    """A client that goes where `reach` says. `trusting`: other authorities than those that the world trusts."""
    transport = GuardedTransport(reach, lookup, trusting)
    return httpx.AsyncClient(transport=transport, trust_env=False, timeout=TIMEOUT, follow_redirects=False)
