"""One server that all corpora are sent to, and the rules that it must keep with every answer and after each of them."""

import http.client
import os
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.server.corpora.case import SEED, Case
from tests.server.corpora.starvation import Starvation
from tests.server.harness import ServerProcess, wait_for
from tests.server.pictures import base64_of, jpeg

LEAK = re.compile(rb"0x[0-9a-f]{6,}|Traceback|site-packages|/usr/|/tmp/|\.py")
MEBIBYTE = 1024 * 1024
MAX_GROWTH = 256 * MEBIBYTE
MAX_LAG_SECONDS = 0.1
CLIENTS = 3
QUESTION = {"images": [base64_of(jpeg(40, 40, 9))], "texts": ["one", "two"]}
ENVIRONMENT = {
    "MMM_MAX_IMAGE_PIXELS": "4000000",
    "MMM_MAX_BODY_BYTES": str(4 * MEBIBYTE),
    "MMM_HEAD_TIMEOUT_SECONDS": "5",  # a head that comes byte by byte, and many beside it, takes over a second
    "MMM_BODY_STALL_SECONDS": "1.5",
    "MMM_WRITE_STALL_SECONDS": "1",
    "MMM_KEEP_ALIVE_SECONDS": "20",
    "MMM_MAX_QUEUE_SECONDS": "30",
}


class Judge:
    """What is known of the server from before the first corpus."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.port = server.wait_ready().ports()[0]
        self.starvation = Starvation(server.child.pid)
        self.reference = self.ask()
        self.start_memory, self.start_descriptors = self.memory(), self.descriptors()
        self.seen: Counter[int] = Counter()

    def ask(self) -> object:
        """The answer to a question that never changes."""
        answer = httpx.post(f"{self.server.url}/predict", json=QUESTION, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def memory(self) -> int:
        """Bytes in memory."""
        lines = Path(f"/proc/{self.server.child.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024

    def descriptors(self) -> int:
        """Open files and sockets."""
        return len(os.listdir(f"/proc/{self.server.child.pid}/fd"))

    def empty(self) -> bool:
        """Whether nothing waits and nothing is computed."""
        queue = self.server.status()["queue"]
        return (queue["depth"], queue["inflight"]) == (0, 0)

    def send(self, cases: Iterable[Case]) -> None:
        """Sends every case over a few kept connections and checks every answer."""
        local, connections = threading.local(), []

        def one(case: Case) -> None:
            for _ in range(2):  # a connection that the server ended after the last answer is no failure
                if not hasattr(local, "connection"):
                    local.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                    connections.append(local.connection)
                try:
                    headers = {"content-type": case.content_type.encode("latin-1"), **dict(case.headers)}
                    local.connection.request("POST", case.path, case.body, headers)
                    answer = local.connection.getresponse()
                    self.check(case.name, answer.status, answer.read(), case.allowed)
                    return
                except (ConnectionError, http.client.RemoteDisconnected):
                    local.connection.close()
            raise AssertionError(f"no answer to {case.name!r} (CORPUS_SEED={SEED})")

        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(one, cases))
        for connection in connections:
            connection.close()

    def check(self, name: str, status: int, body: bytes, allowed: frozenset[int]) -> None:
        """Fails if the answer is none that this case may get, or tells of the server's inside."""
        assert status in allowed, f"{status} for {name!r} (CORPUS_SEED={SEED}): {body[:300]!r}"
        assert not LEAK.search(body), f"a leak for {name!r} (CORPUS_SEED={SEED}): {body[:300]!r}"
        self.seen[status] += 1

    def assert_rested(self) -> None:
        """Fails unless the server is as it was before: ready, right, empty, and hardly larger."""
        assert httpx.get(f"{self.server.url}/readyz").status_code == 200
        assert self.ask() == self.reference
        wait_for(self.empty, 10, "an empty queue")
        assert self.memory() - self.start_memory <= MAX_GROWTH
        wait_for(lambda: self.descriptors() <= self.start_descriptors + 1, 30, "descriptors are given back")
        for line in self.server.log_lines:
            assert line["level"].upper() not in ("ERROR", "CRITICAL"), line

    @contextmanager
    def trial(self, corpus: str) -> Iterator[None]:
        """Everything that must hold while and after one corpus is sent."""
        began, before = time.monotonic(), self.seen.copy()
        yield
        lag = self.server.metric("mmm_event_loop_lag_seconds")
        starved = self.starvation.longest(lag)
        self.assert_rested()
        sys.stdout.write(
            f"{corpus}: {(self.seen - before).total()} answers in {time.monotonic() - began:.1f} s,"
            f" {dict(sorted((self.seen - before).items()))}, loop lag {lag * 1000:.0f} ms (without a"
            f" processor {starved * 1000:.0f} ms), memory {(self.memory() - self.start_memory) / MEBIBYTE:+.0f} MiB\n"
        )
        assert lag < MAX_LAG_SECONDS + starved, f"{lag} s, without a processor {starved} s"
