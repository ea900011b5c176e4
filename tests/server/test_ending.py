"""How a server ends: a drain that loses nothing, a hanging client, a dead inference thread."""

import asyncio
import json
import signal
import socket
import time
from dataclasses import dataclass, field

import httpx
import pytest

from mmm_server.http.connections import QUIET_SECONDS
from tests.server.conftest import Start
from tests.server.harness import ServerProcess, wait_for
from tests.server.pictures import base64_of, jpeg

BODY = {"images": [base64_of(jpeg())], "texts": ["a", "b"]}
HEAD = b"POST /v1/embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
LAST_SECONDS = 1.0  # for which a process whose thread died must answer: as often a probe may come
TRIES = 5  # of what must be seen within a moment: a busy machine may look too late, and that proves nothing


@dataclass
class Service:
    """What a Kubernetes Service does for clients: new connections go to ready servers, old connections stay."""

    servers: list[ServerProcess]
    failures: list[str] = field(default_factory=list)
    answers: int = 0
    over: bool = False

    async def watch(self) -> None:
        self.ready = {server.url for server in self.servers}
        async with httpx.AsyncClient() as probe:
            while not self.over:
                for url in [server.url for server in self.servers]:
                    try:
                        status = (await probe.get(f"{url}/readyz")).status_code
                    except httpx.TransportError:
                        status = 0
                    good = status == 200
                    # While the probe was under way the server may have been taken out: it stays out.
                    listed = url in [server.url for server in self.servers]
                    if listed and status and not good:
                        self.failures.append(f"not ready: {status}")
                    (self.ready.add if good and listed else self.ready.discard)(url)
                await asyncio.sleep(0.05)

    async def client(self, number: int) -> None:
        """Keeps one connection until the server politely closes it, as pooled clients do."""
        while not self.over:
            if not self.ready:  # a probe had no answer in time
                await asyncio.sleep(0.02)
                continue
            url = sorted(self.ready)[number % len(self.ready)]
            async with httpx.AsyncClient(base_url=url, timeout=20) as connection:
                await self._use(connection)

    async def _use(self, connection: httpx.AsyncClient) -> None:
        while not self.over:
            try:
                answer = await connection.post("/predict", json=BODY)
            except httpx.TransportError as error:
                self.failures.append(repr(error))
                return
            self.answers += 1
            if answer.status_code != 200:
                self.failures.append(answer.text)
            if answer.headers.get("connection") == "close":
                return


async def test_a_drain_under_load_loses_no_request(start_fake: Start) -> None:
    old = start_fake(delay_seconds=0.02, MMM_DRAIN_DELAY_SECONDS=1.5, MMM_MAX_QUEUE_SECONDS=30).wait_ready()
    new = start_fake(delay_seconds=0.02, MMM_MAX_QUEUE_SECONDS=30).wait_ready()
    service = Service([old, new])
    async with asyncio.TaskGroup() as group:
        group.create_task(service.watch())
        await asyncio.sleep(0)
        for number in range(16):
            group.create_task(service.client(number))
        await until(lambda: service.answers > 100)
        assert old.metric("mmm_requests_total") > 20
        old.signal()
        service.servers.remove(old)
        service.ready.discard(old.url)
        code = await asyncio.to_thread(old.wait_exit, 20)
        answered = service.answers
        await until(lambda: service.answers > answered + 50)
        service.over = True
    assert service.failures == []
    assert code == 0


async def until(condition: object) -> None:
    deadline = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def test_a_draining_server_is_not_ready_but_answers_and_closes_politely(start_fake: Start) -> None:
    server = start_fake(MMM_DRAIN_DELAY_SECONDS=30, MMM_GRACE_SECONDS=60).wait_ready()
    with httpx.Client(base_url=server.url) as client:
        assert "connection" not in client.get("/livez").headers
        server.signal()
        wait_for(lambda: client.get("/readyz").status_code == 503, 5, "not ready")
        assert client.get("/livez").status_code == 200
        answer = client.post("/predict", json=BODY)
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert server.status()["state"] == "DRAINING"
    server.signal()  # a second signal: do not wait any longer
    assert server.wait_exit(5) == 0


def test_an_interrupt_from_the_keyboard_does_not_wait(start_fake: Start) -> None:
    server = start_fake(MMM_DRAIN_DELAY_SECONDS=30, MMM_GRACE_SECONDS=60).wait_ready()
    server.signal(signal.SIGINT)
    assert server.wait_exit(5) == 0


async def test_what_is_in_flight_is_answered_before_the_end(start_fake: Start) -> None:
    server = start_fake(hang="slow", hang_seconds=2.0).wait_ready()
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
        slow = asyncio.create_task(client.post("/v1/embed", json={"texts": ["slow"]}))
        await until(lambda: server.status()["queue"]["inflight"] == 1)
        server.signal()
        assert (await slow).status_code == 200
    assert server.wait_exit(5) == 0


def test_a_hanging_client_does_not_outlive_the_grace_period(start_fake: Start) -> None:
    grace = 6
    server = start_fake(MMM_GRACE_SECONDS=grace).wait_ready()
    with socket.create_connection(("127.0.0.1", server.ports()[0])) as connection:
        head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\nabc"
        connection.sendall(head)
        wait_for(lambda: "mmm_" in httpx.get(f"{server.operations_url}/metrics").text, 5, "metrics")
        server.signal()
        assert server.wait_exit(grace) == 0
    drained = server.log_line("drained")
    assert drained is not None
    assert (drained["complete"], drained["seconds"] < grace) == (False, True), drained


def request_of(text: str) -> bytes:
    """A request to embed one text."""
    body = json.dumps({"texts": [text]}).encode()
    return HEAD % len(body) + body


