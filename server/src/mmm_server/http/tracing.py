"""W3C Trace Context for every request, and OpenTelemetry spans where somebody collects them.

A valid `traceparent` is taken over, so that log lines carry the caller's trace id; any other is ignored and a new trace
begins, as the specification asks. It knows `traceparent` in requests only, so answers carry none.

Spans are made where OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set and the extra `tracing`
is installed. The event loop does no more for them than append to a bounded queue; a thread of the exporter's own makes
and sends them, and only there OpenTelemetry is imported. All other OTEL_* variables mean what its documentation says.
"""

import os
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import Message, Scope

from mmm_server.http.spans import Finished, SpanThread

# A version that is not known yet may have more after the flags; version 00 may not.
TRACEPARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

# Ids need not be secret, but must differ between processes that were forked or started alike.
_random = random.SystemRandom()
_ids = random.Random(_random.getrandbits(128))


@dataclass(slots=True)
class Trace:
    """What is known of a request's trace; `parent` is the valid traceparent that came, `timing` the stages."""

    trace_id: str
    parent: str = ""
    state: str = ""
    began: int = 0  # nanoseconds since 1970, only where spans are made
    timing: bytes = b""


class Tracing:
    """The traces of one application's requests."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        wanted = is_wanted(os.environ if environment is None else environment)
        self._spans = SpanThread() if wanted else None

    def begin(self, scope: Scope) -> Trace:
        """The trace to which a request belongs."""
        trace = trace_of(scope)
        if self._spans is not None:
            trace.began = time.time_ns()
        return trace

    def note(self, trace: Trace, message: Message) -> None:
        """Remembers the stages that the head of an answer names."""
        if self._spans is not None:
            for name, value in message.get("headers", ()):
                if name == b"server-timing":
                    trace.timing = value

    def end(self, trace: Trace, scope: Scope, status: int, route: str) -> None:
        """Hands the request over to be a span, if it asked for inference: all of these are POST."""
        if self._spans is not None and scope["method"] == "POST":
            self._spans.put(
                Finished(
                    trace_id=trace.trace_id,
                    parent=trace.parent,
                    state=trace.state,
                    began=trace.began,
                    ended=time.time_ns(),
                    method=scope["method"],
                    route=route if route.startswith("/") else "",
                    path=scope["path"],
                    scheme=scope.get("scheme", "http"),
                    protocol=scope.get("http_version", "1.1"),
                    status=status,
                    timing=trace.timing.decode("latin-1"),
                )
            )

    def close(self, seconds: float) -> None:
        """Sends what is left, for no longer than so many seconds; blocks."""
        if self._spans is not None:
            self._spans.close(seconds)


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether spans are to be made."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() or "otlp"
    return exporters != "none" and any(environment.get(name, "").strip() for name in ENDPOINTS)


def trace_of(scope: Scope) -> Trace:
    """The trace of the request's head: the caller's if its traceparent is valid and the only one, else a new one."""
    parents, state = [], b""
    for name, value in scope["headers"]:
        if name == b"traceparent":
            parents.append(value)
        elif name == b"tracestate":
            state = value if not state else state + b"," + value
    if len(parents) == 1 and (valid := valid_parent(parents[0])):
        return Trace(valid[3:35], valid, state.decode("latin-1"))
    return Trace(f"{_ids.getrandbits(128) or 1:032x}")


def valid_parent(value: bytes) -> str:
    """The first 55 characters of a valid traceparent, which all versions share; nothing for any other text."""
    found = TRACEPARENT.fullmatch(value)
    if found is None or (found[1] == b"00" and found[3] is not None):
        return ""
    return value[:55].decode()
