"""The optional memory of image vectors: in the process, and in a real Redis that comes and goes."""

import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import redis

from dev.localcluster.layout import free_ports
from tests.server.conftest import Start
from tests.server.harness import ServerProcess, wait_for
from tests.server.pictures import base64_of, jpeg


class RedisServer:
    """A Redis on a free port of this machine, without files."""

    def __init__(self) -> None:
        (self.port,) = free_ports(1)
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        with redis.Redis(port=self.port) as client:
            wait_for(lambda: _answers(client), 10, "Redis answers")

    def stop(self) -> None:
        if self._child is not None:
            self._child.terminate()
            self._child.wait()


def _answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    assert shutil.which("redis-server"), "redis-server is missing: run `make tools`"
    server = RedisServer()
    server.start()
    yield server
    server.stop()


def embed(server: ServerProcess, *seeds: int) -> list[list[float]]:
    body = {"images": [base64_of(jpeg(seed=seed)) for seed in seeds]}
    answer = httpx.post(f"{server.url}/v1/embed", json=body, timeout=30)
    assert answer.status_code == 200, answer.text
    return [one["embedding"] for one in answer.json()["embeddings"]]


def shared_with(other: RedisServer, digit: str = "a") -> dict[str, str]:
    """The environment of a server of one model that keeps its vectors there."""
    cache = {"MMM_RESULT_CACHE": "redis", "MMM_RESULT_CACHE_URL": other.url}
    return {**cache, "MMM_MODEL_DIGEST": "sha256:" + digit * 64}


def computed(server: ServerProcess) -> float:
    return server.metric("mmm_batch_size_sum")


def remembers(server: ServerProcess) -> bool:
    """Whether an image was not computed that it was asked for."""
    before = computed(server)
    embed(server, 1)
    return computed(server) == before


def test_without_it_every_image_is_computed(start_fake: Start) -> None:
    server = start_fake().wait_ready()
    assert embed(server, 1) == embed(server, 1)
    assert computed(server) == 2


def test_in_memory_an_image_is_computed_once(start_fake: Start) -> None:
    server = start_fake(MMM_RESULT_CACHE="memory").wait_ready()
    first = embed(server, 1, 2, 1)
    assert computed(server) == 2, "an image that a request holds twice is computed once"
    assert embed(server, 2, 3, 1)[::2] == [first[1], first[0]]
    assert computed(server) == 3
    assert server.metric("mmm_result_cache_total") == 2 + 3


def test_a_refusal_names_the_image_of_the_request_whatever_is_remembered(start_fake: Start) -> None:
    server = start_fake(MMM_RESULT_CACHE="memory").wait_ready()
    embed(server, 1)
    seen, new, bad = base64_of(jpeg(seed=1)), base64_of(jpeg(seed=2)), base64_of(b"no image")
    for images, name in (
        ([seen, new, bad], "Image 2: "),
        ([seen, bad], "Image 1: "),
        ([bad, seen, bad], "Image 0: "),
        ([bad], ""),
    ):
        answer = httpx.post(f"{server.url}/v1/embed", json={"images": images}, timeout=30)
        assert answer.status_code == 415
        assert answer.json()["detail"].startswith(f"{name}The bytes are not an image")


def test_replicas_share_a_redis(start_fake: Start, redis_server: RedisServer) -> None:
    one, other = (start_fake(**shared_with(redis_server)).wait_ready() for _ in range(2))
    first = embed(one, 1, 2)
    with redis.Redis(port=redis_server.port) as client:
        # Asked again, as a machine that is disturbed may be too slow for the cache.
        wait_for(lambda: embed(one, 1, 2) == first and client.dbsize() == 2, 20, "written behind the answer")
        assert all(0 < int(client.ttl(key)) <= 24 * 3600 for key in client.scan_iter())
    assert embed(other, 1, 2) == first
    assert computed(other) == 0


def test_another_model_never_gets_the_vectors(start_fake: Start, redis_server: RedisServer) -> None:
    servers = [start_fake(**shared_with(redis_server, digit)).wait_ready() for digit in "ab"]
    for server in servers:
        embed(server, 1)
        assert computed(server) == 1


def test_what_others_wrote_is_not_taken_for_a_vector(start_fake: Start, redis_server: RedisServer) -> None:
    server = start_fake(**shared_with(redis_server)).wait_ready()
    first = embed(server, 1)
    with redis.Redis(port=redis_server.port) as client:
        wait_for(lambda: remembers(server), 20, "written behind the answer")
        (key,) = client.scan_iter()
        before = computed(server)
        client.set(key, b"something else")
    assert embed(server, 1) == first
    assert computed(server) == before + 1


def test_a_redis_that_is_gone_costs_no_answer(start_fake: Start, redis_server: RedisServer) -> None:
    server = start_fake(**shared_with(redis_server)).wait_ready()
    first = embed(server, 1)
    redis_server.stop()
    assert embed(server, 1) == first
    assert server.log_line("the result cache does not answer")
    redis_server.start()
    wait_for(lambda: remembers(server), 30, "the cache is used again")


def test_a_burst_of_questions_keeps_the_cache(start_fake: Start, redis_server: RedisServer) -> None:
    server = start_fake(**shared_with(redis_server, "a"), MMM_MAX_QUEUE_SECONDS=30).wait_ready()
    bodies = [{"images": [base64_of(jpeg(seed=seed))]} for seed in range(5)]
    # Without an expiry, as a thread may begin to use the connection that another one finds to be too old.
    bounds = httpx.Limits(max_connections=150, keepalive_expiry=None)
    with httpx.Client(base_url=server.url, limits=bounds, timeout=30) as client, ThreadPoolExecutor(150) as clients:
        answers = list(clients.map(lambda number: client.post("/v1/embed", json=bodies[number % 5]), range(600)))
    assert {answer.status_code for answer in answers} == {200}
    assert server.log_line("the result cache does not answer") is None
    assert computed(server) < 300


@pytest.mark.parametrize("missing", ["MMM_RESULT_CACHE_URL", "MMM_MODEL_DIGEST"])
def test_a_cache_without_an_address_or_a_model_is_refused_at_the_start(start_fake: Start, missing: str) -> None:
    complete = {"MMM_RESULT_CACHE_URL": "redis://127.0.0.1:1/0", "MMM_MODEL_DIGEST": "sha256:" + "a" * 64}
    server = start_fake(
        MMM_RESULT_CACHE="redis", **{name: value for name, value in complete.items() if name != missing}
    )
    assert server.wait_exit() == 2
    assert missing in server.termination()["message"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--set", "result_cache=memory"], None), (["--set", "model_digest=x"], 2), (["--set", "exact"], 2)],
)
def test_model_owners_tune_by_arguments(tmp_path: Path, arguments: list[str], code: int | None) -> None:
    from tests.server.models import write_fake

    model = write_fake(tmp_path / "model")
    with ServerProcess(tmp_path / "server", {}, ["--model", str(model), *arguments]) as server:
        if code is not None:
            assert server.wait_exit() == code
            return
        server.wait_ready()
        assert embed(server, 1) == embed(server, 1)
        assert computed(server) == 1
