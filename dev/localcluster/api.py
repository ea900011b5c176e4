"""The few requests that bringing up a cluster needs, without the second that starting kubectl costs."""

import http.client
import json
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Object = dict[str, Any]


class ApiError(RuntimeError):
    """The API server refused a request; the message is its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Api:
    """A connection to one API server, as its administrator."""

    def __init__(self, port: int, pki: Path) -> None:
        self._port = port
        self._context = ssl.create_default_context(cafile=pki / "ca.crt")
        self._context.load_cert_chain(pki / "admin.crt", pki / "admin.key")

    def ready(self) -> bool:
        """Whether the server says that it is ready; False as well when nobody answers."""
        try:
            return self._request("GET", "/readyz", timeout=2)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def get(self, path: str) -> Object | None:
        """An object; None if there is none."""
        try:
            return self._json("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def apply(self, path: str, wanted: Mapping[str, object]) -> Object:
        """The object at `path` after it was made, or changed, to say what is wanted."""
        query = "?fieldManager=localcluster&force=true"
        return self._json("PATCH", path + query, "application/apply-patch+yaml", wanted)

    def patch(self, path: str, changes: list[Object]) -> Object:
        """The object at `path` after a list of JSON patch operations."""
        return self._json("PATCH", path, "application/json-patch+json", changes)

    def _json(self, method: str, path: str, kind: str | None = None, body: object = None) -> Object:
        status, text = self._request(method, path, kind, None if body is None else json.dumps(body))
        if status >= 400:
            raise ApiError(status, text[:500])
        answer: Object = json.loads(text)
        return answer

    def _request(
        self, method: str, path: str, kind: str | None = None, body: str | None = None, timeout: float = 30
    ) -> tuple[int, str]:
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=timeout, context=self._context)
        try:
            connection.request(method, path, body, {"Content-Type": kind} if kind else {})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()


class Deadline:
    """Polling that ends: `while deadline.open(): …`."""

    def __init__(self, seconds: float, pause: float = 0.05) -> None:
        self._end = time.monotonic() + seconds
        self._pause = pause
        self._first = True

    def open(self) -> bool:
        """Whether there is time for one more try; waits a moment before each but the first."""
        if self._first:
            self._first = False
            return True
        time.sleep(self._pause)
        return time.monotonic() < self._end

    @classmethod
    def met(cls, condition: Callable[[], bool], seconds: float) -> bool:
        """Whether the condition came true in time."""
        deadline = cls(seconds)
        while deadline.open():
            if condition():
                return True
        return False
