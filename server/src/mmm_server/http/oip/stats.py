"""The statistics extension: Triton's document, filled from our own counters since the start.

success, fail           requests of every protocol
queue                   items, and how long they waited for the device
compute_input, _output  items decoded or tokenized; answers written
compute_infer           batches
cache_hit, cache_miss   texts whose vector was known or not; finding one takes no time worth counting
"""

from prometheus_client import CollectorRegistry

from mmm_server import metrics
from mmm_server.engine.engine import Engine
from mmm_server.http.reply import Reply, json_reply
from mmm_server.http.tally import Count, Tally

NANOSECONDS = 1_000_000_000
STAGES = {"queue": "queue", "compute_input": "decode", "compute_infer": "forward", "compute_output": "finish"}


def statistics(engine: Engine, tally: Tally) -> Reply:
    """The statistics of the one model."""
    samples = _Samples(engine.metrics.registry)
    model = {
        "name": engine.settings.model_name,
        "version": engine.version.name,
        "last_inference": int((tally.last_success or 0) * 1000),
        "inference_count": int(samples.total(f"{metrics.BATCH_SIZE}_sum")),
        "execution_count": int(samples.total(f"{metrics.BATCH_SIZE}_count")),
        "inference_stats": {
            "success": _duration(tally.success),
            "fail": _duration(tally.failure),
            **{name: _duration(samples.stage(stage)) for name, stage in STAGES.items()},
            "cache_hit": _duration(samples.texts("hit")),
            "cache_miss": _duration(samples.texts("miss")),
        },
        "batch_stats": [],
    }
    return json_reply({"model_stats": [model]})


class _Samples:
    """What the registry counts at one moment."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._found = [sample for metric in registry.collect() for sample in metric.samples]

    def total(self, name: str, **labels: str) -> float:
        return sum(
            sample.value for sample in self._found if sample.name == name and labels.items() <= sample.labels.items()
        )

    def stage(self, stage: str) -> Count:
        name = metrics.STAGE_SECONDS
        return Count(int(self.total(f"{name}_count", stage=stage)), self.total(f"{name}_sum", stage=stage))

    def texts(self, result: str) -> Count:
        return Count(int(self.total(metrics.TEXT_CACHE_TOTAL, result=result)))


def _duration(count: Count) -> dict[str, int]:
    return {"count": count.number, "ns": int(count.seconds * NANOSECONDS)}
