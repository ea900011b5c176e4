"""The limit: no server at all. Prints JSON: forward passes of the image tower, and the whole work one by one.

The probabilities that it finds are those that every contender has to give.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from dev.bench.server.programs.inference import Classifier

BATCH = 8


def main() -> None:
    """Arguments: seconds per part, the labels, and pictures."""
    seconds, labels, *names = sys.argv[1:]
    pictures = [Path(name).read_bytes() for name in names]
    classifier = Classifier()
    chosen = [pictures[number % len(pictures)] for number in range(BATCH)]
    pixels = torch.stack([torch.as_tensor(classifier.prepare(picture)) for picture in chosen])

    def forward(size: int) -> None:
        with torch.inference_mode():
            classifier.model.get_image_features(pixel_values=pixels[:size].to(classifier.dtype))

    def whole(number: int) -> None:
        prepared = classifier.prepare(pictures[number % len(pictures)])
        classifier.classify([prepared], [labels.split(",")])

    print(
        json.dumps(
            {
                "forward, batch 1": rate(lambda _: forward(1), float(seconds)),
                "forward, batch 4": 4 * rate(lambda _: forward(4), float(seconds)),
                "forward, batch 8": BATCH * rate(lambda _: forward(BATCH), float(seconds)),
                "decode, processor, forward": rate(whole, float(seconds)),
                "scores": [classifier.classify([classifier.prepare(one)], [labels.split(",")])[0] for one in pictures],
            }
        )
    )


def rate(work: Callable[[int], None], seconds: float, warm: Sequence[int] = range(3)) -> float:
    """Calls a second, after a few that do not count."""
    for number in warm:
        work(number)
    began, count = time.perf_counter(), 0
    while time.perf_counter() < began + seconds:
        work(count)
        count += 1
    return count / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
