"""An S3 server over a directory, and its name inside a cluster."""

import http.client
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from dev.localcluster import processes
from dev.localcluster.choose import Cluster
from dev.localcluster.layout import free_ports
from dev.localcluster.processes import Program
from dev.tools import tool

NAME = "s3"


@dataclass(frozen=True)
class S3Server:
    """A server whose buckets are the folders of a directory; a context manager, or `start` and `stop`.

    It is found again by its directory: `start` on one that runs with the same settings returns at once, also from
    another program, and `stop` ends it.
    """

    directory: Path
    access_key: str = "test-access-key"
    secret_key: str = "test-secret-key"
    address: str = "127.0.0.1"
    """Where it listens; pods need the node's address (`cluster.host_address`) or 0.0.0.0."""
    port: int = 0
    """0 takes a free one when the server starts."""
    region: str = "us-east-1"

    @property
    def endpoint(self) -> str:
        """The URL for clients on this machine; the server must have been started."""
        host = "127.0.0.1" if self.address == "0.0.0.0" else self.address
        return f"http://{host}:{self.bound_port}"

    @property
    def bound_port(self) -> int:
        """The port on which it listens; the server must have been started."""
        return self.port or int(self._port_file.read_text())

    def start(self) -> Self:
        """The server itself, once it answers. Raises ProcessError when it does not."""
        (self.directory / "data").mkdir(parents=True, exist_ok=True)
        if not self.port and not self._port_file.exists():
            self._port_file.write_text(str(free_ports(1)[0]))
        self._program().up()
        return self

    def stop(self) -> None:
        """Ends the server; its files stay, and so does its port: started again it is found where it was."""
        processes.stop(self._run / NAME)

    def answers(self) -> bool:
        """Whether somebody speaks HTTP at the endpoint."""
        connection = http.client.HTTPConnection(self.endpoint.removeprefix("http://"), timeout=2)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def expose(self, cluster: Cluster, namespace: str, name: str, port: int) -> str:
        """The URL under which pods of the cluster find the server: `http://<name>.<namespace>:<port>`."""
        cluster.expose(namespace, name, port, self.bound_port)
        return f"http://{name}.{namespace}:{port}"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _run(self) -> Path:
        return self.directory / "run"

    @property
    def _port_file(self) -> Path:
        return self.directory / "port"

    def _program(self) -> Program:
        port = self.port or (self.bound_port if self._port_file.exists() else 0)
        command = [
            tool("versitygw"),
            *("--port", f"{self.address}:{port}", "--region", self.region, "--quiet"),
            *("posix", *self._attributes(), self.directory / "data"),
        ]
        keys = {"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key}
        return Program(NAME, command, self._run, self.directory / "logs", keys, self.answers)

    def _attributes(self) -> list[str | Path]:
        """Where objects keep their attributes: with the files, or beside them on file systems that cannot."""
        probe = self.directory / "data"
        try:
            os.setxattr(probe, "user.probe", b"1")
            os.removexattr(probe, "user.probe")
        except OSError:
            sidecar = self.directory / "sidecar"
            sidecar.mkdir(exist_ok=True)
            return ["--sidecar", sidecar]
        return []
