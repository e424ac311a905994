"""Where spans go: to the collector that OpenTelemetry's own variables name, and nowhere without them."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.system import ROOT

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PROCESS = f"""
import sys
from shared import telemetry
telemetry.set_up("sla")
with telemetry.consumer_span("tickets", "00-{TRACE}-00f067aa0ba902b7-01") as traceparent:
    print(traceparent, telemetry.recording(), flush=True)
sys.stdin.read()
"""

SERVICE = """
from shared import telemetry
from shared.service import main
from shared.settings import Settings

async def run():
    with telemetry.consumer_span("the last", None):
        print("begun", flush=True)

main("sla", Settings, run)
"""


class Collector(ThreadingHTTPServer):
    """Takes spans as OTLP over HTTP: https://opentelemetry.io/docs/specs/otlp/#otlphttp-request"""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taken)
        self.taken: queue.Queue[tuple[str, bytes]] = queue.Queue()


class _Taken(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.taken.put((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def process(code: str = PROCESS, **variables: str) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environment = {**inherited, "OTEL_BSP_SCHEDULE_DELAY": "50", **variables}
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True)


def said(of: subprocess.Popen[str]) -> list[str]:
    assert of.stdout is not None
    return of.stdout.readline().split()


def test_spans_arrive_at_the_collector_with_the_service_and_the_trace_they_go_on_from(collector: Collector) -> None:
    with process(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.server_port}") as running:
        traceparent, recording = said(running)
        path, body = collector.taken.get(timeout=20)
        running.communicate(timeout=20)
    assert (path, recording) == ("/v1/traces", "True")
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    assert {"service.name": "patchbay-sla"}.items() <= {a.key: a.value.string_value for a in resource.resource.attributes}.items()
    (span,) = resource.scope_spans[0].spans
    assert (span.name, span.trace_id.hex(), span.parent_span_id.hex()) == ("tickets", TRACE, "00f067aa0ba902b7")
    assert traceparent == f"00-{TRACE}-{span.span_id.hex()}-01"


def test_the_last_spans_arrive_though_the_process_ends_at_once(collector: Collector) -> None:
    endpoint, never = f"http://127.0.0.1:{collector.server_port}", "3600000"
    with process(SERVICE, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_BSP_SCHEDULE_DELAY=never) as running:
        running.communicate(timeout=20)
    _, body = collector.taken.get(timeout=1)
    assert ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans[0].name == "the last"


def test_without_a_collector_no_span_is_made_and_the_trace_travels_on() -> None:
    with process(OTEL_TRACES_SAMPLER="always_on") as running:
        assert said(running) == [f"00-{TRACE}-00f067aa0ba902b7-01", "False"]
        running.communicate(timeout=20)


# What a request brings, and with what it goes on.
USABLE = {
    f"00-{TRACE}-00f067aa0ba902b7-01": f"00-{TRACE}-00f067aa0ba902b7-01",
    f"00-{TRACE}-00f067aa0ba902b7-ff": f"00-{TRACE}-00f067aa0ba902b7-03",
    f"cc-{TRACE}-00f067aa0ba902b7-09-more": f"00-{TRACE}-00f067aa0ba902b7-01",
}
UNUSABLE = ("", "nonsense", f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-{TRACE.upper()}-00f067aa0ba902b7-01")


def test_without_a_collector_a_request_s_identity_goes_on_and_one_without_a_usable_one_gets_a_new_one() -> None:
    told = identities_of(*USABLE, *UNUSABLE, *UNUSABLE)
    assert told[: len(USABLE)] == list(USABLE.values())
    new = told[len(USABLE) :]
    assert all(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", identity) for identity in new), new
    assert len(set(new)) == 2 * len(UNUSABLE)
    assert not any(TRACE in identity for identity in new)


def identities_of(*traceparents: str) -> list[str]:
    code = f"""
from shared import telemetry
telemetry.set_up("intake")
for came in {traceparents!r}:
    with telemetry.span("POST intake", came):
        with telemetry.span("inner"):
            print(telemetry.current_traceparent(), telemetry.recording(), flush=True)
"""
    with process(code) as running:
        identities = []
        for _ in traceparents:
            identity, recording = said(running)
            assert recording == "False"
            identities.append(identity)
        assert running.wait(20) == 0
    return identities
