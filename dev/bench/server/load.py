"""The load generator: one thread, raw sockets, requests that were written before the clock runs.

It runs as a process of its own: `python -m dev.bench.server.load`, a job as JSON on standard input, a result as JSON
on standard output. Latency counts from when a request was due: in a closed loop that is when the answer before it
came, in an open loop a time that was fixed beforehand, so that a server which stalls is charged for all who wait.
"""

import json
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dev.bench.server.arithmetic import due_times

CHUNK = 1 << 18
MAX_CONNECTIONS = 1000
PATIENCE_SECONDS = 10.0
UNKNOWN = -1
REST_SECONDS = 0.1  # of a closed loop's client that was refused: at once again would be an attack


@dataclass(frozen=True)
class Job:
    """What to send: files that hold whole requests. `rate` 0 is a closed loop of so many clients.

    What happens in the first seconds, which are not among `seconds`, warms the server up and is not counted.
    """

    port: int
    requests: list[str]
    seconds: float
    clients: int = 1
    rate: float = 0.0
    warm_seconds: float = 0.0


@dataclass
class Loaded:
    """What came back: latencies in seconds by status (0: no answer), and what the client itself cost.

    `in_time` are the right answers that came between the warming up and the end, `answered` those that ever came.
    """

    seconds: float = 0.0
    latencies: dict[int, list[float]] = field(default_factory=dict)
    cpu_seconds: float = 0.0
    in_time: int = 0
    answered: int = 0

    def note(self, status: int, latency: float) -> None:
        """Keep one outcome."""
        self.latencies.setdefault(status, []).append(latency)

    @property
    def rate(self) -> float:
        """Right answers a second."""
        return self.in_time / self.seconds

    @property
    def accepted(self) -> list[float]:
        """Latencies of the requests that were answered as they should."""
        return self.latencies.get(200, [])

    @property
    def shed(self) -> list[float]:
        """Latencies of the requests that were refused because there were too many."""
        return [*self.latencies.get(429, []), *self.latencies.get(503, [])]

    @property
    def failed(self) -> int:
        """Requests with any other outcome."""
        return sum(len(found) for status, found in self.latencies.items() if status not in (200, 429, 503))


class Connection:
    """One keep-alive connection, on which at most one request is on its way."""

    def __init__(self, port: int, poll: select.epoll) -> None:
        self._port, self._poll = port, poll
        self.socket: socket.socket | None = None
        self.due = 0.0
        self._unsent = memoryview(b"")
        self._received = b""
        self._length = UNKNOWN
        self._events = select.EPOLLIN

    def ask(self, request: bytes, due: float) -> None:
        """Send a request, connecting first where there is no connection."""
        self.due, self._unsent, self._received, self._length = due, memoryview(request), b"", UNKNOWN
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self._port))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.setblocking(False)
            self._events = select.EPOLLIN
            self._poll.register(self.socket, self._events)
        self._send()

    def on_event(self, event: int) -> int | None:
        """The status of the answer once it is complete, 0 if the connection was lost, else None."""
        try:
            if event & select.EPOLLOUT:
                self._send()
            return self._read() if event & ~select.EPOLLOUT else None
        except OSError:
            return 0

    def close(self) -> None:
        """Forget the connection; the next request opens a new one."""
        if self.socket is not None:
            self._poll.unregister(self.socket)
            self.socket.close()
            self.socket = None

    def _send(self) -> None:
        if self.socket is None:
            return
        try:
            while self._unsent:
                self._unsent = self._unsent[self.socket.send(self._unsent[:CHUNK]) :]
        except BlockingIOError:
            self._watch(select.EPOLLIN | select.EPOLLOUT)
            return
        self._watch(select.EPOLLIN)

    def _watch(self, events: int) -> None:
        if self.socket is not None and events != self._events:
            self._poll.modify(self.socket, events)
            self._events = events

    def _read(self) -> int | None:
        if self.socket is None:
            return None
        chunk = self.socket.recv(CHUNK)
        if not chunk:
            return 0
        self._received += chunk
        head, gap, body = self._received.partition(b"\r\n\r\n")
        if not gap:
            return None
        if self._length == UNKNOWN:
            self._length = content_length(head)
        if len(body) < self._length:
            return None
        if b"\nconnection: close" in head.lower() or self._unsent:
            self.close()
        return int(head[9:12])


