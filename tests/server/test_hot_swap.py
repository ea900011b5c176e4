"""Going over to another version without a restart, and what a version must not do to the one before it."""

import asyncio
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.harness import ServerProcess, wait_for
from tests.server.models import SPARSE, seal, write_clip, write_fake
from tests.server.pictures import base64_of, jpeg
from tests.server.rollout import Site, same, swap_of, vector, wait_failed, wait_served

TEXT = {"texts": ["a"]}
SMOKE: dict[str, Any] = {"name": "a text", "path": "/v1/embed", "body": TEXT}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.publish("a")
    site.publish("b")
    return site


def answered(server: ServerProcess) -> str:
    """The version that answers, by its header and by its vector."""
    answer = httpx.post(f"{server.url}/v1/embed", json=TEXT)
    assert answer.status_code == 200, answer.text
    name = answer.headers["x-model-version"]
    assert same(answer.json()["embeddings"][0]["embedding"], vector(name, "a"))
    return str(name)


def swaps(server: ServerProcess) -> tuple[float, float]:
    """How many swaps are done, and how many failed."""
    found = [
        float(line.rsplit(" ", 1)[1])
        for line in httpx.get(f"{server.operations_url}/metrics").text.splitlines()
        if line.startswith("mmm_swaps_total{")
    ]
    done, failed = found
    return done, failed


def test_a_wanted_version_takes_over_in_every_protocol(site: Site) -> None:
    site.want("a")
    with site.serving("a") as server:
        assert (answered(server), swap_of(server)) == ("a", {})
        site.want("b")
        wait_served(server, "b")
        assert swap_of(server) == {
            "version": "b", "digest": site.digests["b"], "state": "Done", "reason": None, "message": None,
        }  # fmt: skip
        assert answered(server) == "b"
        assert server.status()["model"]["digest"] == site.digests["b"]
        assert server.metric("mmm_model_info") == 1.0
        metrics = httpx.get(f"{server.operations_url}/metrics").text
        assert f'mmm_model_info{{device="cpu",digest="{site.digests["b"]}",dtype="float32",version="b"}} 1.0' in metrics
        with httpx.Client(base_url=server.url) as client:
            tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"]}
            for path in ("/v2/models/clip/infer", "/v2/models/clip/versions/b/infer"):
                answer = client.post(path, json={"inputs": [tensor]})
                assert (answer.json()["model_version"], answer.headers["x-model-version"]) == ("b", "b")
                assert same(answer.json()["outputs"][0]["data"], vector("b", "a"))
            assert client.post("/v2/models/clip/versions/a/infer", json={"inputs": [tensor]}).status_code == 404
            assert client.get("/v2/models/clip").json()["versions"] == ["b"]
            openai = client.post("/v1/embeddings", json={"model": "clip", "input": "a"})
            assert same(openai.json()["data"][0]["embedding"], vector("b", "a"))
            assert openai.headers["x-model-digest"] == site.digests["b"]


@pytest.mark.parametrize("name", ["org/clip", "org/versions/clip"])
def test_a_name_with_a_slash_is_known_with_every_version_that_serves(site: Site, name: str) -> None:
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"]}
    site.want("a")
    with site.serving("a", MMM_MODEL_NAME=name) as server, httpx.Client(base_url=server.url) as client:
        site.want("b")
        wait_served(server, "b")
        root = f"/v2/models/{name}"
        assert client.get(f"{root}/versions/b").json()["versions"] == ["b"]
        assert client.get(f"{root}/versions/b/ready").json()["ready"] is True
        answer = client.post(f"{root}/versions/b/infer", json={"inputs": [tensor]})
        assert same(answer.json()["outputs"][0]["data"], vector("b", "a"))
        for version in ("a", "%7Bversion%7D"):
            assert client.get(f"{root}/versions/{version}").status_code == 404
            gone = client.post(f"{root}/versions/{version}/infer", json={"inputs": [tensor]})
            assert (gone.status_code, gone.json()["error"][:12]) == (404, "This version")


