"""Bytes to events and back: the only place that knows how an event is written (CloudEvents 1.0, structured JSON)."""

from __future__ import annotations

import re
from typing import Annotated, Literal, cast

import msgspec

from shared.events.base import NOTHING_SEEN, Event, Fact, FactT, Moment, Position, Writer
from shared.events.topics import FACT_BY_TYPE

CONTENT_TYPE = "application/cloudevents+json; charset=UTF-8"
# What `encode` writes begins like this; anything else is read in full.
_HEAD = re.compile(rb'\{"specversion":"1\.0","id":"[^"\\\\]*","source":"/(intake|routing|sla|metrics|desk)/([0-9]{1,9})",')
_SOURCE = re.compile(r"/(intake|routing|sla|metrics|desk)/([0-9]{1,9})")
Seq = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]  # an Integer of CloudEvents has 32 bits


class Undecodable(ValueError):
    """The bytes are no event of this contract; the message says why."""


class UnknownType(Undecodable):
    """A well-formed event of a type or version that this code does not know yet."""


class _Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str
    time: Moment
    data: msgspec.Raw
    datacontenttype: Literal["application/json"] | None = None
    seq: Seq | None = None
    seen: str | None = None
    traceparent: str | None = None


_encoder = msgspec.json.Encoder()
_envelopes = msgspec.json.Decoder(_Envelope)
_facts: dict[str, msgspec.json.Decoder[Fact]] = {name: msgspec.json.Decoder(fact) for name, fact in FACT_BY_TYPE.items()}


def encode(event: Event[Fact]) -> bytes:
    """The event as it stands on the log."""
    return _encoder.encode(
        _Envelope(
            specversion="1.0",
            id=event.id,
            source=f"/{event.writer}/{event.position.incarnation}",
            type=event.type,
            subject=event.key,
            time=event.time,
            datacontenttype="application/json",
            data=msgspec.Raw(_encoder.encode(event.data)),
            seq=event.position.seq or None,
            seen=str(event.seen) if event.seen != NOTHING_SEEN else None,
            traceparent=event.traceparent,
        )
    )


def source_of(raw: bytes) -> tuple[Writer, int] | None:
    """Who said this, in which incarnation, from the first bytes alone; None where only `decode` can tell."""
    head = _HEAD.match(raw)
    return (cast(Writer, head[1].decode()), int(head[2])) if head else None


def decode(raw: bytes) -> Event[Fact]:
    """Read an event. Raises UnknownType for a type this code does not know, Undecodable for anything else that is wrong."""
    try:
        envelope = _envelopes.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable(f"not a CloudEvents 1.0 event: {error}") from None
    source = _SOURCE.fullmatch(envelope.source)
    if source is None:
        raise Undecodable(f"source '{envelope.source}' is none of ours")
    decoder = _facts.get(envelope.type)
    if decoder is None:
        raise UnknownType(f"type '{envelope.type}' is not known to this version")
    try:
        data = decoder.decode(envelope.data)
        seen = Position.parse(envelope.seen) if envelope.seen else NOTHING_SEEN
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Undecodable(f"data of {envelope.type}: {error}") from None
    return Event(
        id=envelope.id,
        type=envelope.type,
        writer=cast(Writer, source[1]),
        position=Position(int(source[2]), envelope.seq or 0),
        key=envelope.subject,
        time=envelope.time,
        data=data,
        seen=seen,
        traceparent=envelope.traceparent,
    )


def encode_data(value: msgspec.Struct) -> bytes:
    """A struct of the contract as JSON (for what is inside a sealed box, and for state kept in tables)."""
    return _encoder.encode(value)


def decode_data(raw: bytes, shape: type[FactT]) -> FactT:
    """Read back what `encode_data` wrote. Raises Undecodable."""
    try:
        return msgspec.json.decode(raw, type=shape)
    except msgspec.DecodeError as error:
        raise Undecodable(f"data of {shape.__name__}: {error}") from None
