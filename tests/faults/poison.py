"""Records that nobody can take, of every kind, for every topic."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from shared.db import ROOT
from shared.events.base import Writer
from shared.events.topics import TOPICS, Topic
from shared.events.writers import writers_of
from shared.kafka import MAX_RECORD_BYTES

EXAMPLES = ROOT / "shared" / "events" / "examples"
WRITERS: tuple[Writer, ...] = ("intake", "routing", "sla", "metrics")
DEEP = 100_000


@dataclass(frozen=True, slots=True)
class Poison:
    """One record. `claims` is the service that it says it comes from, which does not read its own words back; `sure`: it is
    parked by everybody else. What is not sure may be taken, and harms nobody.
    """

    name: str
    topic: str
    key: bytes | None
    value: bytes
    claims: Writer | None
    sure: bool = True


def poisons(topic: Topic) -> Iterator[Poison]:
    """One of each kind for a topic, each on a key of its own."""
    fact = topic.facts[0]
    [writer, *_] = writers_of(fact)

    def event(**changed: Any) -> tuple[str, dict[str, Any]]:
        key = str(uuid4())
        base = json.loads((EXAMPLES / f"{fact.TYPE}.json").read_text(encoding="utf-8"))
        return key, base | {"source": f"/{writer}/1", "subject": key, "seq": 1, "seen": None} | changed

    def poison(name: str, key: str | None, content: dict[str, Any] | bytes, claims: Writer | None = writer) -> Poison:
        value = content if isinstance(content, bytes) else json.dumps(content).encode()
        return Poison(name, topic.name, None if key is None else key.encode(), value, claims)

    key, good = event()
    yield poison("no JSON", str(uuid4()), b"\xff\x00{ poison", None)
    yield poison("cut short", key, json.dumps(good).encode()[:40], None)
    yield poison("empty", str(uuid4()), b"", None)
    yield poison("another type", *event(type="ticket.teleported.v1"))
    yield poison("a later version", *event(type=fact.TYPE.rpartition(".")[0] + ".v999"))
    yield poison("no key", None, event()[1])
    yield poison("a key that is not the subject", str(uuid4()), event()[1])
    nul = f"{uuid4()}\x00"
    yield poison("NUL in the key", nul, event(subject=nul)[1])
    yield poison("half a surrogate pair", (half := event())[0], json.dumps(half[1] | {"id": "\ud800"}).encode())
    yield poison("nested deep", (deep := event())[0], _nested(deep[1]))
    yield poison("almost too large", *event(type="ticket.weighed.v1", data={"weight": "x" * (MAX_RECORD_BYTES - 10_000)}))
    yield poison("a gap before it", *event(seq=7))
    yield poison("not counted", *event(seq=None))
    for stranger in [name for name in WRITERS if name not in writers_of(fact)][:1]:
        yield poison("from a service that does not say this", *event(source=f"/{stranger}/1"), claims=stranger)
    yield _of_another(topic)
    yield replace(poison("NUL in a text", *_with_nul(*event())), sure=False)


def _nested(event: dict[str, Any]) -> bytes:
    return json.dumps(event | {"data": "HERE"}).encode().replace(b'"HERE"', b"[" * DEEP + b"]" * DEEP)


def _of_another(topic: Topic) -> Poison:
    """A good event that stands on the wrong topic."""
    fact = next(t for t in TOPICS if t is not topic and t.sequenced).facts[0]
    [writer, *_], key = writers_of(fact), str(uuid4())
    event = json.loads((EXAMPLES / f"{fact.TYPE}.json").read_text(encoding="utf-8"))
    event |= {"source": f"/{writer}/1", "subject": key, "seq": 1, "seen": None}
    return Poison("of another topic", topic.name, key.encode(), json.dumps(event).encode(), writer)


def _with_nul(key: str, event: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Every text of the fact that is free to be anything holds a NUL, which no text of PostgreSQL does."""
    data = {name: f"{value}\x00" if isinstance(value, str) else value for name, value in event["data"].items()}
    return key, event | {"data": data}