def test_real_models_swap_as_well(tmp_path: Path) -> None:
    site = Site(tmp_path)
    image = base64_of(jpeg())
    for name, amplify in (("a", 6.0), ("b", 5.0)):
        site.digests[name] = seal(site.models, write_clip(tmp_path / name, amplify=amplify))

    def vectors(server: ServerProcess) -> list[list[float]]:
        answer = httpx.post(f"{server.url}/v1/embed", json={"images": [image], "texts": ["a cat"]})
        assert answer.status_code == 200, answer.text
        return [one["embedding"] for one in answer.json()["embeddings"]]

    site.want("b")
    with site.serving("b") as server:
        expected = vectors(server)
    site.want("a")
    with site.serving("a", MMM_SWAP_KEEP_SECONDS="0", MMM_STATE_DIR=str(tmp_path / "other")) as server:
        before = vectors(server)
        assert not any(same(*pair) for pair in zip(before, expected, strict=True))
        for name, known in (("b", expected), ("a", before), ("b", expected)):
            site.want(name)
            wait_served(server, name)
            assert all(same(*pair) for pair in zip(vectors(server), known, strict=True))
        chosen = [line for line in server.log_lines if line["message"] == "compute threads"]
        assert len(chosen) > 1
        later = [False] * (len(chosen) - 1)
        assert [line["measured"] for line in chosen] == [True, *later], "only where nothing else computes"
        assert len({line["threads"] for line in chosen}) == 1


async def use(server: ServerProcess, site: Site, over: asyncio.Event, wrong: list[str], counts: dict[str, int]) -> None:
    """One client that never stops asking, on one connection."""
    expected = {name: vector(name, "a") for name in site.digests}
    body = {"images": [base64_of(jpeg())], "texts": ["a"]}
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        while not over.is_set():
            answer = await client.post("/v1/embed", json=body)
            name = answer.headers.get("x-model-version", "none")
            counts[name] = counts.get(name, 0) + 1
            if answer.status_code != 200:
                wrong.append(answer.text)
            elif answer.headers["x-model-digest"] != site.digests[name]:
                wrong.append("the digest is another version's")
            elif not same(answer.json()["embeddings"][1]["embedding"], expected[name]):
                wrong.append(f"the vector is not that of {name}")


async def answers(counts: dict[str, int], name: str, enough: int) -> None:
    """Returns once a version answered that many requests."""
    deadline = time.monotonic() + 20
    while counts.get(name, 0) < enough:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_no_request_is_lost_over_five_swaps_and_each_is_answered_by_one_version(tmp_path: Path) -> None:
    site = Site(tmp_path)
    for name in ("a", "b", "c"):
        site.publish(name, [SMOKE], delay_seconds=0.01, load_seconds=0.3)
    site.want("a")
    over, wrong, counts = asyncio.Event(), list[str](), dict[str, int]()
    environment = {"MMM_SWAP_KEEP_SECONDS": "0", "MMM_MAX_QUEUE_SECONDS": "30", "MMM_RESULT_CACHE": "memory"}
    with site.serving("a", **environment) as server:
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(use(server, site, over, wrong, counts))
            for name in ("b", "a", "c", "b", "a"):
                enough = counts.get(name, 0) + 20
                site.want(name)
                await asyncio.to_thread(wait_served, server, name)
                await answers(counts, name, enough)
            over.set()
        assert wrong == []
        assert set(counts) == {"a", "b", "c"}


def altered(site: Site) -> None:
    """A version whose manifest is not the one that its directory is named after."""
    site.publish("bad")
    manifest = site.path("bad") / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b" ")


def large(site: Site) -> None:
    """A version with four gigabytes of weights, all of them a hole in a file."""
    source = write_fake(site.root / "large", salt="bad")
    header = json.dumps({"w": {"dtype": "F32", "shape": [SPARSE], "data_offsets": [0, 4 * SPARSE]}}).encode()
    with (source / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 4 * SPARSE)
    site.digests["bad"] = seal(site.models, source)


