"""BentoML: a service for the requests and one for the batches, which its adaptive batching fills."""

import base64
from typing import Any

import bentoml

from dev.bench.server.programs.inference import MAX_BATCH, Classifier


class Service:
    """One worker; decoding happens before the batch is made, computing for all of it at once."""

    def __init__(self) -> None:
        self.classifier = Classifier()

    def predict(self, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The probabilities of each request."""
        pixels = [self.classifier.prepare(base64.b64decode(request["image"])) for request in requests]
        rows = self.classifier.classify(pixels, [request["labels"].split(",") for request in requests])
        return [{"scores": row} for row in rows]


# The wait is what adaptive batching may add at most; its own estimate stays below.
batched = bentoml.api(batchable=True, batch_dim=0, max_batch_size=MAX_BATCH, max_latency_ms=60_000, route="/predict")
Service.predict = batched(Service.predict)  # type: ignore[method-assign]
service = bentoml.service(name="clip", workers=1, traffic={"timeout": 60, "max_concurrency": 256})(Service)
