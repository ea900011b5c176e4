"""The operator's metrics: all of them, in one table."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from mmm_operator.version import version

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """What the operator counts; one instance per process, with a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.reconciles = Counter(
            "mmm_operator_reconcile", "Reconciles, by result: ok, gone, refused, conflict, transient or error.",
            ["result"], registry=registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "mmm_operator_reconcile_seconds", "How long a reconcile took.", buckets=BUCKETS, registry=registry
        )
        self.depth = Gauge("mmm_operator_queue_depth", "Objects that wait for a worker.", registry=registry)
        self.writes = Counter(
            "mmm_operator_writes", "Calls that changed the cluster.", ["kind", "verb"], registry=registry
        )
        self.watch_restarts = Counter(
            "mmm_operator_watch_restarts", "How often the watches ended and were started again.", registry=registry
        )
        self.missed = Counter(
            "mmm_operator_missed_events", "Changes that no watch told of and a comparison found.", registry=registry
        )
        self.leader = Gauge("mmm_operator_leader", "1 while this replica works, 0 on a standby.", registry=registry)
        self.build = Gauge("mmm_operator_build_info", "1, with the version as label.", ["version"], registry=registry)
        self.build.labels(version()).set(1)

    def wrote(self, kind: str, verb: str) -> None:
        """Count one write."""
        self.writes.labels(kind, verb).inc()

    def page(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)
