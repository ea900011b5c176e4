"""LitServe: batches of so many requests, a short wait, one worker beside the process that listens."""

from typing import Any

import litserve
from fastapi import Request

from dev.bench.server.programs.inference import MAX_BATCH, PORT, WAIT_SECONDS, Classifier


class Api(litserve.LitAPI):  # type: ignore[misc]
    """The hooks in the order in which they are called."""

    def setup(self, device: str) -> None:
        """Load."""
        self.classifier = Classifier()

    def decode_request(self, request: Request) -> tuple[Any, list[str]]:
        """The pixels and labels of one form."""
        return self.classifier.prepare(request["image"].file.read()), request["labels"].split(",")

    def batch(self, inputs: list[tuple[Any, list[str]]]) -> list[tuple[Any, list[str]]]:
        """Nothing: `predict` takes pictures and labels apart."""
        return inputs

    def predict(self, batch: list[tuple[Any, list[str]]]) -> list[list[float]]:
        """The probabilities of each request."""
        return self.classifier.classify([pixels for pixels, _ in batch], [labels for _, labels in batch])

    def unbatch(self, output: list[list[float]]) -> list[list[float]]:
        """Nothing either."""
        return output

    def encode_response(self, output: list[float]) -> dict[str, list[float]]:
        """The answer to one request."""
        return {"scores": output}


if __name__ == "__main__":
    api = Api(max_batch_size=MAX_BATCH, batch_timeout=WAIT_SECONDS)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True, timeout=60)
    server.run(host="127.0.0.1", port=PORT, num_api_servers=1, generate_client_file=False, log_level="warning")
