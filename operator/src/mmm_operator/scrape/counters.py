"""The counters on a metrics page of our server, as much of them as a canary's gates look at."""

from collections.abc import Iterable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from mmm_operator.traffic import Counters

REQUESTS = "mmm_requests_total"
SECONDS = "mmm_request_seconds_bucket"
MIRRORED = "mmm_mirror_total"
# What a page of ours says even before the first request.
OURS = f"# TYPE {REQUESTS} counter"

# The routes that compute, as the server names them; health, pages and what does not exist are none of them.
ROUTES = frozenset(
    {
        *("/predict", "/v1/classify", "/v1/embed", "/v1/similarity", "/v1/embeddings"),
        *("/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer"),
    }
)
NO_VERDICT = ("429", "499")
SAME, DIFFERENT = "same", "different"
COUNTED = {*ROUTES, None}  # compared answers have no route
MOST = 2**53


def parse_counters(text: bytes) -> Counters:
    """The counters of a page in Prometheus' text format; raises ValueError if it is none of our server."""
    lines = text.decode().splitlines()
    if OURS not in lines:
        raise ValueError("the page has no counter of requests")
    # Only what is looked at below is parsed: most of a page is something else.
    wanted = "\n".join(line for line in lines if line.startswith((f"{REQUESTS}{{", f"{SECONDS}{{", f"{MIRRORED}{{")))
    found = [sample for family in text_string_to_metric_families(wanted + "\n") for sample in family.samples]
    answers = _sums(found, REQUESTS, "code")
    compared = _sums(found, MIRRORED, "result")
    return Counters(
        requests=sum(number for code, number in answers.items() if code not in NO_VERDICT),
        errors=sum(number for code, number in answers.items() if code.startswith("5")),
        mirrored=compared.get(SAME, 0) + compared.get(DIFFERENT, 0),
        differing=compared.get(DIFFERENT, 0),
        buckets=tuple(sorted((float(bound), number) for bound, number in _sums(found, SECONDS, "le").items())),
    )


def _sums(samples: Iterable[Any], name: str, label: str) -> dict[str, int]:
    """The sums over inference routes of one metric's samples, by one of its labels."""
    sums: dict[str, int] = {}
    for sample in samples:
        if sample.name == name and sample.labels.get("route") in COUNTED:
            value = sample.labels.get(label, "")
            sums[value] = sums.get(value, 0) + _count(sample.value)
    return sums


def _count(value: float) -> int:
    if not 0 <= value <= MOST:  # not a number is neither
        raise ValueError("a counter is no count")
    return int(value)
