"""The REST client of KServe's Python SDK, protocol v2."""

from collections.abc import AsyncIterator, Mapping

import httpx
import numpy as np
import pytest
from kserve import InferenceRESTClient, InferInput, InferOutput, InferRequest, InferResponse
from kserve.inference_client import RESTConfig

from tests.conformance.samples import BASE64, ENCODED, SAME, TEXTS
from tests.server.harness import ServerProcess


@pytest.fixture
async def client() -> AsyncIterator[InferenceRESTClient]:
    async with InferenceRESTClient(RESTConfig(protocol="v2", retries=0)) as found:
        yield found


def bytes_input(name: str, elements: list[bytes], *, binary: bool) -> InferInput:
    found = InferInput(name, [len(elements)], "BYTES")
    found.set_data_from_numpy(np.array(elements, dtype=np.object_), binary_data=binary)
    return found


def values_of(output: InferOutput) -> np.ndarray:
    return np.asarray(output.as_numpy()).reshape(output.shape)


async def test_health(client: InferenceRESTClient, server: ServerProcess) -> None:
    assert await client.is_server_live(server.url) is True
    assert await client.is_server_ready(server.url) is True
    assert await client.is_model_ready(server.url, "clip") is True


@pytest.mark.parametrize("binary", [True, False])
async def test_inference(
    client: InferenceRESTClient, server: ServerProcess, own: Mapping[str, np.ndarray], binary: bool
) -> None:
    images = ENCODED if binary else [one.encode() for one in BASE64]
    inputs = [
        bytes_input("image", images, binary=binary),
        bytes_input("text", [one.encode() for one in TEXTS], binary=binary),
    ]
    answer = await client.infer(server.url, InferRequest("clip", inputs, request_id="42"), model_name="clip")
    assert isinstance(answer, InferResponse)
    assert (answer.id, answer.model_name) == ("42", "clip")
    assert [output.name for output in answer.outputs] == ["image_embeds", "text_embeds", "probabilities"]
    for output in answer.outputs:
        np.testing.assert_allclose(values_of(output), own[output.name], atol=SAME)


async def test_an_error_keeps_its_sentence(client: InferenceRESTClient, server: ServerProcess) -> None:
    request = InferRequest("other", [bytes_input("text", [b"a"], binary=False)])
    with pytest.raises(httpx.HTTPStatusError, match="No model of that name is served here"):
        await client.infer(server.url, request, model_name="other")
    request = InferRequest("clip", [bytes_input("text", [b" "], binary=False)])
    with pytest.raises(httpx.HTTPStatusError, match="A text is empty"):
        await client.infer(server.url, request, model_name="clip")
