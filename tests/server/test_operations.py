"""Status and metrics on the second port."""

import httpx
import pytest

from mmm_server import metrics
from tests.server.conftest import Start
from tests.server.harness import ServerProcess, wait_for
from tests.server.pictures import base64_of, jpeg

NAMES = [value for name, value in vars(metrics).items() if name.isupper() and str(value).startswith("mmm_")]


def test_the_status_document_says_what_is_served(clip_server: ServerProcess) -> None:
    status = clip_server.status()
    members = {"state", "model", "device", "loadSeconds", "swap", "batchLimit", "queue", "failure", "build"}
    assert set(status) == members
    assert status["state"] == "READY"
    assert status["model"] == {
        "name": "clip",
        "version": "2",
        "digest": None,
        "tasks": ["ImageEmbedding", "TextEmbedding", "ZeroShotImageClassification"],
        "architecture": "CLIPModel",
    }
    assert (status["device"]["kind"], status["device"]["dtype"]) == ("cpu", "float32")
    assert status["loadSeconds"] > 0
    assert status["queue"]["inflight"] == 0
    assert set(status["queue"]) == {"depth", "inflight", "estimatedWaitSeconds"}
    assert status["failure"] is None


def test_every_metric_of_the_table_is_exposed(clip_server: ServerProcess, clip: httpx.Client) -> None:
    for headers in ({}, {"x-mirrored": "true"}):
        clip.post("/predict", json={"images": [base64_of(jpeg())], "texts": ["metric"]}, headers=headers)
    text = httpx.get(f"{clip_server.operations_url}/metrics").text
    assert len(NAMES) >= 13
    for name in NAMES:
        assert f"\n{name}" in text or text.startswith(name), name
    assert 'mmm_requests_total{code="200",route="/predict"}' in text
    for stage in ("read", "decode", "queue", "forward", "finish"):
        assert f'mmm_stage_seconds_count{{stage="{stage}"}}' in text
    assert 'mmm_model_info{device="cpu",digest="",dtype="float32",version="2"} 1.0' in text


def test_unknown_paths_do_not_grow_the_metrics(clip_server: ServerProcess, clip: httpx.Client) -> None:
    for index in range(5):
        clip.get(f"/random/{index}")
    assert "/random/" not in httpx.get(f"{clip_server.operations_url}/metrics").text


def test_operations_have_problem_documents_too(clip_server: ServerProcess) -> None:
    answer = httpx.get(f"{clip_server.operations_url}/nix")
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert httpx.get(f"{clip_server.operations_url}/version").json()["version"]


def test_the_openapi_document_names_every_route(clip: httpx.Client) -> None:
    documented = set(clip.get("/openapi.json").json()["paths"])
    # A route that does not exist is answered with those of its protocol that do.
    known = [clip.get("/nix").json()["detail"], clip.get("/v2/nix").json()["error"]]
    known.append(clip.get("/v1/embeddings/nix").json()["error"]["message"])
    served = {
        path.replace(":path}", "}") for words in known for path in words.partition("known are ")[2][:-1].split(", ")
    }
    assert documented == served


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz"])
def test_probes_are_cheap_and_plain(clip: httpx.Client, path: str) -> None:
    answer = clip.get(path)
    assert (answer.status_code, answer.text) == (200, "ok\n")
    assert answer.headers["cache-control"] == "no-store"


def test_logs_are_json_with_the_request_id(start_fake: Start) -> None:
    server = start_fake(MMM_LOG_LEVEL="debug").wait_ready()
    httpx.post(f"{server.url}/v1/embed", json={"texts": ["a"]}, headers={"x-request-id": "find-me"})

    def found() -> list[dict[str, object]]:
        return [line for line in server.log_lines if line.get("request_id") == "find-me"]

    wait_for(found, 10, "the line, which is written after the answer is sent")
    (line,) = found()
    assert (line["route"], line["status"], line["message"]) == ("/v1/embed", 200, "request")
