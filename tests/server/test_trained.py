"""A trained model behind the real server: right answers about pictures that it never saw."""

from collections.abc import Iterator

import httpx
import pytest

from dev.models.cache import ensure_heldout, ensure_models
from dev.models.shapes import CLASSES
from tests.server.harness import ServerProcess

PICTURES = 72
LEAST_ACCURACY = 0.85


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    directory = ensure_models() / "clip" / "2"
    with ServerProcess(tmp_path_factory.mktemp("trained"), {}, ["--model", str(directory)]) as server:
        server.wait_ready()
        with httpx.Client(base_url=server.url, timeout=30) as client:
            yield client


def test_unseen_pictures_get_their_right_labels(trained: httpx.Client) -> None:
    right = 0
    for sample in ensure_heldout(PICTURES):
        files = {"image": (sample.path.name, sample.path.read_bytes(), "image/jpeg")}
        answer = trained.post("/predict", files=files, data={"texts": list(CLASSES)})
        right += answer.json()["predictions"][0]["label"] == sample.label
    assert right / PICTURES >= LEAST_ACCURACY
