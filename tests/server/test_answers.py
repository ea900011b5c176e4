"""The server answers what the reference library answers."""

import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from mmm_server.backends.base import Wishes
from mmm_server.backends.clip import load
from mmm_server.errors import WarmUpFailed
from mmm_server.media.image import decode_image
from tests.server.harness import ServerProcess
from tests.server.models import write_clip
from tests.server.pictures import base64_of, encode, picture

LABELS = ["cat", "a red square", "dog, asleep", "Ünïcode"]
PICTURES = [picture(96, 80, 1), picture(64, 64, 2), picture(300, 110, 3), picture(70, 400, 4), picture(1, 1, 5)]
TOLERANCE = 2e-3


class Reference:
    """The reference library, used as its own documentation says."""

    def __init__(self, directory: Path) -> None:
        from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

        self._model: Any = AutoModel.from_pretrained(directory, dtype=torch.float32).eval()
        self._processor: Any = AutoImageProcessor.from_pretrained(directory)  # type: ignore[no-untyped-call]
        self._tokenizer: Any = AutoTokenizer.from_pretrained(directory)

    def probabilities(self, images: list[Image.Image], texts: list[str], *, sigmoid: bool = False) -> np.ndarray:
        padding = {"padding": "max_length", "max_length": 32} if sigmoid else {"padding": True}
        with torch.no_grad():
            tokens = self._tokenizer(texts, return_tensors="pt", **padding)
            pixels = [self._processor(image, return_tensors="pt")["pixel_values"] for image in images]
            mask = {} if sigmoid else {"attention_mask": tokens["attention_mask"]}
            output = self._model(input_ids=tokens["input_ids"], pixel_values=torch.cat(pixels), **mask)
        logits = output.logits_per_image
        return np.asarray(torch.sigmoid(logits) if sigmoid else logits.softmax(dim=-1))

    def embeddings(self, images: list[Image.Image]) -> np.ndarray:
        with torch.no_grad():
            pixels = [self._processor(image, return_tensors="pt")["pixel_values"] for image in images]
            vectors = self._model.get_image_features(pixel_values=torch.cat(pixels)).pooler_output
        return np.asarray(torch.nn.functional.normalize(vectors, dim=-1))


@pytest.fixture(scope="module")
def reference(clip_directory: Path) -> Reference:
    return Reference(clip_directory)


@pytest.fixture(scope="module")
def expected(reference: Reference) -> np.ndarray:
    return reference.probabilities(PICTURES, LABELS)


def scores_of(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray([list(one["scores"].values()) for one in answer.json()["predictions"]])


def test_the_reference_tells_the_labels_apart(expected: np.ndarray) -> None:
    assert expected.max(axis=1).min() > 0.3, "a test of right answers needs a model with opinions"
    assert len(set(expected.argmax(axis=1))) > 1


def test_json_prediction_equals_the_reference(clip: httpx.Client, expected: np.ndarray) -> None:
    images = [base64_of(encode(image, "PNG")) for image in PICTURES]
    answer = clip.post("/predict", json={"images": images, "texts": LABELS})
    np.testing.assert_allclose(scores_of(answer), expected, atol=TOLERANCE)
    for one, row in zip(answer.json()["predictions"], expected, strict=True):
        assert one["label"] == LABELS[row.argmax()]
        assert list(one["scores"]) == LABELS
        assert one["score"] == max(one["scores"].values())
        assert sum(one["scores"].values()) == pytest.approx(1.0, abs=1e-5)


def test_multipart_prediction_equals_the_reference(clip: httpx.Client, expected: np.ndarray) -> None:
    files = [("image", (f"{index}.png", encode(image, "PNG"), "image/png")) for index, image in enumerate(PICTURES)]
    answer = clip.post("/predict", files=files, data={"texts": LABELS})
    np.testing.assert_allclose(scores_of(answer), expected, atol=TOLERANCE)


@pytest.mark.parametrize("spelling", ["cat,dog", "cat, dog", '["cat", "dog"]'])
def test_one_text_field_may_hold_a_list(clip: httpx.Client, spelling: str) -> None:
    files = {"image": ("a.png", encode(PICTURES[0], "PNG"))}
    answer = clip.post("/predict", files=files, data={"texts": spelling})
    assert list(answer.json()["predictions"][0]["scores"]) == ["cat", "dog"]


def test_the_bytes_of_an_image_may_be_the_body(clip: httpx.Client, expected: np.ndarray) -> None:
    parameters = {"labels": LABELS}
    body = encode(PICTURES[0], "PNG")
    answer = clip.post("/v1/classify", params=parameters, content=body, headers={"content-type": "image/png"})
    np.testing.assert_allclose(scores_of(answer), expected[:1], atol=TOLERANCE)


def test_a_data_uri_is_an_image(clip: httpx.Client) -> None:
    uri = "data:image/png;base64," + base64_of(encode(PICTURES[0], "PNG"))
    assert clip.post("/v1/embed", json={"images": [uri]}).status_code == 200


def test_the_template_surrounds_every_label(clip: httpx.Client, reference: Reference) -> None:
    body = {"images": [base64_of(encode(PICTURES[0], "PNG"))], "labels": ["cat", "dog"], "template": "a photo of a {}"}
    answer = clip.post("/v1/classify", json=body)
    wanted = reference.probabilities(PICTURES[:1], ["a photo of a cat", "a photo of a dog"])
    np.testing.assert_allclose(scores_of(answer), wanted, atol=TOLERANCE)
    assert list(answer.json()["predictions"][0]["scores"]) == ["cat", "dog"]


def test_embeddings_equal_the_reference(clip: httpx.Client, reference: Reference) -> None:
    images = [base64_of(encode(image, "PNG")) for image in PICTURES]
    answer = clip.post("/v1/embed", json={"images": images, "texts": ["cat", "dog, asleep"]}).json()
    assert answer["dimensions"] == 24
    found = [(one["type"], one["index"]) for one in answer["embeddings"]]
    assert found == [*(("image", index) for index in range(len(PICTURES))), ("text", 0), ("text", 1)]
    vectors = np.asarray([one["embedding"] for one in answer["embeddings"]])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    cosines = (vectors[: len(PICTURES)] * reference.embeddings(PICTURES)).sum(axis=1)
    assert cosines.min() > 0.9999


def test_a_text_may_hold_commas_when_it_is_embedded(clip: httpx.Client) -> None:
    answer = clip.post("/v1/embed", data={"text": "a cat, a dog"}, files={"image": encode(PICTURES[0])})
    assert [one["type"] for one in answer.json()["embeddings"]] == ["image", "text"]


def test_a_repeated_question_gets_the_same_answer_from_the_cache(
    clip: httpx.Client, clip_server: ServerProcess
) -> None:
    body = {"images": [base64_of(encode(PICTURES[0], "PNG"))], "texts": ["cached once", "cached twice"]}
    first = clip.post("/predict", json=body).json()
    batches = clip_server.metric("mmm_batch_size_count")
    assert clip.post("/predict", json=body).json() == first
    assert clip_server.metric("mmm_batch_size_count") == batches + 1, "only the image is computed again"


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("L", "PNG"), ("1", "PNG"), ("P", "PNG"), ("P", "GIF"), ("RGBA", "PNG"), ("LA", "PNG"), ("CMYK", "JPEG"),
     ("L", "JPEG"), ("RGB", "WEBP"), ("RGB", "BMP"), ("RGBA", "WEBP")],
)  # fmt: skip
def test_every_colour_model_is_read(clip: httpx.Client, mode: str, kind: str) -> None:
    encoded = encode(picture().convert(mode), kind)
    answer = clip.post("/v1/embed", json={"images": [base64_of(encoded)]})
    assert answer.status_code == 200, answer.text


