"""Requests as OpenTelemetry spans, sent over OTLP/HTTP by a thread of their own.

A span of kind server for each request, with the attributes of the HTTP semantic conventions, and one child span for
each stage that the answer named in Server-Timing. The stages are laid end to end from the request's beginning: their
lengths were measured, the moments between them were not.
"""

import logging
import queue
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

log = logging.getLogger(__name__)

WAITING_ITEMS = 4096
SCHEDULE_MILLISECONDS = 1000.0
STAGE = re.compile(r"(\w+);dur=([0-9.]+)")
SERVER_ERROR = 500
SERVICE = "mmm-server"
DELAY_VARIABLE = "OTEL_BSP_SCHEDULE_DELAY"


@dataclass(frozen=True, slots=True)
class Finished:
    """An answered request; times are nanoseconds since 1970, `parent`, `state` and `route` may be empty."""

    trace_id: str
    parent: str
    state: str
    began: int
    ended: int
    method: str
    route: str
    path: str
    scheme: str
    protocol: str
    status: int
    timing: str


WHOLE = "total"  # of all stages: the request's own span


def stages_of(finished: Finished) -> list[tuple[str, int, int]]:
    """(name, begin, end) of each stage, none of them after the request's end."""
    stages, begin = [], finished.began
    for name, milliseconds in STAGE.findall(finished.timing):
        if name == WHOLE:
            continue
        end = min(finished.ended, begin + int(float(milliseconds) * 1e6))
        stages.append((name, begin, end))
        begin = end
    return stages


def attributes_of(finished: Finished) -> dict[str, str | int]:
    """The attributes of the semantic conventions for HTTP servers."""
    found: dict[str, str | int] = {
        "http.request.method": finished.method,
        "http.route": finished.route,
        "http.response.status_code": finished.status,
        "url.path": finished.path,
        "url.scheme": finished.scheme,
        "network.protocol.name": "http",
        "network.protocol.version": finished.protocol,
    }
    if not finished.route:
        del found["http.route"]
    if finished.status >= SERVER_ERROR:
        found["error.type"] = str(finished.status)
    return found


class SpanThread:
    """Takes requests without ever blocking, and drops them while more wait than it may hold."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Finished | None] = queue.Queue(WAITING_ITEMS)
        self._thread = threading.Thread(target=self._run, name="tracing", daemon=True)
        self._started = False

    def put(self, finished: Finished) -> None:
        """Enqueues a request; the first one starts the thread."""
        if not self._started:
            self._started = True
            self._thread.start()
        try:
            self._waiting.put_nowait(finished)
        except queue.Full:
            return  # tracing is the first thing to go without

    def close(self, seconds: float) -> None:
        """Waits until everything was sent, or the time is over."""
        if not self._started:
            return
        deadline = time.monotonic() + seconds
        try:
            self._waiting.put(None, timeout=seconds)
        except queue.Full:
            return
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        try:
            spans = Spans()
        except ImportError:
            log.warning("no traces: an endpoint is set, but the extra `tracing` is not installed")
            return
        except Exception:
            log.warning("no traces: the OTEL_* variables make no sense together", exc_info=True)
            return
        while (finished := self._waiting.get()) is not None:
            spans.add(finished)
        spans.close()


class Spans:
    """Makes spans with the SDK; one thread only."""

    def __init__(self) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._propagator = TraceContextTextMapPropagator()
        self._trace_ids: list[int] = []
        self._provider = _provider(self._trace_ids)
        self._tracer = self._provider.get_tracer("mmm_server")

    def add(self, finished: Finished) -> None:
        """One request and its stages."""
        from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

        self._trace_ids[:] = [int(finished.trace_id, 16)]
        span = self._tracer.start_span(
            f"{finished.method} {finished.route}".strip(),
            context=self._context(finished),
            kind=SpanKind.SERVER,
            attributes=attributes_of(finished),
            start_time=finished.began,
        )
        if finished.status >= SERVER_ERROR:
            span.set_status(StatusCode.ERROR)
        inside = set_span_in_context(span)
        for name, begin, end in stages_of(finished):
            self._tracer.start_span(name, context=inside, start_time=begin).end(end)
        span.end(finished.ended)

    def close(self) -> None:
        """Sends what is left."""
        self._provider.shutdown()

    def _context(self, finished: Finished) -> "Context":
        from opentelemetry.context import Context

        if not finished.parent:
            return Context()
        headers = {"traceparent": finished.parent, "tracestate": finished.state}
        return self._propagator.extract(headers, context=Context())


def _provider(trace_ids: Sequence[int]) -> "TracerProvider":
    """A provider that exports in batches; a root span takes the first of `trace_ids`, which the logs name already."""
    import os

    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class Known(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            return trace_ids[0]

    # It logs every attempt; what an operator needs to know is said once, below.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    named = "OTEL_SERVICE_NAME" in os.environ or SERVICE_NAME in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    resource = Resource.create({} if named else {SERVICE_NAME: SERVICE})
    provider = TracerProvider(resource=resource, id_generator=Known(), shutdown_on_exit=False)
    delay = None if DELAY_VARIABLE in os.environ else SCHEDULE_MILLISECONDS
    provider.add_span_processor(BatchSpanProcessor(_quiet(OTLPSpanExporter()), schedule_delay_millis=delay))
    return provider


def _quiet(inner: "SpanExporter") -> "SpanExporter":
    """An exporter that says once that it fails, and once that it works again."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Quiet(SpanExporter):
        failing = False

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            try:
                result = inner.export(spans)
            except Exception:  # whatever a transport may raise: the spans are lost, the server goes on
                log.debug("spans were lost", exc_info=True)
                result = SpanExportResult.FAILURE
            failing = result is not SpanExportResult.SUCCESS
            if failing and not self.failing:
                log.warning("traces cannot be sent; they are dropped until the collector answers")
            elif self.failing and not failing:
                log.info("traces are sent again")
            self.failing = failing
            return result

        def shutdown(self) -> None:
            inner.shutdown()

        def force_flush(self, timeout_millis: int = 30000) -> bool:
            return inner.force_flush(timeout_millis)

    return Quiet()
