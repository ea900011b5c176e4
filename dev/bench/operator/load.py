"""The plain client: eight connections that write what they are given as fast as the API server takes it.

The standard library's HTTP client, one thread and one kept-alive connection each, bodies encoded beforehand: on two
cores it costs about a tenth of what the API server itself needs for a write, and nothing plainer could be faster.
"""

import http.client
import json
import ssl
import threading
from collections.abc import Iterator, Sequence
from operator import length_hint
from pathlib import Path
from typing import Any

from mmm_operator.kube.resources import path
from mmm_operator.snapshot import Manifest

CONNECTIONS = 8
MERGE = "application/merge-patch+json"
PROGRESS_SECONDS = 10.0

Call = tuple[str, str, bytes]
"""Method, path and body."""


class Connection:
    """One kept-alive connection to the API server, as its administrator."""

    def __init__(self, kubeconfig: Path, timeout: float | None = 60) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        context = ssl.create_default_context(cafile=cluster["certificate-authority"])
        context.load_cert_chain(user["client-certificate"], user["client-key"])
        address = cluster["server"].removeprefix("https://")
        self._http = http.client.HTTPSConnection(address, context=context, timeout=timeout)

    def call(self, method: str, where: str, body: bytes = b"", kind: str = "application/json") -> Any:
        """The answer; raises RuntimeError with the API server's own words when it refuses."""
        self._http.request(method, where, body or None, {"Content-Type": kind})
        answer = self._http.getresponse()
        text = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {where}: {answer.status} {text[:500].decode(errors='replace')}")
        return json.loads(text) if text else None

    def stream(self, where: str) -> Iterator[Manifest]:
        """The events of a watch, until the API server ends it."""
        self._http.request("GET", where)
        answer = self._http.getresponse()
        for line in answer:
            yield json.loads(line)

    def close(self) -> None:
        """Hang up."""
        self._http.close()


def creation(manifest: Manifest) -> Call:
    """The call that creates an object."""
    where = path(manifest["kind"], manifest["metadata"]["namespace"])
    return "POST", where, json.dumps(manifest).encode()


def write_all(kubeconfig: Path, calls: Sequence[Call]) -> None:
    """Make all calls, each as soon as a connection is free, in their order; raises the first refusal."""
    rest, failures = iter(calls), list[Exception]()
    # A list's iterator gives every call to one thread only: the interpreter's lock sees to that.
    threads = [threading.Thread(target=_work, args=(kubeconfig, rest, failures)) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for thread in threads:
            thread.join(PROGRESS_SECONDS / CONNECTIONS)
        if left := length_hint(rest):
            print(f"    written: {len(calls) - left} of {len(calls)}", flush=True)
    if failures:
        raise failures[0]


def _work(kubeconfig: Path, rest: Iterator[Call], failures: list[Exception]) -> None:
    connection = Connection(kubeconfig)
    try:
        for call in rest:
            if failures:
                return
            connection.call(*call)
    except Exception as error:  # noqa: BLE001  (the border of a thread: raised again by `write_all`)
        failures.append(error)
    finally:
        connection.close()
