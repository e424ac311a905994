"""S3 as tests play it: it gives objects to whoever signs for them, and fails on purpose."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import unquote

from services.intake.channels.sigv4 import Keys, signed

BUCKET, REGION = "mail.of-the-test", "eu-west-1"
KEYS = Keys("AKIDOFTHETEST", "secret/of+the+test", "token-of-the-test")
MADE_BY_SIGNING = {"x-amz-content-sha256", "x-amz-date", "x-amz-security-token"}


@dataclass
class S3:
    """Has `objects`. `fails`: what happens first when one is asked for: a status, perhaps with a code; `cut`: half of it comes;
    `slow`: a byte now and then; `silent`: nothing; `held`: nothing until `released`. `also`: further headers of an object.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    fails: dict[str, list[str]] = field(default_factory=dict)
    also: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    written: int = 0
    port: int = 0

    def bucket(self, keys: Keys = KEYS, **more: str) -> dict[str, str]:
        """What the settings say of it."""
        place = {"bucket": BUCKET, "region": REGION, "endpoint": f"http://127.0.0.1:{self.port}"}
        secrets = {"access_key": keys.access_key, "secret_key": keys.secret_key, "session_token": keys.session_token}
        return {**place, **secrets, **more}

    def settings(self) -> dict[str, object]:
        return {"intake_s3_buckets": json.dumps([self.bucket()])}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            path = lines[0].split()[1]
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
            key = unquote(path).removeprefix(f"/{BUCKET}/")
            self.asked.append(key)
            await self._answer(reader, writer, key, proved=_is_proved(path, headers))
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str, *, proved: bool) -> None:
        failing = self.fails.get(key, [])
        fails = failing.pop(0) if failing and proved else ""
        if fails == "held":
            await self.released.wait()
            fails = ""
        if not proved:
            await self._write(writer, *_refusal("403 SignatureDoesNotMatch"))
        elif fails == "silent":
            await reader.read()
        elif fails == "slow":
            await self._write(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while not writer.is_closing():
                await self._write(writer, b"x")
                await asyncio.sleep(0.02)
        elif fails == "cut":
            await self._write(writer, self._head(self.objects[key]), self.objects[key][: len(self.objects[key]) // 2])
        elif fails:
            await self._write(writer, *_refusal(fails))
        elif key not in self.objects:
            await self._write(writer, *_refusal("404 NoSuchKey"))
        else:
            await self._write(writer, self._head(self.objects[key]), self.objects[key])

    def _head(self, content: bytes) -> bytes:
        also = "".join(f"{name}: {value}\r\n" for name, value in self.also.items())
        return f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n{also}Connection: close\r\n\r\n".encode()

    async def _write(self, writer: asyncio.StreamWriter, *pieces: bytes) -> None:
        for piece in pieces:
            for start in range(0, len(piece), 2**16):
                writer.write(piece[start : start + 2**16])
                await writer.drain()
                self.written += len(piece[start : start + 2**16])


def _refusal(fails: str) -> tuple[bytes, bytes]:
    """As S3 says it (Amazon S3 API Reference, "Error Responses"); a redirect leads to itself."""
    status, _, code = fails.partition(" ")
    body = f'<?xml version="1.0"?>\n<Error><Code>{code}</Code><Message>On purpose</Message></Error>'.encode() if code else b""
    to = "Location: /elsewhere\r\n" if status.startswith("3") else ""
    head = f"HTTP/1.1 {status} {HTTPStatus(int(status)).phrase}\r\n{to}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode(), body


def _is_proved(path: str, headers: Mapping[str, str]) -> bool:
    """Whether what came over the wire is what was signed, with our keys and just now."""
    proof = headers.get("authorization", "")
    names = proof.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    at = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    told = {name: headers[name] for name in names if name not in MADE_BY_SIGNING}
    mine = signed(KEYS, REGION, path, told, at)
    fresh = abs((datetime.now(UTC) - at).total_seconds()) < 900
    return "host" in names and fresh and all(headers.get(name) == value for name, value in mine.items())


@asynccontextmanager
async def s3_server(**objects: bytes) -> AsyncIterator[S3]:
    """One on a free port."""
    played = S3(dict(objects))
    server = await asyncio.start_server(played.serve, "127.0.0.1", 0)
    played.port = server.sockets[0].getsockname()[1]
    try:
        yield played
    finally:
        server.close()
