"""What connections may take: slow, silent, greedy and vanishing clients, next to those who only want an answer."""

import asyncio
import contextlib
import itertools
import json
import random
import re
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.server.conftest import Start
from tests.server.harness import ServerProcess, wait_for
from tests.server.pictures import base64_of, jpeg

BODY = {"images": [base64_of(jpeg(40, 40))]}
HEAD = b"POST /v1/embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
HALF = HEAD + b'Content-Length: 100\r\n\r\n{"texts": '
BROKEN = HEAD + b"Transfer-Encoding: chunked\r\n\r\nno number\r\n"
SLOW = 500
GRACE_SECONDS = 5


def connect(server: ServerProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.ports()[0]), timeout=10)


def rest_of(connection: socket.socket) -> bytes:
    """Everything until the server ends the connection."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65_536):
            received += piece
    return received


def refused(server: ServerProcess, reason: str) -> float:
    text = httpx.get(f"{server.operations_url}/metrics").text
    start = f'mmm_connections_refused_total{{reason="{reason}"}} '
    return next((float(line.removeprefix(start)) for line in text.splitlines() if line.startswith(start)), 0.0)


def answers(server: ServerProcess) -> list[str]:
    """The status codes of inference requests that are over."""
    text = httpx.get(f"{server.operations_url}/metrics").text
    return re.findall(r'mmm_requests_total\{code="(.+)",route="/v1/embed"\}', text)


async def test_many_slow_clients_take_nothing_from_the_others(start_fake: Start) -> None:
    server = start_fake(MMM_HEAD_TIMEOUT_SECONDS=4).wait_ready()
    port = server.ports()[0]

    async def slow() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answering = asyncio.create_task(reader.read())
        head = itertools.cycle(HEAD[:-2])
        while not answering.done():
            writer.write(bytes([next(head)]))
            await asyncio.wait([answering], timeout=0.5)
        answer = await answering
        writer.close()
        return answer

    slow_ones = [asyncio.create_task(slow()) for _ in range(SLOW)]
    statuses = []
    async with httpx.AsyncClient(base_url=server.url, timeout=10) as client:
        while not all(task.done() for task in slow_ones):
            statuses.append((await client.post("/v1/embed", json=BODY)).status_code)
            await asyncio.sleep(0.02)
    assert len(statuses) > 20
    assert set(statuses) == {200}
    assert {(await task)[9:12] for task in slow_ones} == {b"408"}
    assert refused(server, "head-timeout") == SLOW


@pytest.mark.parametrize(
    ("begin", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 200_000, b"431"),
        (b"no HTTP at all\r\n\r\n", b"400"),
        (BROKEN, b"400"),
        (BROKEN.replace(b"\r\n\r\n", b"\r\n\r\n30d40\r\n" + b"x" * 200_000 + b"\r\n"), b"400"),
    ],
    ids=["head too large", "no HTTP", "no chunk", "no chunk after a long one"],
)
def test_a_client_that_is_still_sending_gets_the_whole_answer(start_fake: Start, begin: bytes, status: bytes) -> None:
    server = start_fake().wait_ready()
    with connect(server) as connection:
        connection.sendall(begin)
        for _ in range(20):
            connection.sendall(b"x" * 1000)
            time.sleep(0.01)
        received = b""
        while piece := connection.recv(65_536):
            received += piece
        head, _, body = received.partition(b"\r\n\r\n")
        assert head[9:12] == status
        assert json.loads(body)["status"] == int(status)


LARGE = b"Content-Length: 2000000\r\n\r\n"
BEGINNINGS = {
    "of a client that wants no other answer": HEAD + b"Connection: close\r\n" + LARGE,
    "of an old client": HEAD.replace(b"1.1", b"1.0") + LARGE,
    "of one that did not wait to be told to go on": HEAD + b"Expect: 100-continue\r\n" + LARGE,
    "on an old connection": HEAD + LARGE,
    "of a leaving server": HEAD + LARGE,
}


@pytest.mark.parametrize("which", BEGINNINGS)
def test_the_last_answer_reaches_a_client_that_is_still_sending(start_fake: Start, which: str) -> None:
    seconds = "0.1" if "old connection" in which else "0"
    server = start_fake(
        MMM_MAX_BODY_BYTES=1000, MMM_CONNECTION_SECONDS=seconds, MMM_DRAIN_DELAY_SECONDS=30, MMM_GRACE_SECONDS=60
    ).wait_ready()
    if "leaving" in which:
        server.signal()
        wait_for(lambda: server.status()["state"] == "DRAINING", 5, "a leaving server")
    with connect(server) as connection:
        time.sleep(2 * float(seconds))  # what is awaited is the age itself
        connection.sendall(BEGINNINGS[which])
        # The head alone is answered. A body that came with it would have made the first of these a usual request.
        assert select.select([connection], [], [], 10)[0]
        for _ in range(20):
            connection.sendall(b"x" * 100_000)
            time.sleep(0.01)
        received = b""
        while piece := connection.recv(65_536):
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    assert head[9:12] == b"413"
    assert b"\r\nconnection: close" in head
    assert json.loads(body)["status"] == 413


def test_a_client_that_sends_on_for_ever_is_cut_off(start_fake: Start) -> None:
    server = start_fake().wait_ready()
    began = time.monotonic()
    with connect(server) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(b"no HTTP at all\r\n\r\n")
        while time.monotonic() < began + 15:
            connection.sendall(b"x")
            time.sleep(0.1)
    assert 3 < time.monotonic() - began < 10


def test_a_refused_client_that_waits_to_be_told_to_go_on_is_no_fault_of_the_server(start_fake: Start) -> None:
    server = start_fake().wait_ready()
    with connect(server) as connection:
        connection.sendall(BROKEN.replace(HEAD, HEAD + b"Expect: 100-continue\r\n"))
        assert rest_of(connection)[9:12] == b"400"
    assert answers(server) in ([], ["499"])
    assert not [line for line in server.log_lines if line["level"] == "ERROR"]


@pytest.mark.parametrize("begin", [b"no HTTP at all\r\n\r\n", BROKEN])
def test_who_was_refused_and_stays_makes_room_for_who_asks(start_fake: Start, begin: bytes) -> None:
    server = start_fake(MMM_MAX_CONNECTIONS=4).wait_ready()
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(connect(server)).sendall(begin)
        wait_for(lambda: httpx.get(f"{server.url}/readyz").status_code == 200, 3, "an answer")
        assert refused(server, "evicted") >= 1


def test_connections_are_bounded_and_the_next_is_told_so(start_fake: Start) -> None:
    server = start_fake(MMM_MAX_CONNECTIONS=4).wait_ready()
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(connect(server)).sendall(HALF)
        wait_for(lambda: rest_of(stack.enter_context(connect(server)))[9:12] == b"503", 5, "a full server")
        assert httpx.get(f"{server.operations_url}/v1/status").status_code == 200, "the other port has its own bound"
    wait_for(lambda: httpx.get(f"{server.url}/livez").status_code == 200, 5, "room again")


def test_who_only_waits_makes_room_for_who_asks(start_fake: Start) -> None:
    server = start_fake(MMM_MAX_CONNECTIONS=4).wait_ready()
    with ExitStack() as stack:
        waiting = [stack.enter_context(connect(server)) for _ in range(4)]
        wait_for(lambda: httpx.get(f"{server.url}/readyz").status_code == 200, 5, "an answer")
        assert refused(server, "evicted") >= 1
        ended, _, _ = select.select(waiting, [], [], 5)
        assert ended
        assert rest_of(ended[0]) == b""


def test_connections_of_one_address_are_bounded_where_that_is_wanted(start_fake: Start) -> None:
    server = start_fake(MMM_MAX_CONNECTIONS_PER_PEER=2).wait_ready()
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(connect(server)).sendall(HALF)
        wait_for(lambda: rest_of(stack.enter_context(connect(server)))[9:12] == b"503", 5, "a refusal")
        other = socket.create_connection(("127.0.0.1", server.ports()[0]), timeout=10, source_address=("127.0.0.2", 0))
        stack.enter_context(other).sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert rest_of(other)[9:12] == b"200"


def test_an_idle_connection_is_closed_after_a_while_also_when_blank_lines_come(start_fake: Start) -> None:
    server = start_fake(MMM_KEEP_ALIVE_SECONDS=1, MMM_HEAD_TIMEOUT_SECONDS=1).wait_ready()
    for last in (b"", b"\r\n"):
        with connect(server) as connection:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(4096)[9:12] == b"200"
            connection.sendall(last)
            rest_of(connection)


def test_a_client_that_reads_no_answer_is_cut_off(start_fake: Start) -> None:
    server = start_fake(MMM_WRITE_STALL_SECONDS=1).wait_ready()
    request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.ports()[0]))
        connection.settimeout(0.2)
        deadline = time.monotonic() + 20
        pending = request
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < deadline and not refused(server, "write-stalled"):
                with contextlib.suppress(TimeoutError):
                    pending = pending[connection.send(pending) :] or request * 8  # whole requests only
        assert refused(server, "write-stalled") == 1
    assert httpx.get(f"{server.url}/readyz").status_code == 200


def vanish(port: int, random_: random.Random) -> None:
    """Sends some of a request and goes away, politely or with a reset."""
    body = b'{"texts": ["a"]}'
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(whole[: random_.choice([len(whole), random_.randrange(1, len(whole))])])
        if random_.random() < 0.5:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_clients_that_vanish_leave_nothing_behind(start_fake: Start) -> None:
    server = start_fake(delay_seconds=0.01, MMM_MAX_QUEUE_SECONDS=30, MMM_MAX_QUEUE_ITEMS=2000).wait_ready()
    with httpx.Client(base_url=server.url) as client:
        client.post("/v1/embed", json=BODY)
        seed = random.randrange(2**32)
        told = f"seed {seed}"
        random_ = random.Random(seed)
        for _ in range(1000):
            vanish(server.ports()[0], random_)
        wait_for(lambda: server.metric("mmm_inflight_requests") == 0, 20, f"nothing in flight, {told}")
        wait_for(lambda: server.metric("mmm_queue_depth") == 0, 20, f"an empty queue, {told}")
        assert client.post("/v1/embed", json=BODY).status_code == 200
    assert not [line for line in server.log_lines if line["level"].upper() == "ERROR"], told


def test_a_client_that_vanishes_while_it_waits_for_two_answers_leaves_nothing_behind(start_fake: Start) -> None:
    server = start_fake(delay_seconds=2).wait_ready()
    body = json.dumps(BODY).encode()
    with connect(server) as connection:
        connection.sendall((HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body) * 2)
        wait_for(lambda: server.metric("mmm_inflight_requests") == 1, 10, "the first is computed")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_for(lambda: answers(server), 10, "it is over")
    assert answers(server) == ["499"]
    assert not [line for line in server.log_lines if line["level"].upper() == "ERROR"]


@pytest.fixture
def hanging(start_fake: Start) -> Iterator[ServerProcess]:
    """A server with clients that hang in every way there is."""
    server = start_fake(MMM_GRACE_SECONDS=GRACE_SECONDS, MMM_BODY_STALL_SECONDS=1).wait_ready()
    with ExitStack() as stack:
        for sent in (b"", b"GET / HT", HEAD, HALF, HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n"):
            stack.enter_context(connect(server)).sendall(sent)
        yield server


def test_hanging_clients_do_not_hold_the_end(hanging: ServerProcess) -> None:
    hanging.signal()
    assert hanging.wait_exit(GRACE_SECONDS) == 0
    drained = hanging.log_line("drained")
    assert drained is not None
    assert (drained["complete"], drained["seconds"] < GRACE_SECONDS) == (False, True), drained


def test_a_broken_message_behind_a_good_one_ends_the_connection(start_fake: Start) -> None:
    server = start_fake(MMM_DRAIN_DELAY_SECONDS=0).wait_ready()
    body = json.dumps(BODY).encode()
    good = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with connect(server) as connection:
        connection.sendall(good + HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n")
        answer = connection.recv(12)
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"x")  # a stray byte keeps nothing open
        rest = rest_of(connection)
    assert answer == b"HTTP/1.1 200"
    assert b"HTTP/1.1" not in rest
    server.signal()
    assert server.wait_exit(10) == 0


def test_what_follows_the_last_request_is_no_fault_of_it_whatever_protocol_it_asks_for(start_fake: Start) -> None:
    server = start_fake().wait_ready()
    last = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n"
    with connect(server) as connection:
        connection.sendall(last + b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert rest_of(connection).count(b"HTTP/1.1 200") == 1
    assert refused(server, "malformed") == 0


def test_an_old_connection_is_given_back_with_an_answer(start_fake: Start) -> None:
    server = start_fake(MMM_CONNECTION_SECONDS=2).wait_ready()
    with httpx.Client(base_url=server.url) as client:
        assert "connection" not in client.get("/livez").headers
        wait_for(lambda: client.get("/livez").headers.get("connection") == "close", 10, "the connection is old")
        assert "connection" not in client.get("/livez").headers


def test_requests_that_came_together_are_all_answered_by_an_old_connection(start_fake: Start) -> None:
    server = start_fake(MMM_CONNECTION_SECONDS="0.3").wait_ready()
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        time.sleep(1.0)  # what is awaited is the age itself
        raw.sendall(b"GET /livez HTTP/1.1\r\nHost: model\r\n\r\n" * 8)
        answers = b""
        while piece := raw.recv(65536):
            answers += piece
    assert answers.count(b"HTTP/1.1 200 OK") == 8
    assert answers.count(b"connection: close") == 1