def test_the_answer_names_model_request_and_stages(clip: httpx.Client) -> None:
    body = {"images": [base64_of(encode(PICTURES[0]))]}
    answer = clip.post("/v1/embed", json=body, headers={"x-request-id": "abc-123"})
    assert answer.headers["x-request-id"] == "abc-123"
    assert answer.headers["x-model-version"] == "2"
    assert [part.split(";")[0] for part in answer.headers["server-timing"].split(", ")] == [
        "read", "decode", "queue", "forward", "finish", "total",
    ]  # fmt: skip


@pytest.mark.parametrize("given", ["with space", "x" * 200, 'quote"', ""])
def test_a_strange_request_id_is_replaced(clip: httpx.Client, given: str) -> None:
    answer = clip.post("/v1/embed", json={"texts": ["a"]}, headers={"x-request-id": given})
    assert answer.headers["x-request-id"] != given
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


@pytest.fixture(scope="module")
def siglip_answers(siglip_directory: Path) -> tuple[np.ndarray, np.ndarray]:
    backend = load(siglip_directory, "SiglipModel", Wishes())
    images = [backend.prepare_image(decode_image(encode(one, "PNG"), 10**8)) for one in PICTURES]
    texts = backend.prepare_texts(LABELS)
    found = backend.finish(backend.launch(images)(), backend.launch(texts)())
    return found, Reference(siglip_directory).probabilities(PICTURES, LABELS, sigmoid=True)


def test_siglip_scores_every_text_on_its_own(siglip_answers: tuple[np.ndarray, np.ndarray]) -> None:
    found, wanted = siglip_answers
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE)
    assert wanted.max() > 1e-3


def test_usual_processors_are_replaced_by_our_own_plan(clip_directory: Path, siglip_directory: Path) -> None:
    for directory, architecture in ((clip_directory, "CLIPModel"), (siglip_directory, "SiglipModel")):
        prepared = load(directory, architecture, Wishes()).prepare_image(PICTURES[0])
        assert (prepared.values.dtype.name, prepared.values.shape) == ("uint8", (64, 64, 3))


def test_a_processor_beyond_our_plan_is_used_itself(tmp_path: Path) -> None:
    directory = write_clip(tmp_path / "clip", processor={"size": {"shortest_edge": 40}})  # the crop adds a border
    backend = load(directory, "CLIPModel", Wishes())
    prepared = backend.prepare_image(PICTURES[0])
    assert prepared.values.dtype == np.float32
    wanted = Reference(directory).embeddings(PICTURES[:1])
    np.testing.assert_allclose(backend.launch([prepared])(), wanted, atol=TOLERANCE)


def test_a_processor_that_does_not_fit_its_model_is_found_at_load(tmp_path: Path) -> None:
    directory = write_clip(tmp_path / "clip", processor={"crop_size": {"height": 80, "width": 80}})
    with pytest.raises(WarmUpFailed):
        load(directory, "CLIPModel", Wishes())


def test_a_large_photo_is_answered_like_the_reference(clip: httpx.Client, reference: Reference) -> None:
    """A JPEG is decoded at reduced size where that is enough: close to the reference, not equal to the last bit."""
    encoded = encode(picture(1600, 1200, 9))
    answer = clip.post("/v1/embed", json={"images": [base64_of(encoded)]}).json()
    wanted = reference.embeddings([decode_image(encoded, 10**8)])
    assert float(np.dot(answer["embeddings"][0]["embedding"], wanted[0])) > 0.999
