"""Logs, figures and traces of every service.

Logs are structlog's, one JSON object a line; they carry ids, never text, names or addresses. Prometheus labels come from
closed sets only (service, topic, channel, reason), never from agents, customers or tickets. Traces are W3C traceparent
(https://www.w3.org/TR/trace-context/), from the HTTP request through outbox row and Kafka header to the consumer's span.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Counter, Gauge, Histogram

LAG_RECORDS = Gauge("patchbay_lag_records", "Records not yet consumed", ["service", "topic", "partition"])
LAG_SECONDS = Gauge(
    "patchbay_lag_seconds", "Age of the last consumed record when behind, else 0", ["service", "topic", "partition"]
)
CONSUMED = Counter("patchbay_consumed_records", "Records consumed", ["service", "topic"])
DUPLICATES = Counter("patchbay_duplicate_records", "Records ignored because they had been seen", ["service", "topic"])
BATCH_SECONDS = Histogram(
    "patchbay_batch_seconds",
    "Time of a consume transaction",
    ["service"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
FENCED = Counter("patchbay_fence_rejections", "Batches refused because another process had moved the offset", ["service"])
PARKED_RECORDS = Counter("patchbay_parked_records", "Records parked since start", ["service", "topic", "reason"])
PARKED_KEYS = Gauge("patchbay_parked_keys", "Keys that wait behind a parked record", ["service"])
OUTBOX_ROWS = Gauge("patchbay_outbox_rows", "Events written and not yet on the log", ["service"])
OUTBOX_AGE = Gauge("patchbay_outbox_age_seconds", "Age of the oldest event not yet on the log", ["service"])
RELAYED = Counter("patchbay_relayed_events", "Events put on the log", ["service"])
RELAY_REBUILDS = Counter("patchbay_relay_rebuilds", "Times the relay made itself a new producer", ["service"])
REQUEST_SECONDS = Histogram(
    "patchbay_request_seconds",
    "Time of an HTTP request",
    ["service", "operation", "status"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)

FRAMES = 12

# OpenTelemetry's own variables: where spans are sent (OTLP over HTTP). Without, none is made; a trace's identity travels on.
OTLP_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

LAST_SPANS_SECONDS = 2.0
# Sampled, and random trace id: https://www.w3.org/TR/trace-context-2/#trace-flags; others have to be told as 0.
KNOWN_FLAGS = 0x03

_propagator = TraceContextTextMapPropagator()
_ids = RandomIdGenerator()
_ROOT = Path(__file__).resolve().parent.parent


def set_up(service: str, level: str = "info", as_json: bool = True) -> None:
    """Configure logs and traces of this process. Called once, by the composition root."""
    # The two servers' own loggers say what ours say better, and with addresses.
    for name in ("uvicorn.access", "aiokafka", "mail.log"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(Reticent())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    renderer = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _trace_ids,
            _stack_without_words,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(_tracer_provider(service))


def _tracer_provider(service: str) -> TracerProvider:
    if not any(os.environ.get(name) for name in OTLP_ENDPOINTS):
        return TracerProvider(sampler=ALWAYS_OFF)
    # Here, because it brings a whole HTTP client with it.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    provider = TracerProvider(resource=Resource.create({"service.name": f"patchbay-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def send_last_spans() -> None:
    """Send what spans are left, for LAST_SPANS_SECONDS at most: a collector that does not answer holds up no end."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        sending = threading.Thread(target=provider.force_flush, daemon=True)
        sending.start()
        sending.join(LAST_SPANS_SECONDS)


def _trace_ids(_logger: object, _name: str, record: structlog.typing.EventDict) -> structlog.typing.EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        record["trace_id"] = f"{context.trace_id:032x}"
    return record


def _stack_without_words(_logger: object, _name: str, record: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """What an exception says may quote a customer, and so may the variables around it: keep its type and where it came from."""
    given = record.pop("exc_info", None)
    error = given if isinstance(given, BaseException) else sys.exc_info()[1] if given else None
    if error is not None:
        record.setdefault("error", type(error).__name__)
        record["stack"] = _stack(error)
    return record


def describe(error: BaseException) -> str:
    """An error for logs and parked records: its type and its place, never what it says, which may quote a customer."""
    stack = _stack(error)
    return f"{type(error).__name__} at {stack[-1]}" if stack else type(error).__name__


def _stack(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__, limit=-FRAMES)
    stack = [f"{_short(frame.filename)}:{frame.lineno} in {frame.name}" for frame in frames]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return stack if cause is None else [*_stack(cause), f"then {type(error).__name__}", *stack][-2 * FRAMES :]


def _short(filename: str) -> str:
    path = Path(filename)
    if path.is_relative_to(_ROOT) and "site-packages" not in path.parts:
        return str(path.relative_to(_ROOT))
    return "/".join(path.parts[-2:])


class Reticent(logging.Formatter):
    """For loggers of libraries: exceptions without their words, and of asyncio, which quotes whole tasks, the first line."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = f"{record.levelname} {record.name} {record.getMessage().partition(chr(10))[0]}"
        error = record.exc_info[1] if record.exc_info else None
        return line if error is None else f"{line} ({describe(error)})"


def recording() -> bool:
    """Whether spans are kept by anybody; if not, nothing is to be gained from making one per event."""
    return getattr(trace.get_tracer_provider(), "sampler", ALWAYS_OFF) is not ALWAYS_OFF


def current_traceparent() -> str | None:
    """The traceparent of the span at hand, None outside of any."""
    at_hand = trace.get_current_span().get_span_context()
    if not at_hand.is_valid:
        return None
    return f"00-{at_hand.trace_id:032x}-{at_hand.span_id:016x}-{at_hand.trace_flags & KNOWN_FLAGS:02x}"


@contextmanager
def span(name: str, traceparent: str | None = None, kind: SpanKind = SpanKind.INTERNAL) -> Iterator[Span]:
    """A span that goes on from `traceparent`, where there is one."""
    parent = _propagator.extract({"traceparent": traceparent}) if traceparent else None
    if not recording():
        with _passing(parent) as passing:
            yield passing
        return
    tracer = trace.get_tracer("patchbay")
    # By itself the span would keep what an exception says, which may quote a customer.
    with tracer.start_as_current_span(
        name, context=parent, kind=kind, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except Exception as error:
            current.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


@contextmanager
def _passing(parent: Context | None) -> Iterator[Span]:
    """A span that nobody keeps: the caller's identity goes on, or a new one. The SDK's own takes ten times as long for that."""
    identity = trace.get_current_span(parent).get_span_context()
    if not identity.is_valid:
        identity = SpanContext(_ids.generate_trace_id(), _ids.generate_span_id(), is_remote=False)
    span = NonRecordingSpan(identity)
    token = context.attach(trace.set_span_in_context(span, parent))
    try:
        yield span
    finally:
        context.detach(token)


@contextmanager
def consumer_span(name: str, traceparent: str | None) -> Iterator[str | None]:
    """A span for one consumed event, giving the traceparent of what it brings about; where nothing records, the event's own."""
    if not recording():
        yield traceparent
        return
    with span(name, traceparent, SpanKind.CONSUMER):
        yield current_traceparent()


def log() -> structlog.typing.FilteringBoundLogger:
    """The logger. Event names are short sentences; values are ids, counts and reasons."""
    return structlog.get_logger()  # type: ignore[no-any-return]
