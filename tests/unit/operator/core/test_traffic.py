"""Traffic: what the counters of pages say, over restarts and several pods, and the p95 that PromQL would give."""

import random

import pytest

from mmm_operator.scrape.counters import parse_counters
from mmm_operator.traffic import Count, Counters, Traffic, born_since, quantile, together
from mmm_server.metrics import Metrics

INF = float("inf")
HEAD = "# TYPE mmm_requests_total counter\n"


def page_of(*answers: tuple[str, int, float], number: int = 1) -> bytes:
    """The page of a server that gave these answers (route, code, seconds), each so often."""
    metrics = Metrics()
    for route, code, seconds in answers * number:
        metrics.requests.labels(route, str(code)).inc()
        metrics.request_seconds.labels(route).observe(seconds)
    return metrics.render()


def counters(requests: int, errors: int = 0, took: dict[float, int] | None = None) -> Counters:
    return Counters(requests, errors, buckets=tuple((took or {INF: requests}).items()))


def test_inference_is_counted_and_nothing_else() -> None:
    found = parse_counters(
        page_of(
            ("/predict", 200, 0.02),
            ("/v2/models/{model}/infer", 200, 0.02),
            ("/v1/embeddings", 500, 0.02),
            ("/v1/embed", 422, 0.02),
            ("/readyz", 503, 9.0),
            ("/metrics", 200, 9.0),
            ("other", 500, 9.0),
        )
    )
    assert (found.requests, found.errors) == (4, 1)
    assert dict(found.buckets)[INF] == 4


def test_an_answer_that_says_nothing_about_the_version_is_no_request() -> None:
    found = parse_counters(
        page_of(*(("/predict", code, 0.1) for code in (200, 400, 413, 429, 499, 500, 503, 504)), number=2)
    )
    assert (found.requests, found.errors) == (12, 6)


def test_compared_answers_are_counted() -> None:
    lines = "".join(
        f'mmm_mirror_total{{result="{result}"}} {number}.0\n'
        for result, number in (("same", 7), ("different", 2), ("failed", 5), ("dropped", 9))
    )
    found = parse_counters((HEAD + lines).encode())
    assert (found.mirrored, found.differing) == (9, 2)


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"<html>",
        b"\xff\xfe",
        b'mmm_requests_total{code="200",route="/predict"} 5.0',
        HEAD.encode() + b'mmm_requests_total{code="200",route="/predict"} -1',
        HEAD.encode() + b'mmm_requests_total{code="200",route="/predict"} NaN',
        HEAD.encode() + b'mmm_requests_total{code="200",route="/predict"} +Inf',
        HEAD.encode() + b'mmm_requests_total{code="200",route="/predict" 1',
        HEAD.encode() + b'mmm_request_seconds_bucket{le="wide",route="/predict"} 1',
    ],
)
def test_what_is_no_page_of_ours_is_refused(page: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_counters(page)


def test_a_page_before_the_first_request_counts_none() -> None:
    assert parse_counters(Metrics().render()) == Counters()


def test_counting_begins_at_the_first_page() -> None:
    count = Count(counters(100, 5)).then(counters(100, 5)).then(counters(130, 6))
    assert (count.traffic.requests, count.traffic.errors) == (30, 1)


def test_a_process_that_began_anew_is_counted_from_zero() -> None:
    count = Count(counters(100, 5)).then(counters(110, 5)).then(counters(4, 1)).then(counters(6, 1))
    assert (count.traffic.requests, count.traffic.errors) == (16, 1)


def test_a_counter_that_fell_shows_a_restart_though_others_grew() -> None:
    count = Count(counters(10, 9)).then(counters(20, 0))
    assert (count.traffic.requests, count.traffic.errors) == (20, 0)


def test_no_interleaving_of_restarts_loses_or_invents_what_a_page_showed() -> None:
    for seed in range(200):
        randomly = random.Random(seed)
        count, expected, shown = Count(Counters()), 0, 0
        for _ in range(30):
            if randomly.random() < 0.2 and shown:
                shown = grown = randomly.randrange(shown)  # less than before: a restart that can be seen
            else:
                grown = randomly.randrange(50)
                shown += grown
            expected += grown
            count = count.then(counters(shown, took={0.1: shown // 2, INF: shown}))
        assert count.traffic.requests == expected, f"seed {seed}"
        assert dict(count.total.buckets)[INF] == expected, f"seed {seed}"


@pytest.mark.parametrize(
    ("buckets", "expected"),
    [
        ((), None),
        (((0.1, 0), (INF, 0)), None),
        (((0.1, 100), (INF, 100)), 0.095),  # spread evenly from zero
        (((0.1, 90), (0.2, 100), (INF, 100)), 0.15),
        (((0.1, 90), (0.2, 90), (0.3, 100), (INF, 100)), 0.25),  # an empty bucket is passed over
        (((0.1, 50), (INF, 100)), 0.1),  # nothing is known beyond the last bound
        (((0.1, 95), (0.2, 100), (INF, 100)), 0.1),
        (((0.1, 95), (0.2, 100)), None),  # no histogram without its last bucket
    ],
)
def test_the_p95_is_what_promql_gives(buckets: tuple[tuple[float, int], ...], expected: float | None) -> None:
    found = quantile(buckets, 0.95)
    assert found == (None if expected is None else pytest.approx(expected))


def traffic(*answers: tuple[str, int, float], number: int = 1) -> Traffic:
    return Count(Counters()).then(parse_counters(page_of(*answers, number=number))).traffic


def test_pods_are_added_up_as_one_histogram() -> None:
    fast, slow = traffic(("/predict", 200, 0.004), number=95), traffic(("/predict", 500, 4.0), number=5)
    both = together([fast, slow])
    assert (both.requests, both.errors) == (100, 5)
    assert both.p95_ms == pytest.approx(5.0)
    assert slow.p95_ms == pytest.approx(4875.0)
    assert together([]) == Traffic(0, 0, None, 0, 0)
    assert together([fast]) == fast


def test_without_buckets_the_slowest_pod_speaks_for_all() -> None:
    both = together([Traffic(10, 0, 20.0, 1, 0), Traffic(10, 1, 50.0, 2, 1), Traffic(0, 0, None, 0, 0)])
    assert both == Traffic(20, 1, 50.0, 3, 1)


def test_buckets_that_only_one_server_has_are_left_out() -> None:
    other = Count(Counters()).then(counters(10, took={0.2: 0, 0.5: 10, INF: 10})).traffic
    mine = Count(Counters()).then(counters(10, took={0.1: 0, 0.5: 10, INF: 10})).traffic
    assert together([mine, other]).buckets == ((0.5, 20), (INF, 20))


def test_pods_of_the_moment_and_later_are_newborn() -> None:
    def pod(name: str, created: str | None) -> dict[str, dict[str, str]]:
        return {"metadata": {"name": name, **({"creationTimestamp": created} if created else {})}}

    pods = [
        pod("old", "2026-01-01T11:59:59Z"),
        pod("now", "2026-01-01T12:00:00Z"),
        pod("new", "2026-01-01T12:00:05Z"),
        pod("unknown", None),
    ]
    assert born_since(pods, "2026-01-01T12:00:00.7Z") == {"now", "new"}
    assert born_since(pods, "2026-01-01T12:00:00") == {"now", "new"}
    assert born_since(pods, "step 1") == frozenset()
