"""mosec: two processes that prepare pictures, one that computes batches; msgpack, as its documentation advises."""

import sys
from typing import Any

import msgspec
from mosec import Server, Worker

from dev.bench.server.programs.inference import MAX_BATCH, PORT, WAIT_SECONDS, Classifier, Preparation


class Prepare(Worker):  # type: ignore[misc]
    """One picture at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.preparation = Preparation()

    def deserialize(self, data: bytes) -> Any:
        """The request."""
        return msgspec.msgpack.decode(data)

    def forward(self, data: Any) -> Any:
        """Pixels and labels."""
        return self.preparation.prepare(data["image"]), data["labels"].split(",")


class Classify(Worker):  # type: ignore[misc]
    """One batch at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = Classifier()

    def forward(self, data: list[Any]) -> list[list[float]]:
        """The probabilities of each request."""
        return self.classifier.classify([pixels for pixels, _ in data], [labels for _, labels in data])

    def serialize(self, data: list[float]) -> bytes:
        """The answer."""
        encoded: bytes = msgspec.json.encode({"scores": data})
        return encoded


if __name__ == "__main__":
    sys.argv[1:] = ["--address", "127.0.0.1", "--port", str(PORT), "--timeout", "60000", "--log-level", "warning"]
    server = Server()
    server.append_worker(Prepare, num=2)
    server.append_worker(Classify, num=1, max_batch_size=MAX_BATCH, max_wait_time=int(WAIT_SECONDS * 1000))
    server.run()
