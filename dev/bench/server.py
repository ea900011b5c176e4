"""The real server process with the tiny CLIP, beside a plain loop over the same pictures in the same minute."""

import base64
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.bench.report import Figure, resident_megabytes
from dev.localcluster.layout import free_ports
from dev.models import CLASSES, ensure_heldout, ensure_models

CLIENTS = (1, 8, 32)


def measure(seconds: float) -> dict[str, Figure]:
    """Start, memory, requests a second, and how they compare with a plain loop."""
    model = ensure_models() / "clip" / "2"
    bodies = [_body(sample.path) for sample in ensure_heldout(36)]
    plain = plain_loop(model, [sample.path for sample in ensure_heldout(36)], seconds)
    with server(model) as (process, port, started):
        figures = {
            "first answer after start": Figure(_first_answer(port, bodies[0]) - started, "s", "lower", 6.0),
            "memory, idle": Figure(resident_megabytes(process.pid), "MiB", "lower"),
            "plain loop, one picture at a time": Figure(plain, "pictures/s", "higher"),
        }
        for clients in CLIENTS:
            rate = closed_loop(port, bodies, clients, seconds)
            figures[f"{clients} clients"] = Figure(rate, "requests/s", "higher")
            figures[f"{clients} clients / plain loop"] = Figure(rate / plain, "ratio", "higher")
        figures["memory, after load"] = Figure(resident_megabytes(process.pid), "MiB", "lower")
    return figures


@contextmanager
def server(model: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, float]]:
    """The process, its port, and when it was started."""
    port, operations = free_ports(2)
    command = [sys.executable, "-m", "mmm_server", "serve", "--model", str(model)]
    ports = ["--port", str(port), "--operations-port", str(operations)]
    started = time.monotonic()
    process = subprocess.Popen([*command, *ports], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process, port, started
    finally:
        process.terminate()
        process.wait()


def closed_loop(port: int, bodies: list[bytes], clients: int, seconds: float) -> float:
    """Answers a second, with so many clients that each wait for an answer before they ask again."""
    until, counts = time.monotonic() + seconds, [0] * clients

    def ask(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while time.monotonic() < until:
            if _post(connection, bodies[(number + counts[number]) % len(bodies)]) == 200:
                counts[number] += 1

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def plain_loop(model: Path, pictures: list[Path], seconds: float) -> float:
    """Pictures a second of Hugging Face's processor and model, called one by one in a process of their own."""
    command = [sys.executable, "-m", "dev.bench.plain", str(model), str(seconds), *map(str, pictures)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    return float(done.stdout.splitlines()[-1])


def _body(picture: Path) -> bytes:
    image = base64.b64encode(picture.read_bytes()).decode()
    return json.dumps({"images": [image], "labels": list(CLASSES), "template": "a photo of a {}"}).encode()


def _first_answer(port: int, body: bytes) -> float:
    for _ in range(600):
        try:
            if _post(http.client.HTTPConnection("127.0.0.1", port, timeout=10), body) == 200:
                return time.monotonic()
        except OSError:
            pass
        time.sleep(0.05)
    raise RuntimeError("the server did not answer within 30 seconds")


def _post(connection: http.client.HTTPConnection, body: bytes) -> int:
    connection.request("POST", "/v1/classify", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    response.read()
    return response.status
