"""KServe's Python server: its V1 protocol, one process, a model that is called request by request."""

import base64
from typing import Any

from kserve import Model, ModelServer

from dev.bench.server.programs.inference import PORT, Classifier


class Clip(Model):  # type: ignore[misc]
    """KServe's Python server has no batching of its own; its agent batches pods of several instances only."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.classifier = Classifier()
        self.ready = True

    async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> dict[str, Any]:
        """The probabilities for each instance of the request."""
        instances = payload["instances"]
        pixels = [self.classifier.prepare(base64.b64decode(one["image"]["b64"])) for one in instances]
        rows = self.classifier.classify(pixels, [one["labels"].split(",") for one in instances])
        return {"predictions": rows}


if __name__ == "__main__":
    ModelServer(http_port=PORT, workers=1, enable_grpc=False, access_log_format=None).start([Clip("clip")])
