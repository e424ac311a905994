"""The trace of one contact through all parts, and logs that know nobody."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import httpx
import pytest
import structlog
from aiokafka import AIOKafkaConsumer
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from shared import db, kafka, telemetry
from shared.clock import clock
from shared.consumer import Consumer
from shared.events.base import Draft, Event, Fact
from shared.events.codec import decode, encode
from shared.events.message import MessagePersonal, MessageReceived
from shared.events.ticket import TicketOpened, TicketQueued
from shared.folding import Handler
from shared.http import create_app
from shared.records import Record
from tests.services.shared.conftest import Plumbing, Seen, SeenProjection, note, opened, received
from tests.services.shared.test_pipeline import connected, relay_of, running, until

__all__ = ["connected"]

CANARY = "canary-Rivka-0501234567"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    """The spans of this test, as an exporter would get them."""
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)  # the one that conftest made, which records
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    """What a service prints."""
    telemetry.set_up("routing", "debug")
    yield capsys
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def queue_it(_context: None, state: Seen, event: Event[Fact], _now: datetime) -> tuple[Seen, Sequence[Draft[Fact]]]:
    """Brings a fact about, as routing does."""
    draft = Draft(
        key=event.key, data=TicketQueued(queue_id="support", visit=1, reason="opened", age_from=event.time), cause=event.id
    )
    return Seen(state.key, (*state.ids, event.id)), [draft]


def quote(_context: None, _state: Seen, _event: Event[Fact], _now: datetime) -> tuple[Seen, Sequence[Draft[Fact]]]:
    """A handler that fails with the customer's words in its mouth, its causes and its variables."""
    words = MessagePersonal(text=CANARY)
    try:
        raise KeyError(CANARY)
    except KeyError as error:
        raise ValueError(f"cannot take {words}") from error


HANDLERS: Mapping[type[Fact], Handler[None, Seen]] = {TicketOpened: queue_it, MessageReceived: note}
QUOTING: Mapping[type[Fact], Handler[None, Seen]] = {TicketOpened: note, MessageReceived: quote}


async def post(plumbing: Plumbing, key: str) -> None:
    """A contact over HTTP: its transaction publishes."""

    async def ready() -> str | None:
        return None

    app = create_app("intake", "Test", ready)

    @app.post("/v1/contacts")
    async def post_contacts() -> None:
        async with db.transaction(plumbing.engine) as conn:
            await plumbing.outbox("intake").publish(conn, [opened(key), received(key, 1)], await clock(conn))

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answer = await client.post("/v1/contacts", headers={"traceparent": CALLER})
    assert answer.status_code == 200


async def record_of(plumbing: Plumbing, key: str) -> tuple[Event[Fact], dict[str, bytes]]:
    """The first record of the ticket on the topic, with its headers."""
    client: AIOKafkaConsumer = await kafka.start_consumer(plumbing.settings, "test", ("tickets",), group=None)
    try:
        async with asyncio.timeout(20):
            while True:
                record = await client.getone()
                if record.key == key.encode():
                    return decode(record.value), dict(record.headers)
    finally:
        await kafka.stop(client)


