import os
import random
import subprocess
import sys

import pytest

from mmm_server.http.spans import Finished, attributes_of, stages_of
from mmm_server.http.tracing import is_wanted, trace_of, valid_parent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{SPAN}-01"


def scope(*headers: tuple[bytes, bytes]) -> dict[str, object]:
    return {"type": "http", "method": "POST", "path": "/predict", "headers": list(headers)}


@pytest.mark.parametrize(
    "value", [VALID, f"00-{TRACE}-{SPAN}-00", f"01-{TRACE}-{SPAN}-01-more", f"cc-{TRACE}-{SPAN}-01"]
)
def test_a_valid_parent_is_taken_over(value: str) -> None:
    assert valid_parent(value.encode()) == value[:55]
    assert trace_of(scope((b"traceparent", value.encode()))).trace_id == TRACE


@pytest.mark.parametrize(
    "value",
    [
        *("", "-", VALID[:-1], VALID + "0", VALID + "-more", VALID.upper(), f" {VALID}", f"{VALID}\n"),
        *(f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"0x-{TRACE}-{SPAN}-01"),
        *(f"01-{TRACE}-{SPAN}-01more", f"00_{TRACE}_{SPAN}_01", f"00-{TRACE}-{SPAN}-0g", VALID * 1000),
    ],
)
def test_an_invalid_parent_is_ignored_and_a_new_trace_begins(value: str) -> None:
    first = trace_of(scope((b"traceparent", value.encode())))
    assert valid_parent(value.encode()) == "" == first.parent
    assert first.trace_id != TRACE
    assert len(first.trace_id) == 32
    assert int(first.trace_id, 16) > 0
    assert trace_of(scope()).trace_id != first.trace_id


def test_two_parents_are_no_parent_and_several_states_are_one() -> None:
    assert trace_of(scope((b"traceparent", VALID.encode()), (b"traceparent", VALID.encode()))).parent == ""
    given = trace_of(scope((b"tracestate", b"a=1"), (b"traceparent", VALID.encode()), (b"tracestate", b"b=2")))
    assert given.state == "a=1,b=2"


def test_no_header_however_mangled_is_too_much() -> None:
    seed = random.SystemRandom().getrandbits(32)
    source = random.Random(seed)
    for _ in range(2000):
        mangled = bytearray(VALID.encode())
        for _ in range(source.randint(1, 4)):
            mangled[source.randrange(len(mangled))] = source.randrange(256)
        found = valid_parent(bytes(mangled))
        assert found in ("", bytes(mangled).decode("latin-1")[:55]), f"seed {seed}"


IMPORTED = """
import sys
from mmm_server.http.tracing import Tracing

tracing = Tracing({environment})
scope = {"method": "POST", "path": "/predict", "headers": []}
tracing.end(tracing.begin(scope), scope, 200, "/predict")
tracing.close(60)
print(sorted({name.partition(".")[0] for name in sys.modules} & {"opentelemetry"}))
"""


@pytest.mark.parametrize(
    ("environment", "imported"),
    [({}, []), ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, ["opentelemetry"])],
)
def test_opentelemetry_is_imported_only_where_spans_are_made(environment: dict[str, str], imported: list[str]) -> None:
    program = IMPORTED.replace("{environment}", repr(environment))
    clean = {**dict(os.environ), "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=clean)
    assert ended.stdout.strip() == repr(imported)


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_spans_are_made_where_an_endpoint_is_set(environment: dict[str, str], wanted: bool) -> None:
    assert is_wanted(environment) is wanted


def finished(*, status: int = 200, timing: str = "", route: str = "/predict") -> Finished:
    return Finished(
        trace_id=TRACE,
        parent="",
        state="",
        began=1_000_000_000,
        ended=1_010_000_000,
        method="POST",
        route=route,
        path="/predict",
        scheme="http",
        protocol="1.1",
        status=status,
        timing=timing,
    )


def test_stages_follow_each_other_and_end_with_the_request() -> None:
    assert stages_of(finished(timing="read;dur=1.50, decode;dur=2.00, forward;dur=99.00")) == [
        ("read", 1_000_000_000, 1_001_500_000),
        ("decode", 1_001_500_000, 1_003_500_000),
        ("forward", 1_003_500_000, 1_010_000_000),
    ]
    assert stages_of(finished()) == []


def test_only_failures_of_the_server_are_errors() -> None:
    assert "error.type" not in attributes_of(finished(status=422))
    assert attributes_of(finished(status=503))["error.type"] == "503"
    assert "http.route" not in attributes_of(finished(route=""))
