"""Requests are recognised however they are cut into pieces."""

import struct

import pytest

from tests.faults.wire import Commits, KafkaRequests, Recogniser

START = struct.pack(">ii", 8, 80877103) + struct.pack(">ii", 13, 196608) + b"user\0"  # SSLRequest, StartupMessage


def _typed(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">i", len(body) + 4) + body


def _fed(recognises: Recogniser, data: bytes, piece: int) -> int:
    return sum(recognises(data[n : n + piece]) for n in range(0, len(data), piece))


@pytest.mark.parametrize("piece", [1, 5, 1000])
@pytest.mark.parametrize(
    ("messages", "commits"),
    [
        (_typed(b"Q", b"COMMIT;\0"), 1),
        (_typed(b"P", b"name\0commit\0\0\0") + _typed(b"S", b""), 1),
        (_typed(b"Q", b"SELECT 'COMMIT'\0"), 0),
        (_typed(b"B", b"COMMIT\0"), 0),
        (_typed(b"Q", b"BEGIN;\0") + _typed(b"Q", b"COMMIT;\0"), 1),
    ],
)
def test_a_commit_is_recognised(messages: bytes, commits: int, piece: int) -> None:
    assert _fed(Commits(), START + messages, piece) == commits


@pytest.mark.parametrize("piece", [1, 5, 1000])
def test_a_request_to_kafka_is_recognised_by_its_kind(piece: int) -> None:
    def request(api_key: int, body: bytes) -> bytes:
        return struct.pack(">ih", 2 + len(body), api_key) + body

    assert _fed(KafkaRequests(0), request(3, b"metadata") + request(1, b"fetch"), piece) == 0
    assert _fed(KafkaRequests(0), request(3, b"metadata") + request(0, b"records"), piece) == 1
