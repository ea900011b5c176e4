"""What the API server recorded: who asked for what, when, and what came of it."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mmm_operator.snapshot import Manifest
from tests.integration.operator_process import USER

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
READS = frozenset({"get", "list"})
CREATED = 201


@dataclass(frozen=True, slots=True)
class Request:
    """One request that was answered. Times are seconds since 1970; `version` is the answer's resourceVersion, if known.

    `target` is resource/subresource, `name` namespace/name.
    """

    user: str
    verb: str
    target: str
    name: str
    code: int
    began: float
    ended: float
    version: str

    @property
    def ours(self) -> bool:
        """Whether the operator asked."""
        return self.user == USER

    @property
    def write(self) -> bool:
        """Whether it asked for a change."""
        return self.verb in WRITES

    @property
    def kind(self) -> str:
        """The request in words: "create deployments", "patch multimodalmodels/status"."""
        return f"{'create' if self.code == CREATED else self.verb} {self.target}"


class Trail:
    """The audit log, read once from its beginning to its present end; Leases and watches are left out."""

    def __init__(self, log: Path) -> None:
        self._lines = log.open("rb")
        self._half = b""
        self.requests: list[Request] = []

    def catch_up(self) -> list[Request]:
        """What is new since the last call."""
        *lines, self._half = (self._half + self._lines.read()).split(b"\n")
        entries = map(json.loads, filter(None, lines))
        fresh = [_request(entry) for entry in entries if _counts(entry)]
        self.requests += fresh
        return fresh

    def close(self) -> None:
        """Let go of the file."""
        self._lines.close()


def _counts(entry: Manifest) -> bool:
    return (
        entry["stage"] == "ResponseComplete"
        and entry["verb"] != "watch"
        and entry.get("objectRef", {}).get("resource") not in (None, "leases")
    )


def _request(entry: Manifest) -> Request:
    target = entry["objectRef"]
    answer = entry.get("responseObject") or {}
    return Request(
        user=entry["user"]["username"],
        verb=entry["verb"],
        target="/".join(filter(None, (target["resource"], target.get("subresource")))),
        name=f"{target.get('namespace', '')}/{target.get('name') or answer.get('metadata', {}).get('name', '')}",
        code=entry.get("responseStatus", {}).get("code", 0),
        began=_seconds(entry["requestReceivedTimestamp"]),
        ended=_seconds(entry["stageTimestamp"]),
        version=answer.get("metadata", {}).get("resourceVersion", ""),
    )


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def by_kind(requests: Iterable[Request]) -> dict[str, int]:
    """How many requests of each kind, the most frequent first."""
    return dict(Counter(request.kind for request in requests).most_common())


def needless(requests: Sequence[Request]) -> list[Request]:
    """The operator's writes that changed nothing, among those whose answers are known.

    Whoever changes an object gives it a resourceVersion that no object had before. So of several writes that were
    answered with the same one, by whomever, only the first has changed anything.
    """
    same: dict[tuple[str, str, str], list[Request]] = defaultdict(list)
    for request in requests:
        if request.write and request.version and request.verb not in ("delete", "deletecollection"):
            same[request.target.partition("/")[0], request.name, request.version].append(request)
    later = (request for group in same.values() for request in sorted(group, key=lambda r: r.began)[1:])
    return [request for request in later if request.ours]


def refusals(requests: Iterable[Request]) -> dict[str, int]:
    """The operator's writes that were refused, by kind and status."""
    refused = (request for request in requests if request.ours and request.write and request.code >= 400)
    return dict(Counter(f"{request.kind} {request.code}" for request in refused))
