"""The openai client, synchronous and asynchronous."""

from collections.abc import Iterator, Mapping
from threading import Thread

import numpy as np
import openai
import pytest

from tests.conformance.samples import BASE64, SAME, TEXTS, TOLERANCE
from tests.server.harness import ServerProcess, wait_for

URI = f"data:image/png;base64,{BASE64[0]}"
MESSAGES = [
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": URI}}, {"type": "text", "text": TEXTS[0]}]},
    {"role": "user", "content": TEXTS[1]},
]


@pytest.fixture
def client(server: ServerProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as found:
        yield found


def test_models(client: openai.OpenAI) -> None:
    (listed,) = client.models.list()
    assert (listed.id, listed.object) == ("clip", "model")
    assert client.models.retrieve("clip") == listed
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("org/other")
    assert (caught.value.code, caught.value.type) == ("model_not_found", "invalid_request_error")


def vectors_of(answer: openai.types.CreateEmbeddingResponse) -> np.ndarray:
    assert [one.index for one in answer.data] == list(range(len(answer.data)))
    assert (answer.model, answer.object) == ("clip", "list")
    return np.asarray([one.embedding for one in answer.data])


def test_texts(client: openai.OpenAI, own: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]) -> None:
    answer = client.embeddings.create(model="clip", input=TEXTS, user="someone", dimensions=24)
    np.testing.assert_allclose(vectors_of(answer), own["text_embeds"], atol=SAME)
    np.testing.assert_allclose(vectors_of(answer), reference["text_embeds"], atol=TOLERANCE)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == int(reference["tokens"])
    one = client.embeddings.create(model="clip", input=TEXTS[0])
    np.testing.assert_allclose(vectors_of(one), own["text_embeds"][:1], atol=SAME)


def test_both_encodings_carry_the_same(client: openai.OpenAI, own: Mapping[str, np.ndarray]) -> None:
    as_numbers = client.embeddings.create(model="clip", input=TEXTS, encoding_format="float")
    np.testing.assert_allclose(vectors_of(as_numbers), own["text_embeds"], atol=SAME)
    raw = client.embeddings.with_raw_response.create(model="clip", input=TEXTS, encoding_format="base64")
    assert isinstance(raw.http_response.json()["data"][0]["embedding"], str)
    assert raw.headers["x-model-version"] == "7"


def test_images_beside_texts(client: openai.OpenAI, own: Mapping[str, np.ndarray]) -> None:
    mixed = [{"image": BASE64[1]}, TEXTS[0], {"text": TEXTS[1]}, {"image": URI}]
    answer = client.embeddings.create(model="clip", input=[], extra_body={"input": mixed})
    images, texts = own["image_embeds"], own["text_embeds"]
    np.testing.assert_allclose(vectors_of(answer), [images[1], texts[0], texts[1], images[0]], atol=SAME)


def test_messages(client: openai.OpenAI, own: Mapping[str, np.ndarray]) -> None:
    answer = client.embeddings.create(model="clip", input=openai.omit, extra_body={"messages": MESSAGES})
    expected = [own["image_embeds"][0], *own["text_embeds"][:2]]
    np.testing.assert_allclose(vectors_of(answer), expected, atol=SAME)


async def test_the_asynchronous_client(server: ServerProcess, own: Mapping[str, np.ndarray]) -> None:
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        assert [model.id async for model in client.models.list()] == ["clip"]
        answer = await client.embeddings.create(model="clip", input=TEXTS)
        np.testing.assert_allclose(vectors_of(answer), own["text_embeds"], atol=SAME)
        with pytest.raises(openai.NotFoundError):
            await client.embeddings.create(model="other", input=TEXTS)


FAILURES = {
    "another model": ({"model": "gpt"}, openai.NotFoundError, "model_not_found", "model"),
    "other dimensions": ({"dimensions": 7}, openai.BadRequestError, "invalid_value", "dimensions"),
    "tokens": ({"input": [1, 2, 3]}, openai.BadRequestError, "invalid_value", "input"),
    "lists of tokens": ({"input": [[1, 2], [3]]}, openai.BadRequestError, "invalid_value", "input"),
    "nothing": ({"input": []}, openai.BadRequestError, "invalid_value", "input"),
    "a blank text": ({"input": " "}, openai.UnprocessableEntityError, "unprocessable", None),
    "a remote image": ({"input": [{"image": "https://x/y.png"}]}, openai.BadRequestError, "invalid_value", "input"),
    "no image": ({"input": [{"image": "aGVsbG8="}]}, openai.APIStatusError, "unsupported_type", None),
    "a remote part": (
        {"input": None, "messages": [{"content": [{"type": "image_url", "image_url": {"url": "http://x/"}}]}]},
        openai.BadRequestError,
        "invalid_value",
        "messages",
    ),
    "a part of sound": (
        {"input": None, "messages": [{"content": [{"type": "input_audio"}]}]},
        openai.BadRequestError,
        "invalid_value",
        "messages",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failures_become_the_clients_own_exceptions(client: openai.OpenAI, name: str) -> None:
    extra, kind, code, param = FAILURES[name]
    with pytest.raises(kind) as caught:
        client.embeddings.create(model="clip", input=TEXTS, extra_body=extra)
    error = caught.value
    assert (error.code, error.param, error.type) == (code, param, "invalid_request_error")
    assert error.request_id


def test_what_a_dual_encoder_cannot_do_is_not_there(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="clip", messages=[{"role": "user", "content": "hello"}])


def test_a_full_server_is_a_rate_limit(slow_server: ServerProcess) -> None:
    with openai.OpenAI(base_url=f"{slow_server.url}/v1", api_key="none", max_retries=0) as client:
        running = Thread(target=lambda: client.embeddings.create(model="fake", input="a"))
        running.start()
        try:
            wait_for(lambda: slow_server.status()["queue"]["inflight"] == 1, 10, "the first request computes")
            with pytest.raises(openai.RateLimitError) as caught:
                client.embeddings.create(model="fake", input="b")
            assert int(caught.value.response.headers["retry-after"]) >= 1
            assert (caught.value.code, caught.value.type) == ("overloaded", "rate_limit_error")
        finally:
            running.join()
