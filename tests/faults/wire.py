"""What a client asks of a server, recognised on the wire, so that a connection can be broken at just that moment."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

Recogniser = Callable[[bytes], bool]
"""Fed everything that one client sends, piece by piece; says whether a request of its kind was completed by the piece."""

# PostgreSQL protocol 3, "Message Formats": the messages before a session have no type byte.
_BEFORE_A_SESSION = frozenset({80877102, 80877103, 80877104})  # CancelRequest, SSLRequest, GSSENCRequest
PRODUCE = 0  # Kafka protocol: api_key of a Produce request


def any_request() -> Recogniser:
    """Whatever a client sends is a request."""
    return bool


class Commits:
    """COMMIT in what a client sends to PostgreSQL, as a simple query or as a statement to parse."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._in_session = False

    def __call__(self, data: bytes) -> bool:
        self._buffer += data
        found = False
        for kind, body in self._messages():  # to the end: what is read here is gone
            found |= _is_commit(kind, body)
        return found

    def _messages(self) -> Iterator[tuple[bytes, bytes]]:
        while True:
            typed = 1 if self._in_session else 0
            if len(self._buffer) < typed + 4:
                return
            length = int(struct.unpack_from(">i", self._buffer, typed)[0])
            if len(self._buffer) < typed + length:
                return
            kind, body = bytes(self._buffer[:typed]), bytes(self._buffer[typed + 4 : typed + length])
            del self._buffer[: typed + length]
            if not typed:
                self._in_session = struct.unpack_from(">i", body)[0] not in _BEFORE_A_SESSION
            yield kind, body


def _is_commit(kind: bytes, body: bytes) -> bool:
    if kind == b"Q":
        statement = body
    elif kind == b"P":
        statement = body.partition(b"\0")[2]
    else:
        return False
    return statement.lstrip()[:6].upper() == b"COMMIT"


class KafkaRequests:
    """Requests of one kind in what a client sends to a Kafka broker."""

    def __init__(self, api_key: int = PRODUCE) -> None:
        self._buffer = bytearray()
        self._api_key = api_key

    def __call__(self, data: bytes) -> bool:
        self._buffer += data
        found = False
        while len(self._buffer) >= 6:
            length, api_key = struct.unpack_from(">ih", self._buffer)
            if len(self._buffer) < 4 + length:
                break
            del self._buffer[: 4 + length]
            found |= api_key == self._api_key
        return found
