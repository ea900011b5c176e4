"""`mirror.json` in the rollout directory: where copies of requests go, while there is such a file."""

import re
from dataclasses import dataclass
from pathlib import Path

from mmm_server.rollout_files import parse_document, read_content

NAME = "mirror.json"
LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# As the operator writes it: the name of a Service, by which no address outside the cluster can be meant.
SERVICE = re.compile(rf"http://(?P<host>{LABEL}\.{LABEL}\.svc)(?::(?P<port>[1-9][0-9]{{0,4}}))?")
LOOPBACK = re.compile(r"http://(?P<host>127\.0\.0\.1)(?::(?P<port>[1-9][0-9]{0,4}))?")
PORT = 80
LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Target:
    """An address of the cluster."""

    host: str
    port: int

    @property
    def authority(self) -> bytes:
        """As it stands in a Host header."""
        return (self.host if self.port == PORT else f"{self.host}:{self.port}").encode()


class BrokenMirror(Exception):
    """The file is there, and names no address that copies may go to; the message is a sentence without its content."""


def read_target(directory: Path, *, loopback: bool = False) -> Target | None:
    """Where copies go; None without the file, BrokenMirror when it makes no sense."""
    content = read_content(directory, NAME, BrokenMirror)
    return None if content is None else parse_target(content, loopback=loopback)


def parse_target(content: bytes, *, loopback: bool = False) -> Target:
    """The target that the content names, which may be this machine itself with `loopback`; raises BrokenMirror."""
    match parse_document(content):
        case {"url": str(url)}:
            return _checked(url, loopback=loopback)
    raise BrokenMirror(f'{NAME} must be a JSON object with "url".')


def _checked(url: str, *, loopback: bool) -> Target:
    # The operator writes it; but whoever may change a ConfigMap must not have every request sent to any address.
    found = SERVICE.fullmatch(url) or (LOOPBACK.fullmatch(url) if loopback else None)
    port = int(found["port"] or PORT) if found else 0
    if found is None or port > LAST_PORT:
        raise BrokenMirror(f"The url in {NAME} must be that of a Service: http://<service>.<namespace>.svc[:<port>].")
    return Target(found["host"], port)
