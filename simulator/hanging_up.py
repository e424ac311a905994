"""Senders whose patience ends before the answer comes."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

SENT = "http11.send_request_body.complete"  # https://www.encode.io/httpcore/extensions/#trace


class HangingUp(httpx.AsyncHTTPTransport):
    """Each request is sent whole, and its connection closed before the answer. Raises httpx.ReadError for each that was sent."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Part of httpx.AsyncHTTPTransport."""
        request.extensions = {**request.extensions, "trace": _hang_up}
        return await super().handle_async_request(request)


async def _hang_up(event: str, _told: Mapping[str, object]) -> None:
    if event == SENT:
        raise httpx.ReadError("hung up")


def new_http() -> httpx.AsyncClient:
    """A client that hangs up."""
    return httpx.AsyncClient(transport=HangingUp(trust_env=False, limits=httpx.Limits(max_connections=None)))