def content_length(head: bytes) -> int:
    """How long the body is; ValueError for an answer of unknown length, which no contender sends."""
    for line in head.lower().split(b"\r\n")[1:]:
        if line.startswith(b"content-length:"):
            return int(line[15:])
    raise ValueError(f"an answer without Content-Length: {head[:200]!r}")


class Client:
    """Asks, and takes note of the answers."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._requests = [Path(name).read_bytes() for name in job.requests]
        self._poll = select.epoll()
        self._connections: list[Connection] = []
        self._open: dict[int, Connection] = {}
        self._sent = 0
        self._began = self._end = 0.0
        self.loaded = Loaded(job.seconds)

    def run(self) -> Loaded:
        """What came back; requests on their way at the end are waited for, so that they burden nobody later."""
        before = time.process_time()
        self._began = time.perf_counter() + self._job.warm_seconds
        self._end = self._began + self._job.seconds
        try:
            if self._job.rate:
                self._open_loop()
            else:
                self._closed_loop()
        finally:
            for connection in self._connections:
                connection.close()
            self._poll.close()
        self.loaded.cpu_seconds = time.process_time() - before
        return self.loaded

    def _closed_loop(self) -> None:
        idle = deque((0.0, self._connection()) for _ in range(self._job.clients))
        while (now := time.perf_counter()) < self._end or (self._open and now < self._end + PATIENCE_SECONDS):
            while idle and idle[0][0] <= now < self._end:
                self._ask(idle.popleft()[1], time.perf_counter())
            rest = idle[0][0] - now if idle and now < self._end else PATIENCE_SECONDS
            for connection, status in self._answers(min(rest, REST_SECONDS)):
                idle.append((time.perf_counter() + REST_SECONDS * (status != 200), connection))
                idle.rotate(status == 200)

    def _open_loop(self) -> None:
        waiting: deque[float] = deque()
        idle: list[Connection] = []
        first = self._began - self._job.warm_seconds
        due = due_times(self._job.rate, self._end - first)
        coming = next(due, None)
        while (now := time.perf_counter()) < self._end + PATIENCE_SECONDS and (
            coming is not None or waiting or self._open
        ):
            while coming is not None and first + coming <= now:
                waiting.append(first + coming)
                coming = next(due, None)
            while waiting and (idle or len(self._open) < MAX_CONNECTIONS):
                self._ask(idle.pop() if idle else self._connection(), waiting.popleft())
            rest = 0.05 if coming is None else first + coming - time.perf_counter()
            idle += [connection for connection, _ in self._answers(rest)]
        for abandoned in [*waiting, *(connection.due for connection in self._open.values())]:
            self._note(0, abandoned)

    def _connection(self) -> Connection:
        self._connections.append(Connection(self._job.port, self._poll))
        return self._connections[-1]

    def _ask(self, connection: Connection, due: float) -> None:
        request = self._requests[self._sent % len(self._requests)]
        self._sent += 1
        try:
            connection.ask(request, due)
        except OSError:
            # A server may have closed a connection on which nothing was on its way; that is no failure of its.
            connection.close()
            connection.ask(request, due)
        if connection.socket is not None:
            self._open[connection.socket.fileno()] = connection

    def _note(self, status: int, due: float) -> None:
        now = time.perf_counter()
        self.loaded.answered += status == 200
        self.loaded.in_time += status == 200 and self._began < now <= self._end
        # A closed loop counts what was answered within the time, an open one what was due in it.
        if self._began < (due if self._job.rate else now) <= self._end:
            self.loaded.note(status, now - due)

    def _answers(self, seconds: float) -> Iterator[tuple[Connection, int]]:
        """The connections that are free again, and what they brought."""
        for number, event in self._poll.poll(max(0.0, seconds)):
            connection = self._open.get(number)
            if connection is None or (status := connection.on_event(event)) is None:
                continue
            self._note(status, connection.due)
            del self._open[number]
            if status == 0:
                connection.close()
            yield connection, status


def main() -> None:
    """Run one job."""
    print(json.dumps(asdict(Client(Job(**json.load(sys.stdin))).run())))


if __name__ == "__main__":
    main()
