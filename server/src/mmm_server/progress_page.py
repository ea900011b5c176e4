"""`GET /v1/status` of a pod that fetches: how far it is, for the operator and for people."""

import json
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import ClassVar, Protocol

from mmm_repository import OnProgress, Progress

PATH = "/v1/status"
# Whoever says nothing for so long is not waited for.
SILENCE_SECONDS = 5.0

log = logging.getLogger(__name__)


Answer = tuple[HTTPStatus, bytes]


class Pages(Protocol):
    """What is shown over HTTP; asked in threads of their own."""

    def answer(self, path: str) -> Answer:
        """The status and the JSON of what is at that path."""
        ...


class ProgressPage:
    """What the page says; a listener of a fetch."""

    def __init__(self, then: OnProgress) -> None:
        self._then = then
        self._last: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        """Take note, and pass it on."""
        self._last = progress
        self._then(progress)

    def forget(self) -> None:
        """Begins anew, for another version."""
        self._last = None

    def document(self) -> dict[str, object]:
        """What the page says."""
        done, total = (self._last.done_bytes, self._last.total_bytes) if self._last else (0, 0)
        return {"state": "FETCHING", "downloadedBytes": done, "totalBytes": total}

    def answer(self, path: str) -> Answer:
        """The page, where it is asked for."""
        if path == PATH:
            return HTTPStatus.OK, json.dumps(self.document()).encode()
        return HTTPStatus.NOT_FOUND, b'{"error": "there is only /v1/status while the model is fetched"}'


@contextmanager
def served(page: Pages, port: int, host: str = "") -> Iterator[int]:
    """Serve the page while the block runs; the value is the port, 0 where there is none.

    A port that is taken is no reason to fetch nothing: then nobody is told.
    """
    if not port:
        yield 0
        return
    try:
        server = Server((host, port), handler_of(page))
    except OSError as error:
        log.warning("nobody can ask how far the fetch is: %s", error.strerror)
        yield 0
        return
    thread = Thread(target=server.serve_forever, name="progress page", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class Server(ThreadingHTTPServer):
    """A thread for each request, none of which is waited for at the end. Without a host on IPv4 and IPv6."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._dual = not address[0] and socket.has_dualstack_ipv6()
        self.address_family = socket.AF_INET6 if self._dual else socket.AF_INET
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Take the address."""
        if self._dual:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def handler_of(page: Pages) -> type[BaseHTTPRequestHandler]:
    """The handler class that answers with these pages."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "mmm-server"
        sys_version = ""
        timeout: ClassVar[float] = SILENCE_SECONDS

        def do_GET(self) -> None:
            status, text = page.answer(self.path.partition("?")[0])
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args: object) -> None:
            """Requests for the page are not worth a line each."""

    return Handler
