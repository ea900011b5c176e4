"""Traces of the real process, sent to a real collector: a small HTTP server that reads OTLP."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from dev.localcluster.layout import free_ports
from tests.server.conftest import Start
from tests.server.harness import ServerProcess, wait_for
from tests.server.pictures import base64_of, jpeg

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CALLED = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"}
QUESTION = {"images": [base64_of(jpeg())], "texts": ["a", "b"]}


class Collector:
    """Keeps the spans that were sent to it."""

    def __init__(self, port: int) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.paths: set[str] = set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.take(self.path, ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"

    def take(self, path: str, request: ExportTraceServiceRequest) -> None:
        self.paths.add(path)
        for resource in request.resource_spans:
            self.services |= {
                one.value.string_value for one in resource.resource.attributes if one.key == "service.name"
            }
            for scope in resource.scope_spans:
                self.spans += scope.spans

    def servers(self) -> list[Span]:
        return [span for span in self.spans if span.kind == Span.SPAN_KIND_SERVER]


@contextmanager
def collecting(port: int = 0) -> Iterator[Collector]:
    collector = Collector(port)
    thread = threading.Thread(target=collector.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield collector
    finally:
        collector.server.shutdown()
        thread.join()
        collector.server.server_close()


def said(span: Span) -> dict[str, str | int]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def ask(server: ServerProcess, **headers: str) -> httpx.Response:
    return httpx.post(f"{server.url}/predict", json=QUESTION, headers=headers, timeout=30)


def test_a_request_is_a_span_with_its_stages_inside(start_fake: Start) -> None:
    with collecting() as collector:
        server = start_fake(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint).wait_ready()
        assert ask(server, **CALLED).status_code == 200
        wait_for(collector.servers, 20, "a span")
        (span,) = collector.servers()
        assert (span.trace_id.hex(), span.parent_span_id.hex(), span.trace_state) == (TRACE, PARENT, "vendor=1")
        assert span.name == "POST /predict"
        wanted = {"http.request.method": "POST", "http.route": "/predict", "http.response.status_code": 200}
        assert wanted.items() <= said(span).items()
        stages = [other for other in collector.spans if other.parent_span_id == span.span_id]
        assert {"read", "decode", "queue", "forward", "finish"} == {stage.name for stage in stages}
        for stage in stages:
            assert span.start_time_unix_nano <= stage.start_time_unix_nano <= stage.end_time_unix_nano
            assert stage.end_time_unix_nano <= span.end_time_unix_nano
        assert collector.services == {"mmm-server"}
        assert collector.paths == {"/v1/traces"}


def test_refusals_and_the_last_requests_are_sent_and_probes_are_not(start_fake: Start) -> None:
    with collecting() as collector:
        environment = {"OTEL_BSP_SCHEDULE_DELAY": "60000", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "6"}
        environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "MMM_LOG_LEVEL": "DEBUG"}
        server = start_fake(**environment).wait_ready()
        # Six spans are a batch, which does not wait: it says that the thread that sends them is there by now.
        assert ask(server, **CALLED).status_code == 200
        wait_for(collector.servers, 30, "a batch")
        assert httpx.post(f"{server.url}/predict", json={}, timeout=30).status_code == 422
        assert httpx.post(f"{server.url}/nowhere", json={}, timeout=30).status_code == 404
        server.signal()
        assert server.wait_exit() == 0
        refused, lost = [span for span in collector.servers() if span.trace_id.hex() != TRACE]
        assert refused.status.code == Status.STATUS_CODE_UNSET
        assert (said(refused)["http.response.status_code"], lost.name) == (422, "POST")
        line = next(line for line in server.log_lines if line["message"] == "request" and line["status"] == 422)
        assert line["trace_id"] == refused.trace_id.hex()


def test_a_caller_that_does_not_sample_is_not_sampled(start_fake: Start) -> None:
    with collecting() as collector:
        server = start_fake(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint).wait_ready()
        assert ask(server, traceparent=f"00-{TRACE}-{PARENT}-00").status_code == 200
        assert ask(server).status_code == 200
        wait_for(collector.servers, 20, "the other span")
        assert TRACE not in {span.trace_id.hex() for span in collector.spans}


def test_a_collector_that_is_away_costs_one_line_and_no_answer(start_fake: Start) -> None:
    (port,) = free_ports(1)
    environment = {"OTEL_EXPORTER_OTLP_TIMEOUT": "1", "OTEL_BSP_SCHEDULE_DELAY": "50"}
    server = start_fake(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}", **environment).wait_ready()

    def complaints() -> list[str]:
        return [line["message"] for line in server.log_lines if line["level"] != "INFO"]

    assert ask(server).status_code == 200
    wait_for(complaints, 30, "a complaint")
    assert ask(server).status_code == 200
    with collecting(port) as collector:
        wait_for(lambda: ask(server).status_code == 200 and collector.servers(), 30, "a span after all")
        wait_for(lambda: server.log_line("traces are sent again"), 10, "said")
        # Once the collector is gone, what is left to be sent may be complained of again.
        assert complaints() == ["traces cannot be sent; they are dropped until the collector answers"]
        assert server.log_line("traces are sent again")


@pytest.mark.parametrize("given", ["", f"00-{TRACE}-{PARENT}-01"])
def test_log_lines_carry_the_trace_where_nobody_collects(start_fake: Start, given: str) -> None:
    server = start_fake(MMM_LOG_LEVEL="DEBUG").wait_ready()
    answer = ask(server, **({"traceparent": given} if given else {}))
    assert "traceparent" not in answer.headers
    wait_for(lambda: any(line.get("route") == "/predict" for line in server.log_lines), 10, "the log line")
    (line,) = [line for line in server.log_lines if line.get("route") == "/predict"]
    assert (line["trace_id"] == TRACE) is bool(given)
    assert len(line["trace_id"]) == 32
