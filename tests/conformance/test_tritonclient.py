"""tritonclient, synchronous and asynchronous, JSON and binary, compressed or not."""

from collections.abc import Iterator, Mapping, Sequence
from threading import Thread

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.conformance.samples import BASE64, ENCODED, PIXELS, SAME, TEXTS, TOLERANCE
from tests.server.harness import ServerProcess, wait_for

OUTPUTS = ("image_embeds", "text_embeds", "probabilities")
ENCODINGS = (None, "gzip", "deflate")
BINARY = (True, False)


@pytest.fixture
def client(server: ServerProcess) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.url.removeprefix("http://")) as found:
        yield found


def text_input(texts: Sequence[str] = TEXTS, *, binary: bool = True) -> triton.InferInput:
    return bytes_input("text", [text.encode() for text in texts], binary=binary)


def image_input(*, binary: bool = True) -> triton.InferInput:
    return bytes_input("image", ENCODED if binary else [text.encode() for text in BASE64], binary=binary)


def bytes_input(name: str, elements: Sequence[bytes], *, binary: bool) -> triton.InferInput:
    found = triton.InferInput(name, [len(elements)], "BYTES")
    found.set_data_from_numpy(np.array(elements, dtype=np.object_), binary_data=binary)
    return found


def pixel_input(*, binary: bool = True) -> triton.InferInput:
    found = triton.InferInput("image", list(PIXELS.shape), "UINT8")
    found.set_data_from_numpy(PIXELS, binary_data=binary)
    return found


def wanted(*names: str, binary: bool = True) -> list[triton.InferRequestedOutput]:
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in names]


def assert_same(result: triton.InferResult, expected: Mapping[str, np.ndarray], *names: str) -> None:
    assert [output["name"] for output in result.get_response()["outputs"]] == list(names)
    for name in names:
        np.testing.assert_allclose(result.as_numpy(name), expected[name], atol=SAME)