def traceparent_of(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def named(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    return next(span for span in spans.get_finished_spans() if span.name == name)


async def test_one_trace_leads_from_the_request_to_what_it_brought_about(
    connected: Plumbing,
    spans: InMemorySpanExporter,
    name: str,
) -> None:
    key = f"{name}-trace"
    await post(connected, key)
    edge = named(spans, "POST intake")
    assert edge.kind is SpanKind.SERVER
    assert edge.parent is not None
    assert (f"{edge.parent.trace_id:032x}", f"{edge.parent.span_id:016x}") == (TRACE, "00f067aa0ba902b7")
    rows = await connected.rows("SELECT traceparent FROM intake.outbox")
    assert rows == [(traceparent_of(edge),)] * 2

    folder = connected.folder("routing")
    consumer = Consumer(
        connected.settings,
        connected.engine,
        "routing",
        folder,
        folder.parking,
        (SeenProjection(handlers=HANDLERS),),
        lambda: None,
        key,
    )
    async with running(relay_of(connected).run, consumer.run):

        async def answered() -> bool:
            return await connected.rows("SELECT count(*) FROM routing.outbox") == [(1,)]

        await until(answered)
        event, headers = await record_of(connected, key)

    assert event.traceparent == traceparent_of(edge)
    assert headers == {"traceparent": traceparent_of(edge).encode()}
    consuming = named(spans, "routing ticket.opened.v1")
    assert consuming.kind is SpanKind.CONSUMER
    assert consuming.parent is not None
    assert consuming.parent.span_id == edge.get_span_context().span_id  # type: ignore[union-attr]
    values = await connected.rows("SELECT value, traceparent FROM routing.outbox")
    assert isinstance(values[0][0], bytes)
    assert (decode(values[0][0]).traceparent, values[0][1]) == (traceparent_of(consuming),) * 2


@pytest.mark.parametrize("header", ["", "nonsense", f"00-{'0' * 32}-00f067aa0ba902b7-01", "00-é-b-01"])
def test_a_traceparent_that_is_none_begins_a_new_trace(spans: InMemorySpanExporter, header: str) -> None:
    with telemetry.span("alone", header or None):
        assert telemetry.current_traceparent() is not None
    assert named(spans, "alone").parent is None


def test_outside_of_any_span_there_is_no_traceparent() -> None:
    assert telemetry.current_traceparent() is None


def test_a_span_keeps_the_type_of_an_error_and_not_its_words(spans: InMemorySpanExporter) -> None:
    with pytest.raises(RuntimeError), telemetry.span("failing"):
        raise RuntimeError(CANARY)
    span = named(spans, "failing")
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "RuntimeError")
    assert span.events == ()


async def test_a_parked_record_leaves_no_word_of_the_customer_in_logs_tables_or_topics(
    plumbing: Plumbing, spans: InMemorySpanExporter, printed: pytest.CaptureFixture[str]
) -> None:
    told = await plumbing.publish("intake", opened("a"), received("a", 1, text=CANARY))
    spoiled = encode(replace(told[0], key="b")).replace(b'"email"', f'"{CANARY}"'.encode())
    foreign = encode(replace(told[0], key="c")).replace(b"/intake/1", CANARY.encode())
    records = [
        Record("tickets", 0, n, key, value)
        for n, (key, value) in enumerate([("a", encode(told[0])), ("a", encode(told[1])), ("b", spoiled), ("c", foreign)])
    ]
    async with db.transaction(plumbing.engine) as conn:
        failures = await plumbing.folder("routing").fold(conn, SeenProjection(handlers=QUOTING), records)
    assert [failure.reason for failure in failures] == ["failed", "undecodable", "undecodable"]

    out = printed.readouterr().out
    logged = [json.loads(line) for line in out.splitlines()]
    parked = next(line for line in logged if line["event"] == "record parked")
    assert parked["error"] == "ValueError"
    assert any(place.endswith("in quote") for place in parked["stack"]), "an operator sees where"
    assert CANARY not in out
    kept = await plumbing.rows("SELECT error FROM routing.parked WHERE reason = 'failed'")
    assert str(kept[0][0]).startswith("ValueError at tests/services/shared/test_telemetry.py:")
    assert CANARY not in repr(await plumbing.rows("SELECT * FROM routing.outbox"))
    assert CANARY not in repr(kept)
    assert not any(CANARY in span.to_json() for span in spans.get_finished_spans())


async def test_errors_of_the_database_and_of_requests_are_logged_without_values(
    plumbing: Plumbing, printed: pytest.CaptureFixture[str]
) -> None:
    async def ready() -> str | None:
        return None

    app = create_app("intake", "Test", ready)

    @app.get("/v1/tickets")
    async def list_tickets() -> None:
        await plumbing.rows("INSERT INTO routing.seen SELECT :key, NULL::text[] RETURNING ids", key=CANARY)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answer = await client.get("/v1/tickets", params={"q": CANARY}, headers={"x-from": CANARY})
    out = printed.readouterr().out
    assert answer.status_code == 500
    assert json.loads(out)["error"] == "IntegrityError"
    assert CANARY not in out + answer.text
