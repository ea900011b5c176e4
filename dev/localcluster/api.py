"""The few requests that bringing up a cluster needs, without the second that starting kubectl costs."""

import http.client
import json
import ssl
import urllib.request
from collections.abc import Mapping
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

    def get(self, path: str, timeout: float = 30) -> Object | None:
        """An object; None if there is none."""
        try:
            return self._json("GET", path, timeout=timeout)
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

    def _json(
        self, method: str, path: str, kind: str | None = None, body: object = None, timeout: float = 30
    ) -> Object:
        status, text = self._request(method, path, kind, None if body is None else json.dumps(body), timeout)
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


def answers_http(url: str) -> bool:
    """Whether a plain GET is answered with success, within two seconds."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