def says_that_it_died(server: ServerProcess) -> bool:
    """Fails unless whoever asks is told so, also on a new connection; False if that was too late to be told."""
    began = time.monotonic()
    try:
        with httpx.Client(base_url=server.url) as client:
            answer = client.post("/v1/embed", json={"texts": ["die"]})
            assert (answer.status_code, answer.json()["code"]) == (500, "inference-failed")
            live = client.get("/livez?verbose")
            assert live.status_code == 503
            assert "InternalError" in live.text
            assert client.post("/v1/embed", json={"texts": ["more"]}).status_code == 503
            status = server.status()
            assert (status["state"], status["failure"]["reason"]) == ("FAILED", "InternalError")
    except httpx.TransportError:
        if time.monotonic() - began < LAST_SECONDS:
            raise
        return False
    return True


def test_a_dead_inference_thread_ends_the_process(start_fake: Start) -> None:
    in_time, tries = False, 0
    while not in_time and tries < TRIES:
        tries += 1
        server = start_fake(deadly="die").wait_ready()
        in_time = says_that_it_died(server)
        assert server.wait_exit(5) == 1
        assert server.termination() == {"reason": "InternalError", "message": "The inference thread died."}
    assert in_time


def test_a_stuck_inference_thread_is_not_alive(start_fake: Start) -> None:
    server = start_fake(hang="hang", MMM_STUCK_SECONDS="1.5", MMM_GRACE_SECONDS=1).wait_ready()
    with httpx.Client(base_url=server.url) as client:
        late = client.post("/v1/embed", json={"texts": ["hang"]}, headers={"x-request-timeout-ms": "2000"})
        assert (late.status_code, late.json()["code"]) == (504, "deadline-passed")
        wait_for(lambda: client.get("/livez").status_code == 503, 10, "not alive")
        assert client.get("/readyz").status_code == 503
        server.signal()
        assert server.wait_exit(5) == 0


async def test_a_dying_thread_takes_no_waiting_request_with_it_silently(start_fake: Start) -> None:
    server = start_fake(deadly="die", delay_seconds=0.2, MMM_MAX_QUEUE_SECONDS=60).wait_ready()
    texts = ["die", *(f"waiting {index}" for index in range(10))]
    began = time.monotonic()
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
        answers = await asyncio.gather(*(client.post("/v1/embed", json={"texts": [text]}) for text in texts))
    assert time.monotonic() - began < 5
    assert {answer.status_code for answer in answers} <= {200, 500, 503}
    assert server.wait_exit(5) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle_connections_do_not_delay_the_end(start_fake: Start, number: signal.Signals) -> None:
    server = start_fake().wait_ready()
    with httpx.Client(base_url=server.url) as client:
        client.get("/livez")
        server.signal(number)
        assert server.wait_exit(5) == 0


REQUEST = request_of("a")


def receive(connection: socket.socket, last: bytes | None = None) -> bytes:
    """Everything until the last words, or until the server ends the connection."""
    connection.settimeout(10)
    received = b""
    while not (last and received.endswith(last)) and (piece := connection.recv(65536)):
        received += piece
    return received


@pytest.mark.parametrize("kept", [False, True], ids=["the first request", "a later request"])
def test_a_request_that_has_begun_to_arrive_is_answered_before_the_end(start_fake: Start, kept: bool) -> None:
    server = start_fake().wait_ready()
    with socket.create_connection(("127.0.0.1", server.ports()[0])) as connection:
        if kept:
            connection.sendall(REQUEST)
            assert receive(connection, b'"dimensions":8}').startswith(b"HTTP/1.1 200 ")
        connection.sendall(REQUEST[:20])
        server.signal()
        wait_for(lambda: closed_to_newcomers(server), 5, "no new connection")
        connection.sendall(REQUEST[20:])
        answer = receive(connection)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nconnection: close\r\n" in answer
    assert server.wait_exit(5) == 0


def asked_while_it_ends(server: ServerProcess) -> bytes | None:
    """The answer to a request on a connection that was opened just before the end; None if it was sent too late."""
    port, opened = server.ports()[0], time.monotonic()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        wait_for(lambda: server.status()["queue"]["inflight"] == 0, 5, "the connection is taken")
        server.signal()
        wait_for(lambda: closed_to_newcomers(server), 5, "no new connection")
        connection.sendall(REQUEST)
        answer = receive(connection) if time.monotonic() - opened < QUIET_SECONDS else None
    assert server.wait_exit(5) == 0
    return answer


def test_a_connection_that_was_just_opened_may_ask_before_the_end(start_fake: Start) -> None:
    answers = (asked_while_it_ends(start_fake().wait_ready()) for _ in range(TRIES))
    in_time = next((answer for answer in answers if answer is not None), b"never in time")
    assert in_time.startswith(b"HTTP/1.1 200 ")


def closed_to_newcomers(server: ServerProcess) -> bool:
    """Whether a new connection is refused."""
    try:
        socket.create_connection(("127.0.0.1", server.ports()[0])).close()
    except ConnectionRefusedError:
        return True
    return False


def test_where_it_is_told_so_a_draining_server_stays_ready(start_fake: Start) -> None:
    server = start_fake(MMM_DRAIN_DELAY_SECONDS=30, MMM_READY_WHILE_DRAINING="true").wait_ready()
    with httpx.Client(base_url=server.url) as client:
        server.signal()
        wait_for(lambda: server.status()["state"] == "DRAINING", 5, "draining")
        assert client.get("/readyz").status_code == 200
        assert client.post("/v1/embed", json={"texts": ["a"]}).headers["connection"] == "close"
    server.signal()
    assert server.wait_exit(5) == 0
