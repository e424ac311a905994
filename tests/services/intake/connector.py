"""A connector of one's own as tests play it: takes what is posted to it, and answers as it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Posted:
    """A request: its headers in small letters, and its body."""

    headers: dict[str, str]
    body: bytes

    @property
    def data(self) -> dict[str, object]:
        """What it says."""
        said = json.loads(self.body)["data"]
        assert isinstance(said, dict)
        return said


@dataclass
class Connector:
    """`answers` are whole responses, taken in turn; without one it is 204. An empty one breaks the connection off."""

    posted: list[Posted] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request."""
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:]
        headers = {name.lower(): value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}
        self.posted.append(Posted(headers, await reader.readexactly(int(headers["content-length"]))))
        writer.write(self.answers.pop(0) if self.answers else answer(204))
        await writer.drain()
        writer.close()


def answer(status: int, *headers: str) -> bytes:
    """A response without a body."""
    return "\r\n".join((f"HTTP/1.1 {status} X", "Content-Length: 0", "Connection: close", *headers, "", "")).encode()


@asynccontextmanager
async def connector() -> AsyncIterator[tuple[Connector, str]]:
    """One on a free port, and its URL."""
    played = Connector()
    server = await asyncio.start_server(played.serve, "127.0.0.1", 0)
    try:
        yield played, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/replies?tenant=1"
    finally:
        server.close()
