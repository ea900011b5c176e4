"""An application: classifies pictures through the Service, from a pod inside the cluster. Standard library only.

`classify` sends every picture once; `load` goes on until SIGTERM or `--seconds`. Both print JSON lines: one a second
while under way, and the totals last. A request counts as failed when it gets no answer or any other answer than 200.
Connections are kept alive, as every HTTP library does, and one that the server has closed meanwhile is not reused.
"""

import argparse
import base64
import http.client
import json
import select
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

CONNECT_SECONDS, TIMEOUT_SECONDS = 2, 30


class Tally:
    """Counts of all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.requests: Counter[str] = Counter()
        self.right: Counter[str] = Counter()
        self.failures: list[str] = []

    def answered(self, version: str, right: bool) -> None:
        with self._lock:
            self.requests[version] += 1
            self.right[version] += right

    def failed(self, why: str) -> None:
        with self._lock:
            self.failures.append(f"{time.strftime('%H:%M:%S')} {why}")

    def line(self, done: bool = False) -> str:
        with self._lock:
            versions = {
                version: {"requests": count, "right": self.right[version]} for version, count in self.requests.items()
            }
            content = {"done": done, "failed": len(self.failures), "why": self.failures[:5], "versions": versions}
        return json.dumps(content)


class Connection:
    """One kept-alive connection to the Service, opened again when the server closed it."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc
        self._http: http.client.HTTPConnection | None = None

    def post(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        """Status, version that answered, and body."""
        if self._http is not None and self._closed_by_server(self._http):
            self.close()
        self._http = self._http or self._opened()
        try:
            self._http.request("POST", path, body, {"Content-Type": "application/json"})
            response = self._http.getresponse()
            answer = response.status, response.headers.get("X-Model-Version", ""), response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        if response.will_close:
            self.close()
        return answer

    def _opened(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self._address, timeout=CONNECT_SECONDS)
        connection.connect()
        connection.sock.settimeout(TIMEOUT_SECONDS)
        return connection

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
        self._http = None

    @staticmethod
    def _closed_by_server(connection: http.client.HTTPConnection) -> bool:
        return connection.sock is None or bool(select.select([connection.sock], [], [], 0)[0])


def ask(connection: Connection, picture: Path, question: dict[str, object], label: str, tally: Tally) -> None:
    """One request, counted."""
    image = base64.b64encode(picture.read_bytes()).decode()
    try:
        status, version, body = connection.post("/v1/classify", json.dumps({**question, "images": [image]}).encode())
    except (OSError, http.client.HTTPException) as error:
        tally.failed(f"{type(error).__name__}: {error}")
        return
    if status != 200:
        tally.failed(f"{status}: {body[:200].decode(errors='replace')}")
        return
    tally.answered(version, json.loads(body)["predictions"][0]["label"] == label)


def worker(url: str, pictures: Path, rate: float, once: bool, stop: threading.Event, tally: Tally) -> None:
    """Send pictures at `rate` a second until `stop`, or each of them once."""
    question = json.loads((pictures / "question.json").read_text())
    labels = json.loads((pictures / "labels.json").read_text())
    connection = Connection(url)
    while not stop.is_set():
        for name, label in labels.items():
            started = time.monotonic()
            ask(connection, pictures / name, question, label, tally)
            if not once and stop.wait(max(0.0, 1 / rate - (time.monotonic() - started))):
                break
        if once:
            break
    connection.close()


def rest(seconds: float, told: list[int]) -> None:
    """Wait for so long, or until told to end."""
    over = time.monotonic() + seconds
    while not told and time.monotonic() < over:
        time.sleep(0.1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=["classify", "load"])
    parser.add_argument("--url", required=True)
    parser.add_argument("--pictures", type=Path, default=Path(__file__).parent)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--rate", type=float, default=5.0, help="requests a second of each thread")
    parser.add_argument("--seconds", type=float, default=3600.0)
    chosen = parser.parse_args()
    stop, tally, once = threading.Event(), Tally(), chosen.mode == "classify"
    # Not the event itself: a handler that runs while its own thread holds the event's lock would wait for ever.
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    threads = [
        threading.Thread(target=worker, args=(chosen.url, chosen.pictures, chosen.rate, once, stop, tally))
        for _ in range(1 if once else chosen.threads)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + chosen.seconds
    while any(thread.is_alive() for thread in threads) and time.monotonic() < deadline and not told:
        rest(1.0, told)
        print(tally.line(), flush=True)
    stop.set()
    for thread in threads:
        thread.join()
    print(tally.line(done=True), flush=True)
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
