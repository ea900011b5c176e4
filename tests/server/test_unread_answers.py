"""Long answers to clients that read them slowly, or not at all."""

import json
import re
import socket
import time
from contextlib import ExitStack

import httpx
import pytest

from tests.server.conftest import Start
from tests.server.harness import ServerProcess, wait_for

TEXTS = 9000  # the same one every time: nothing to compute
BODY = json.dumps({"texts": ["a"] * TEXTS}).encode()
REQUEST = b"POST /v1/embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
LONG = REQUEST % (len(BODY), BODY)
MEBIBYTE = 1024 * 1024
COUNT = 6  # requests on one connection: more answers than the kernel keeps for a client that does not read
STEP = 128 * 1024  # bytes that a slow client reads at once


def ask_and_not_read(server: ServerProcess, stack: ExitStack) -> socket.socket:
    """A client that asks for long answers and reads none of them."""
    connection = stack.enter_context(socket.socket())
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(10)
    connection.connect(("127.0.0.1", server.ports()[0]))
    connection.sendall(LONG * COUNT)
    return connection


def status(server: ServerProcess) -> int:
    return httpx.post(f"{server.url}/v1/embed", json={"texts": ["a"]}).status_code


def metrics(server: ServerProcess) -> str:
    return httpx.get(f"{server.operations_url}/metrics").text


def cut_off(server: ServerProcess) -> bool:
    return 'mmm_connections_refused_total{reason="write-stalled"} 1.0' in metrics(server)


def errors(server: ServerProcess) -> list[object]:
    return [line for line in server.log_lines if line["level"].upper() == "ERROR"]


def test_answers_that_nobody_reads_are_bounded(start_fake: Start) -> None:
    server = start_fake(MMM_MAX_LABELS=TEXTS, MMM_MAX_INFLIGHT_BYTES=4 * MEBIBYTE).wait_ready()
    whole = httpx.post(f"{server.url}/v1/embed", content=BODY, headers={"content-type": "application/json"}).content
    assert 5 * len(whole) > 4 * MEBIBYTE, "what five clients do not read is more than may be held"
    with ExitStack() as stack:
        for _ in range(5):
            ask_and_not_read(server, stack)
        wait_for(lambda: status(server) == 429, 10, "no room for another question")
    wait_for(lambda: status(server) == 200, 10, "room again")
    assert not errors(server)


def test_a_client_that_does_not_read_a_long_answer_is_cut_off(start_fake: Start) -> None:
    server = start_fake(MMM_MAX_LABELS=TEXTS, MMM_WRITE_STALL_SECONDS=3).wait_ready()
    with ExitStack() as stack:
        ask_and_not_read(server, stack)
        wait_for(lambda: cut_off(server), 20, "the client is cut off")
    assert status(server) == 200
    seconds = 'mmm_request_seconds_bucket{le="%s",route="/v1/embed"} (.+)'
    within, whole = (re.findall(seconds % bound, metrics(server)) for bound in ("2.5", re.escape("+Inf")))
    assert within == whole, "what the client does not read is not the server's time"
    assert not errors(server)


def test_a_client_that_does_not_read_a_long_answer_does_not_hold_the_end(start_fake: Start) -> None:
    server = start_fake(MMM_MAX_LABELS=TEXTS, MMM_WRITE_STALL_SECONDS=1, MMM_GRACE_SECONDS=20).wait_ready()
    with ExitStack() as stack:
        ask_and_not_read(server, stack)
        wait_for(lambda: 'mmm_stage_seconds_count{stage="finish"}' in metrics(server), 10, "the first answer")
        server.signal()
        assert server.wait_exit(10) == 0
    assert not errors(server)


@pytest.mark.parametrize("pause", [0.0, 0.125])
def test_a_slow_reader_gets_every_answer_whole(start_fake: Start, pause: float) -> None:
    server = start_fake(MMM_MAX_LABELS=TEXTS, MMM_WRITE_STALL_SECONDS=2.5).wait_ready()
    whole = httpx.post(f"{server.url}/v1/embed", content=BODY, headers={"content-type": "application/json"}).content
    with ExitStack() as stack:
        connection = ask_and_not_read(server, stack)
        stream = connection.makefile("rb")
        for _ in range(COUNT):
            assert b" 200 " in stream.readline()
            head = dict(line.lower().rstrip().split(b": ", 1) for line in iter(stream.readline, b"\r\n"))
            assert int(head[b"content-length"]) == len(whole)
            received = b""
            while len(received) < len(whole):
                piece = stream.read(min(STEP, len(whole) - len(received)))
                assert piece, "the connection ended"
                received += piece
                time.sleep(pause)
            assert received == whole
    assert not cut_off(server)