ANOTHER = {**SMOKE, "expect": {"/embeddings/0/embedding": {"vector": vector("a", "a")}}}
BROKEN: dict[str, tuple[Callable[[Site], object], str]] = {
    "does not load": (lambda site: site.publish("bad", unloadable=True), "ModelLoadFailed"),
    "takes too long to load": (lambda site: site.publish("bad", load_seconds=3600.0), "ModelLoadFailed"),
    "fails on its own example": (lambda site: site.publish("bad", poison="example"), "WarmUpFailed"),
    "hangs on its own example": (lambda site: site.publish("bad", hang="example"), "WarmUpFailed"),
    "dies on its own example": (lambda site: site.publish("bad", deadly="example"), "InternalError"),
    "answers otherwise": (lambda site: site.publish("bad", [ANOTHER]), "SmokeTestFailed"),
    "dies in its smoke test": (
        lambda site: site.publish("bad", [{**SMOKE, "body": {"texts": ["die"]}}], deadly="die"),
        "InternalError",
    ),
    "is of another digest": (altered, "DigestMismatch"),
    "is too large": (large, "NoRoomForSwap"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_version_never_answers_and_the_old_one_goes_on(site: Site, how: str) -> None:
    publish, reason = BROKEN[how]
    publish(site)
    site.want("a")
    environment = {"MMM_STUCK_SECONDS": "2", "MMM_SWAP_LOAD_SECONDS": "2", "MMM_MEMORY_LIMIT_BYTES": str(2 * SPARSE)}
    with site.serving("a", **environment) as server:
        site.want("bad")
        wait_failed(server, "bad", reason)
        assert answered(server) == "a"
        assert swaps(server) == (0, 1)
        wait_for(lambda: httpx.get(f"{server.url}/readyz").status_code == 200, 10, "ready")  # or a thread came late
        assert server.status()["failure"] is None
        tried = len([line for line in server.log_lines if line["message"] == "another version is wanted"])
        time.sleep(2.5)  # two looks: it is not tried again
        assert len([line for line in server.log_lines if line["message"] == "another version is wanted"]) == tried == 1
        site.want("b")
        wait_served(server, "b")
        assert answered(server) == "b"


def test_a_version_that_kills_the_process_is_tried_once(site: Site) -> None:
    site.publish("deadly", kills=True)
    site.want("a")
    with site.serving("a") as server:
        site.want("b")
        wait_served(server, "b")
        site.want("deadly")
        assert server.wait_exit() == -9
    for _ in range(2):
        with site.serving("a") as server:
            swap = wait_failed(server, "deadly", "ContainerFailed")
            assert swap["digest"] == site.digests["deadly"]
            assert answered(server) == "b", "what served last, not what the pod was made with"
            site.want("deadly")  # written again, and the same
            time.sleep(1.5)
            assert answered(server) == "b"
    with site.serving("a") as server:
        site.want("a")
        wait_served(server, "a")
        assert swap_of(server)["state"] == "Done"


def test_going_back_is_instant_while_the_old_version_is_kept(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.publish("a", load_seconds=5.0)
    site.publish("b")
    site.want("a")
    with site.serving("a") as server:
        site.want("b")
        wait_served(server, "b")
        began = time.monotonic()
        site.want("a")
        wait_served(server, "a")
        assert swaps(server) == (2, 0), "going back is a swap as well"
        assert time.monotonic() - began < 4.0, "nothing was loaded again"
        assert answered(server) == "a"
        assert server.log_line("let go") is None


def test_the_version_before_is_let_go_after_a_while(site: Site) -> None:
    site.want("a")
    with site.serving("a", MMM_SWAP_KEEP_SECONDS="1") as server:
        site.want("b")
        wait_served(server, "b")
        wait_for(lambda: server.log_line("let go"), 15, "let go")
        site.want("a")
        wait_served(server, "a")
        assert answered(server) == "a"


@pytest.mark.parametrize("name", ["a", "b"])
def test_batches_are_full_again_once_two_versions_need_not_share_the_memory(tmp_path: Path, name: str) -> None:
    site = Site(tmp_path)
    site.publish("a", crowded=3, delay_seconds=0.01)
    slow = {**SMOKE, "body": {"texts": ["slow"]}, "status": 404 if name == "a" else 200}
    site.publish("b", [slow], crowded=3, hang="slow", hang_seconds=5.0)
    site.want("a")
    body = {"images": [base64_of(jpeg())] * 8}
    environment = {"MMM_SWAP_KEEP_SECONDS": "3", "MMM_MAX_BATCH_SIZE": "8"}
    with site.serving("a", **environment) as server, httpx.Client(base_url=server.url) as client:
        assert server.status()["batchLimit"] == 8
        site.want("b")

        def halved() -> bool:
            assert client.post("/v1/embed", json=body).status_code == 200
            return bool(server.status()["batchLimit"] < 8)

        wait_for(halved, 15, "smaller batches")
        wait_for(lambda: server.status()["model"]["version"] == name, 15, f"{name} serves")
        wait_for(lambda: server.status()["batchLimit"] == 8, 15, "full batches")
        assert client.post("/v1/embed", json=body).status_code == 200
        assert (server.status()["batchLimit"], server.status()["model"]["version"]) == (8, name)


def test_a_request_is_answered_by_the_version_that_took_it(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.publish("a", hang="slow", hang_seconds=4.0)
    site.publish("b")
    site.want("a")
    with site.serving("a", MMM_SWAP_KEEP_SECONDS="0") as server, httpx.Client(timeout=30) as client:

        async def ask() -> httpx.Response:
            return await asyncio.to_thread(client.post, f"{server.url}/v1/embed", json={"texts": ["slow"]})

        async def ask_and_swap() -> httpx.Response:
            slow = asyncio.create_task(ask())
            await asyncio.to_thread(wait_for, lambda: server.metric("mmm_inflight_requests") == 1, 10, "in flight")
            site.want("b")
            await asyncio.to_thread(wait_served, server, "b")
            assert not slow.done()
            assert await asyncio.to_thread(answered, server) == "b"
            return await slow

        late = asyncio.run(ask_and_swap())
        assert (late.status_code, late.headers["x-model-digest"]) == (200, site.digests["a"])
        assert same(late.json()["embeddings"][0]["embedding"], vector("a", "slow"))
        wait_for(lambda: server.log_line("let go"), 15, "let go, now that nobody needs it")


def test_a_version_that_a_request_holds_for_long_is_let_go_in_the_end(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.publish("a")
    site.publish("b")
    site.publish("c")
    site.want("a")
    body = json.dumps(TEXT).encode()
    environment = {"MMM_SWAP_KEEP_SECONDS": "0", "MMM_STUCK_SECONDS": "3", "MMM_BODY_STALL_SECONDS": "60"}
    with (
        site.serving("a", **environment) as server,
        socket.create_connection(("127.0.0.1", server.ports()[0]), timeout=20) as connection,
    ):
        head = b"POST /v1/embed HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        connection.sendall(head % len(body) + body[:5])
        for name in ("b", "c"):
            site.want(name)
            wait_served(server, name)
        connection.sendall(body[5:])
        answer = connection.recv(65536).decode()
        assert f"x-model-digest: {site.digests['a']}" in answer

        def gone() -> set[str]:
            return {line["version"] for line in server.log_lines if line["message"] == "let go"}

        wait_for(lambda: gone() == {"a", "b"}, 15, "both are let go")


def test_a_request_that_is_still_being_sent_keeps_its_version_alive(site: Site) -> None:
    body = json.dumps(TEXT).encode()
    head = b"POST /v1/embed HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    site.want("a")
    with (
        site.serving("a", MMM_SWAP_KEEP_SECONDS="0", MMM_BODY_STALL_SECONDS="60") as server,
        socket.create_connection(("127.0.0.1", server.ports()[0]), timeout=20) as connection,
    ):
        connection.sendall(head % len(body) + body[:5])
        site.want("b")
        wait_served(server, "b")
        time.sleep(2.5)  # two looks: it is not let go
        connection.sendall(body[5:])
        answer = connection.recv(65536).decode()
        assert answer.startswith("HTTP/1.1 200"), answer
        assert f"x-model-digest: {site.digests['a']}" in answer
        wait_for(lambda: server.log_line("let go"), 15, "let go, now that nobody needs it")


def test_a_swap_waits_for_the_files_and_says_why_they_do_not_come(site: Site) -> None:
    hidden = site.root / "hidden"
    site.path("b").rename(hidden)
    site.want("a")
    with site.serving("a") as server:
        site.want("b")
        wait_for(lambda: swap_of(server).get("state") == "Waiting", 10, "waiting")
        failed = {"digest": site.digests["b"], "reason": "AccessDenied", "message": "The key is wrong."}
        (site.models / ".fetch-failed.json").write_text(json.dumps(failed))
        assert wait_failed(server, "b", "AccessDenied")["message"] == "The key is wrong."
        hidden.rename(site.path("b"))
        wait_served(server, "b")


def test_a_file_that_vanishes_means_what_the_pod_was_made_with(site: Site) -> None:
    with site.serving("a") as server:
        assert answered(server) == "a"
        site.want("b")
        wait_served(server, "b")
        site.rollout.write({})
        wait_served(server, "a")


def test_a_file_that_makes_no_sense_changes_nothing(site: Site) -> None:
    site.want("b")
    with site.serving("a") as server:
        site.rollout.write({"wanted.json": '{"version": "a"'})
        wait_for(lambda: server.log_line('wanted.json must be a JSON object with "version" and "digest".'), 10, "said")
        assert answered(server) == "b"
    with site.serving("a") as server:
        assert answered(server) == "b"


def test_what_is_wanted_by_now_counts_not_what_was_wanted_first(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.publish("a")
    site.publish("slow", load_seconds=3.0)
    site.publish("b")
    site.want("a")
    with site.serving("a") as server:
        site.want("slow")
        wait_for(lambda: swap_of(server).get("state") == "Loading", 10, "loading")
        site.want("b")
        wait_served(server, "b")
        site.want("slow")
        wait_for(lambda: swap_of(server).get("state") == "Loading", 10, "loading")
        site.want("b")
        wait_for(lambda: swap_of(server) == {}, 10, "nothing left to do")
        assert answered(server) == "b"


def test_a_pod_that_starts_later_begins_with_what_is_wanted(site: Site) -> None:
    site.want("b")
    with site.serving("a") as server:
        assert (answered(server), swap_of(server)) == ("b", {})


def test_a_drain_ends_the_swap(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.publish("a")
    site.publish("slow", load_seconds=20.0)
    site.want("a")
    with site.serving("a", MMM_DRAIN_DELAY_SECONDS="6") as server:
        site.want("slow")
        wait_for(lambda: swap_of(server).get("state") == "Loading", 10, "loading")
        server.signal()
        wait_for(lambda: server.status()["state"] == "DRAINING", 10, "draining")
        assert (swap_of(server), answered(server)) == ({}, "a")
        server.signal()  # not to wait any longer
        assert server.wait_exit(10) == 0
    site.want("a")
    with site.serving("a") as server:
        assert swap_of(server) == {}, "a swap that a drain ended did not fail"


def test_without_hot_swap_nobody_looks(site: Site) -> None:
    site.want("b")
    with site.serving("a", MMM_HOT_SWAP="false") as server:
        time.sleep(1.5)
        assert (answered(server), server.status()["swap"]) == ("a", None)
