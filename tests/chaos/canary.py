"""Secrets that are easy to recognise, and the places in which they must never turn up."""

from collections.abc import Iterator

import httpx

from mmm_operator import names
from mmm_operator.kube.resources import WATCHED_CHILDREN, path
from tests.integration.operator_process import Operator

ACCESS_KEY = "canary-access-key"
SECRET_KEY = "canary-secret-key"
# An environment variable holds it: the object and its pods must say it, but the operator must not repeat it.
ENVIRONMENT = "canary-environment-value"


def leaks(api: httpx.Client, operator: Operator) -> list[str]:
    """Where a canary is that has no business there."""
    return [
        f"{canary} in {place}"
        for place, text, canaries in _places(api, operator)
        for canary in canaries
        if canary in text
    ]


def _places(api: httpx.Client, operator: Operator) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    everywhere = (ACCESS_KEY, SECRET_KEY)
    told = (*everywhere, ENVIRONMENT)
    yield "the log", operator.log.read_text(), told
    yield "the metrics", httpx.get(f"http://127.0.0.1:{operator.port}/metrics", timeout=5).text, told
    yield "events", api.get(path("Event", None)).text, told
    for kind in WATCHED_CHILDREN:
        yield kind, api.get(path(kind, None)).text, everywhere
    for mmm in api.get(path(names.KIND, None)).json()["items"]:
        yield f"the status of {mmm['metadata']['name']}", str(mmm.get("status")), told
