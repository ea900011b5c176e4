"""Every metric of the server, in one table. The names are a contract: autoscaling and dashboards read them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.metrics import MetricWrapperBase

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

REQUESTS_TOTAL: Final = "mmm_requests_total"
REQUEST_SECONDS: Final = "mmm_request_seconds"
MIRRORED_REQUESTS_TOTAL: Final = "mmm_mirrored_requests_total"
MIRRORED_REQUEST_SECONDS: Final = "mmm_mirrored_request_seconds"
STAGE_SECONDS: Final = "mmm_stage_seconds"
BATCH_SIZE: Final = "mmm_batch_size"
INFLIGHT_REQUESTS: Final = "mmm_inflight_requests"
QUEUE_DEPTH: Final = "mmm_queue_depth"
QUEUE_WAIT: Final = "mmm_queue_estimated_wait_seconds"
REJECTED_TOTAL: Final = "mmm_rejected_total"
TEXT_CACHE_TOTAL: Final = "mmm_text_cache_total"
RESULT_CACHE_TOTAL: Final = "mmm_result_cache_total"
LOAD_SECONDS: Final = "mmm_model_load_seconds"
MODEL_INFO: Final = "mmm_model_info"
HEARTBEAT_AGE: Final = "mmm_worker_heartbeat_age_seconds"
BUSY_RATIO: Final = "mmm_device_busy_ratio"
REFUSED_CONNECTIONS_TOTAL: Final = "mmm_connections_refused_total"
EVENT_LOOP_LAG: Final = "mmm_event_loop_lag_seconds"
MIRROR_TOTAL: Final = "mmm_mirror_total"
SWAPS_TOTAL: Final = "mmm_swaps_total"

LATENCY_BUCKETS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
BATCH_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is read at the moment of a scrape instead of being counted."""

    inflight: Callable[[], float]
    queue_depth: Callable[[], float]
    estimated_wait: Callable[[], float]
    heartbeat_age: Callable[[], float]
    busy_ratio: Callable[[], float]


Metric = TypeVar("Metric", bound=MetricWrapperBase)


class Family(Generic[Metric]):
    """A metric with labels whose children are found quickly: the client library checks and locks at every look."""

    def __init__(self, metric: Metric) -> None:
        self.labels: Callable[..., Metric] = lru_cache(maxsize=1024)(metric.labels)


class Metrics:
    """One server's metrics in a registry of their own, so that a process can hold many servers."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        self.requests = Family(
            Counter(
                REQUESTS_TOTAL, "Requests answered, by route and status code.", ("route", "code"), registry=registry
            )
        )
        self.request_seconds = Family(
            Histogram(
                REQUEST_SECONDS, "From the request's head to the answer, however slowly that is read.", ("route",),
                buckets=LATENCY_BUCKETS, registry=registry,
            )
        )  # fmt: skip
        self.stage_seconds = Family(
            Histogram(
                STAGE_SECONDS, "Time in one stage: read, decode, queue, forward, finish.", ("stage",),
                buckets=LATENCY_BUCKETS, registry=registry,
            )
        )  # fmt: skip
        self.batch_size = Family(
            Histogram(BATCH_SIZE, "Items computed together.", ("kind",), buckets=BATCH_BUCKETS, registry=registry)
        )
        self.rejected = Counter(REJECTED_TOTAL, "Requests answered with 429.", ("reason",), registry=registry)
        self.text_cache = Family(
            Counter(TEXT_CACHE_TOTAL, "Text embeddings asked of the cache: hit, miss.", ("result",), registry=registry)
        )
        self.result_cache = Counter(
            RESULT_CACHE_TOTAL, "Image embeddings asked of the result cache: hit, miss.", ("result",), registry=registry
        )
        self.load_seconds = Gauge(
            LOAD_SECONDS,
            "Seconds after the start at which a phase ended: load, warm.",
            ("phase",),
            registry=registry,
        )
        self.model_info = Gauge(
            MODEL_INFO, "1 for what is served.", ("version", "digest", "dtype", "device"), registry=registry
        )
        self.refused_connections = Counter(
            REFUSED_CONNECTIONS_TOTAL, "Connections refused or cut off.", ("reason",), registry=registry
        )
        self.event_loop_lag = Gauge(
            EVENT_LOOP_LAG, "Longest time in the last minute that the event loop was late.", registry=registry
        )
        self.swaps = Counter(
            SWAPS_TOTAL, "Swaps to another version that ended in this process: done, failed.", ("result",),
            registry=registry,
        )  # fmt: skip
        self._add_mirroring(registry)
        self._begin()

    def _add_mirroring(self, registry: CollectorRegistry) -> None:
        self.mirror = Family(
            Counter(
                MIRROR_TOTAL,
                "Requests copied to another version: its answer was same or different, failed, or dropped.",
                ("result",),
                registry=registry,
            )
        )
        # Apart from requests: nobody waits for a copy, and no version is judged by what it was asked beside its own.
        self.mirrored_requests = Family(
            Counter(
                MIRRORED_REQUESTS_TOTAL, "Copies of another version's requests answered, by route and status code.",
                ("route", "code"), registry=registry,
            )
        )  # fmt: skip
        self.mirrored_request_seconds = Family(
            Histogram(
                MIRRORED_REQUEST_SECONDS, "From a copy's head to the last byte of its answer.", ("route",),
                buckets=LATENCY_BUCKETS, registry=registry,
            )
        )  # fmt: skip

    def _begin(self) -> None:
        # A series that exists from the start lets rate() see the first event.
        self.rejected.labels("overloaded")
        self.text_cache.labels("hit")
        self.text_cache.labels("miss")
        self.result_cache.labels("hit")
        self.result_cache.labels("miss")
        for result in ("same", "different", "failed", "dropped"):
            self.mirror.labels(result)
        self.swaps.labels("done")
        self.swaps.labels("failed")

    def watch(self, gauges: Gauges) -> None:
        """Registers the gauges that are read at scrape time."""
        for name, text, read in (
            (INFLIGHT_REQUESTS, "Inference requests being answered.", gauges.inflight),
            (QUEUE_DEPTH, "Items admitted and waiting for the device.", gauges.queue_depth),
            (QUEUE_WAIT, "Seconds that an item admitted now would wait.", gauges.estimated_wait),
            (HEARTBEAT_AGE, "Seconds since the inference thread last showed life.", gauges.heartbeat_age),
            (BUSY_RATIO, "Share of the last seconds in which the device computed.", gauges.busy_ratio),
        ):
            Gauge(name, text, registry=self.registry).set_function(read)

    def render(self) -> bytes:
        """The text exposition of everything."""
        return generate_latest(self.registry)