def test_health(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("clip")
    assert client.is_model_ready("clip", "7")
    assert not client.is_model_ready("clip", "8")
    assert not client.is_model_ready("other")


def test_metadata(client: triton.InferenceServerClient) -> None:
    server = client.get_server_metadata()
    assert server["name"] == "multimodal-operator"
    assert "binary_tensor_data" in server["extensions"]
    model = client.get_model_metadata("clip", "7")
    assert (model["name"], model["versions"]) == ("clip", ["7"])
    assert model["inputs"] == [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in ("image", "text")]
    assert [(one["name"], one["datatype"], one["shape"]) for one in model["outputs"]] == [
        ("image_embeds", "FP32", [-1, 24]),
        ("text_embeds", "FP32", [-1, 24]),
        ("probabilities", "FP32", [-1, -1]),
    ]


def test_inference_equals_the_reference_library(
    client: triton.InferenceServerClient, reference: Mapping[str, np.ndarray]
) -> None:
    result = client.infer("clip", [image_input(), text_input()])
    for name in OUTPUTS:
        np.testing.assert_allclose(result.as_numpy(name), reference[name], atol=TOLERANCE)


@pytest.mark.parametrize("out", BINARY, ids=["binary-out", "json-out"])
@pytest.mark.parametrize("into", BINARY, ids=["binary-in", "json-in"])
@pytest.mark.parametrize("answer", ENCODINGS)
@pytest.mark.parametrize("request_", ENCODINGS)
def test_every_transport_carries_the_same(
    client: triton.InferenceServerClient,
    own: Mapping[str, np.ndarray],
    into: bool,
    out: bool,
    request_: str | None,
    answer: str | None,
) -> None:
    result = client.infer(
        "clip",
        [image_input(binary=into), text_input(binary=into)],
        model_version="7",
        outputs=wanted(*OUTPUTS, binary=out),
        request_id="find me",
        request_compression_algorithm=request_,
        response_compression_algorithm=answer,
    )
    assert_same(result, own, *OUTPUTS)
    response = result.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("find me", "clip", "7")


@pytest.mark.parametrize("into", BINARY)
def test_pixels_are_an_image(client: triton.InferenceServerClient, own: Mapping[str, np.ndarray], into: bool) -> None:
    assert_same(client.infer("clip", [pixel_input(binary=into)]), own, "image_embeds")


def test_only_the_outputs_asked_for_are_answered_in_their_order(
    client: triton.InferenceServerClient, own: Mapping[str, np.ndarray]
) -> None:
    inputs = [text_input(), image_input()]
    assert_same(client.infer("clip", inputs, outputs=wanted("probabilities")), own, "probabilities")
    names = ("text_embeds", "image_embeds")
    assert_same(client.infer("clip", inputs, outputs=wanted(*names)), own, *names)
    assert_same(client.infer("clip", [text_input()]), own, "text_embeds")


async def test_the_asynchronous_client(server: ServerProcess, own: Mapping[str, np.ndarray]) -> None:
    async with triton_aio.InferenceServerClient(server.url.removeprefix("http://")) as client:
        assert await client.is_server_ready()
        assert (await client.get_model_metadata("clip"))["versions"] == ["7"]
        for encoding in ENCODINGS:
            result = await client.infer(
                "clip",
                [image_input(), text_input()],
                request_compression_algorithm=encoding,
                response_compression_algorithm=encoding,
            )
            assert_same(result, own, *OUTPUTS)
        with pytest.raises(InferenceServerException, match="No model of that name"):
            await client.infer("other", [text_input()])


def test_statistics_count_what_was_computed(client: triton.InferenceServerClient) -> None:
    def stats() -> dict[str, int]:
        (model,) = client.get_inference_statistics("clip")["model_stats"]
        (same,) = client.get_inference_statistics()["model_stats"]
        assert (model["name"], model["version"]) == (same["name"], same["version"]) == ("clip", "7")
        counts = {name: one["count"] for name, one in model["inference_stats"].items()}
        return {**counts, "items": model["inference_count"], "batches": model["execution_count"]}

    before = stats()
    client.infer("clip", [image_input(), text_input(["never seen before"])])
    with pytest.raises(InferenceServerException):
        client.infer("clip", [text_input([""])])
    after = stats()
    grown = {name: after[name] - before[name] for name in after}
    assert (grown["success"], grown["fail"], grown["items"], grown["cache_miss"]) == (1, 1, 3, 2)
    assert 1 <= grown["batches"] <= 3


FAILURES = {
    "an unknown input": ([bytes_input("sound", [b"x"], binary=True)], [], "400", "unknown input"),
    "an unknown output": ([text_input()], ["logits"], "400", "output is unknown"),
    "an output without its input": ([text_input()], ["image_embeds"], "400", "needs the input image"),
    "a wrong datatype": ([triton.InferInput("text", [1], "FP32")], [], "400", "datatype BYTES"),
    "no image": ([bytes_input("image", [b"no image"], binary=True)], [], "415", "not an image"),
    "a blank text": ([text_input([" "])], [], "422", "A text is empty"),
    "too many images": ([bytes_input("image", [b"x"] * 65, binary=True)], [], "422", "the limit is 64"),
}
FAILURES["a wrong datatype"][0][0].set_data_from_numpy(np.zeros(1, dtype=np.float32))


@pytest.mark.parametrize("name", FAILURES)
def test_failures_are_said_in_the_words_of_the_protocol(client: triton.InferenceServerClient, name: str) -> None:
    inputs, outputs, status, words = FAILURES[name]
    with pytest.raises(InferenceServerException, match=words) as caught:
        client.infer("clip", inputs, outputs=wanted(*outputs) or None)
    assert caught.value.status() == status


def test_a_shape_that_its_content_does_not_fill(client: triton.InferenceServerClient) -> None:
    for binary in BINARY:
        wrong = pixel_input(binary=binary)
        wrong.set_shape([2, 81, 96, 3])
        with pytest.raises(InferenceServerException, match="does not fill its shape"):
            client.infer("clip", [wrong])


def test_what_is_not_offered_is_an_error_and_no_crash(client: triton.InferenceServerClient) -> None:
    for ask in (
        lambda: client.get_model_config("clip"),
        client.get_trace_settings,
        client.get_log_settings,
        client.get_system_shared_memory_status,
        client.get_cuda_shared_memory_status,
        client.get_model_repository_index,
        lambda: client.load_model("clip"),
        lambda: client.unload_model("clip"),
        lambda: client.register_system_shared_memory("a", "/a", 8),
    ):
        with pytest.raises(InferenceServerException, match="No such route") as caught:
            ask()
        assert caught.value.status() == "404"


def test_shared_memory_in_a_request_is_refused(client: triton.InferenceServerClient) -> None:
    shared = triton.InferInput("text", [1], "BYTES")
    shared.set_shared_memory("region", 8)
    with pytest.raises(InferenceServerException, match="Shared memory is not offered"):
        client.infer("clip", [shared])


def test_a_full_server_says_so(slow_server: ServerProcess) -> None:
    def ask() -> None:
        with triton.InferenceServerClient(slow_server.url.removeprefix("http://")) as first:
            first.infer("fake", [text_input(["a"])])

    running = Thread(target=ask)
    running.start()
    try:
        wait_for(lambda: slow_server.status()["queue"]["inflight"] == 1, 10, "the first request computes")
        with triton.InferenceServerClient(slow_server.url.removeprefix("http://")) as client:
            with pytest.raises(InferenceServerException) as caught:
                client.infer("fake", [text_input(["b"])])
            assert caught.value.status() == "429"
    finally:
        running.join()
