"""Two real servers: what one answers is asked of the other, too, compared and counted, and the first never suffers."""

import asyncio
import json
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from mmm_operator.scrape.counters import parse_counters
from tests.server.conftest import Start
from tests.server.harness import PROBE, ServerProcess, wait_for
from tests.server.pictures import base64_of, jpeg

SECONDS = 30.0
PICTURE = jpeg()
TEXTS = ["a cat", "a dog", "a bird"]
PREDICT = {"image": base64_of(PICTURE), "labels": TEXTS}
OIP = {
    "inputs": [
        {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64_of(PICTURE)]},
        {"name": "text", "shape": [3], "datatype": "BYTES", "data": TEXTS},
    ]
}
BINARY = {"parameters": {"binary_data_output": True}}


@pytest.fixture
def rollout(tmp_path: Path) -> Path:
    directory = tmp_path / "rollout"
    directory.mkdir()
    return directory


@pytest.fixture
def start_mirror(start_fake: Start, rollout: Path) -> Start:
    """Starts servers that may send copies to this machine."""

    def start(**options: object) -> ServerProcess:
        return start_fake(**{"MMM_ROLLOUT_DIR": rollout, "MMM_MIRROR_LOOPBACK": True, **options})

    return start


def point(server: ServerProcess, directory: Path, url: str) -> None:
    """Has copies sent to that address."""
    draft = directory / "draft"
    draft.write_text(json.dumps({"url": url}))
    draft.rename(directory / "mirror.json")
    wait_for(lambda: server.log_line("copies of requests are sent"), SECONDS, "copies are sent")


def results(server: ServerProcess) -> dict[str, int]:
    """What became of the copies that the server made."""
    text = PROBE.get(f"{server.operations_url}/metrics").text
    found = re.findall(r'^mmm_mirror_total\{result="(\w+)"\} (\S+)$', text, re.MULTILINE)
    return {result: int(float(number)) for result, number in found}


def answered(server: ServerProcess) -> int:
    """The inference requests that the server answered, as a canary's gates count them."""
    return parse_counters(PROBE.get(f"{server.operations_url}/metrics").content).requests


def copies_answered(server: ServerProcess) -> int:
    """The copies that the server answered."""
    return int(server.metric("mmm_mirrored_requests_total"))


def all_counted(server: ServerProcess, number: int) -> dict[str, int]:
    """The results once there are so many."""
    wait_for(lambda: sum(results(server).values()) >= number, SECONDS, f"{number} copies, but {results(server)}")
    return results(server)


def ask_everything(client: httpx.Client) -> list[httpx.Response]:
    """One request of every kind."""
    files = {"image": ("a.jpg", PICTURE, "image/jpeg")}
    infer = "/v2/models/model/infer"
    return [
        client.post("/predict", json=PREDICT),
        client.post("/predict?labels=a cat,a dog", content=PICTURE, headers={"content-type": "image/jpeg"}),
        client.post("/v1/classify", files=files, data={"labels": "a cat,a dog"}),
        client.post("/v1/embed", json={"images": [base64_of(PICTURE)], "texts": TEXTS}),
        client.post("/v1/similarity", json={"images": [base64_of(PICTURE)], "texts": TEXTS}),
        client.post(infer, json=OIP),
        client.post("/v2/models/model/versions/1/infer", json=OIP),
        client.post(infer, json={**OIP, **BINARY}, headers={"accept-encoding": "gzip"}),
        client.post("/v1/embeddings", json={"model": "model", "input": TEXTS * 20, "encoding_format": "base64"}),
    ]


def test_answers_that_agree_are_counted_in_every_protocol(
    start_fake: Start, start_mirror: Start, rollout: Path
) -> None:
    stable = start_mirror(MMM_MODEL_VERSION=1)
    canary = start_fake(MMM_MODEL_VERSION=2).wait_ready()
    point(stable.wait_ready(), rollout, canary.url)
    before = answered(canary)
    with httpx.Client(base_url=stable.url, timeout=SECONDS) as client:
        answers = ask_everything(client)
    assert {answer.status_code for answer in answers} == {200}, [answer.text[:200] for answer in answers]
    assert {answer.headers["x-model-version"] for answer in answers} == {"1"}
    assert all_counted(stable, len(answers)) == {"same": len(answers), "different": 0, "failed": 0, "dropped": 0}
    wait_for(lambda: copies_answered(canary) >= len(answers), SECONDS, "the copies count where they arrive")
    assert (copies_answered(canary), answered(canary)) == (len(answers), before), "a copy is none of its own requests"


def test_another_model_is_seen(start_fake: Start, start_mirror: Start, rollout: Path) -> None:
    stable, canary = start_mirror(), start_fake(salt="another").wait_ready()
    point(stable.wait_ready(), rollout, canary.url)
    with httpx.Client(base_url=stable.url, timeout=SECONDS) as client:
        for _ in range(3):
            assert client.post("/predict", json=PREDICT).status_code == 200
        assert client.post("/v1/embed", json={"images": [base64_of(PICTURE)]}).status_code == 200
    assert all_counted(stable, 4) == {"same": 1, "different": 3, "failed": 0, "dropped": 0}


def test_a_copy_is_not_copied_again(start_mirror: Start, tmp_path: Path) -> None:
    directories = [tmp_path / name for name in ("one", "two")]
    for directory in directories:
        directory.mkdir()
    servers = [start_mirror(MMM_ROLLOUT_DIR=directory) for directory in directories]
    for server, directory, other in zip(servers, directories, reversed(servers), strict=True):
        point(server.wait_ready(), directory, other.url)
    before = [answered(server) for server in servers]
    assert httpx.post(f"{servers[0].url}/predict", json=PREDICT, timeout=SECONDS).status_code == 200
    assert all_counted(servers[0], 1)["same"] == 1
    assert [answered(server) - earlier for server, earlier in zip(servers, before, strict=True)] == [1, 0]
    assert [copies_answered(server) for server in servers] == [0, 1]
    assert sum(results(servers[1]).values()) == 0


def test_without_the_file_nothing_is_copied_and_with_it_taken_away_no_more(
    start_fake: Start, start_mirror: Start, rollout: Path
) -> None:
    stable, canary = start_mirror().wait_ready(), start_fake().wait_ready()
    with httpx.Client(base_url=stable.url, timeout=SECONDS) as client:
        assert client.post("/predict", json=PREDICT).status_code == 200
        point(stable, rollout, canary.url)
        assert client.post("/predict", json=PREDICT).status_code == 200
        assert all_counted(stable, 1)["same"] == 1
        (rollout / "mirror.json").unlink()
        wait_for(lambda: stable.log_line("copies of requests are sent no more"), SECONDS, "no more")
        assert client.post("/predict", json=PREDICT).status_code == 200
    assert sum(results(stable).values()) == 1


def test_what_was_refused_is_not_copied(start_fake: Start, start_mirror: Start, rollout: Path) -> None:
    stable, canary = start_mirror().wait_ready(), start_fake().wait_ready()
    point(stable, rollout, canary.url)
    with httpx.Client(base_url=stable.url, timeout=SECONDS) as client:
        assert client.post("/predict", json={"image": "no picture", "labels": TEXTS}).status_code >= 400
        assert client.post("/predict", json=PREDICT).status_code == 200
    assert all_counted(stable, 1) == {"same": 1, "different": 0, "failed": 0, "dropped": 0}


@pytest.mark.parametrize("host", ["attacker.example", "10.98.76.54:8080", "127.0.0.1:9"])
def test_an_address_that_is_no_service_is_refused(start_fake: Start, rollout: Path, host: str) -> None:
    (rollout / "mirror.json").write_text(json.dumps({"url": f"http://{host}"}))
    stable = start_fake(MMM_ROLLOUT_DIR=rollout).wait_ready()
    wait_for(lambda: "mirror.json" in stable.log_path.read_text(), SECONDS, "a complaint")
    assert httpx.post(f"{stable.url}/predict", json=PREDICT, timeout=SECONDS).status_code == 200
    assert sum(results(stable).values()) == 0
    assert host not in stable.log_path.read_text()


@pytest.fixture
def mute() -> Iterator[str]:
    """The address of somebody who accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def flood(url: str, clients: int, requests: int) -> list[int]:
    """The status codes of many clients' requests."""
    async with httpx.AsyncClient(base_url=url, timeout=SECONDS) as client:

        async def one() -> list[int]:
            return [(await client.post("/predict", json=PREDICT)).status_code for _ in range(requests)]

        rows = await asyncio.gather(*(one() for _ in range(clients)))
    return [code for row in rows for code in row]


async def test_a_server_with_requests_of_its_own_answers_no_copies_and_counts_none(start_fake: Start) -> None:
    """Whoever is refused a copy learns it from 429; whoever asks the server itself never does."""
    server = start_fake(delay_seconds=0.5, MMM_MAX_BATCH_SIZE=1).wait_ready()
    mark = {"x-mirrored": "true"}
    async with httpx.AsyncClient(base_url=server.url, timeout=SECONDS) as client:
        own = [asyncio.create_task(client.post("/predict", json=PREDICT)) for _ in range(4)]
        await asyncio.wait(own, return_when=asyncio.FIRST_COMPLETED)
        refused = await client.post("/predict", json=PREDICT, headers=mark)
        codes = [answer.status_code for answer in await asyncio.gather(*own)]
        taken = await client.post("/predict", json=PREDICT, headers=mark)
    assert (codes, refused.status_code, taken.status_code) == ([200] * 4, 429, 200)
    metrics = PROBE.get(f"{server.operations_url}/metrics").text
    assert 'mmm_mirrored_requests_total{code="429",route="/predict"} 1.0' in metrics
    assert 'mmm_rejected_total{reason="overloaded"} 0.0' in metrics
    assert answered(server) == 4


@pytest.fixture
def held() -> Iterator[socket.socket]:
    """A socket that never listens: while a port is bound to it nobody else comes to answer there."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # also where connections have just ended
        yield held


@pytest.mark.parametrize("kind", ["dead", "mute", "slow", "killed", "failing"])
async def test_whatever_the_other_version_does_every_request_is_answered(
    start_fake: Start, start_mirror: Start, rollout: Path, mute: str, held: socket.socket, kind: str
) -> None:
    stable = start_mirror().wait_ready()
    faults: dict[str, dict[str, object]] = {"slow": {"delay_seconds": 0.5}, "failing": {"poison": TEXTS[0]}}
    canary = start_fake(**faults.get(kind, {}), MMM_MAX_BATCH_SIZE=1).wait_ready()
    if kind == "dead":
        held.bind(("127.0.0.1", 0))
    nobody = f"http://127.0.0.1:{held.getsockname()[1]}"
    point(stable, rollout, {"dead": nobody, "mute": mute}.get(kind, canary.url))
    if kind == "killed":
        port = canary.ports()[0]
        canary.signal(signal.SIGKILL)
        canary.wait_exit()
        held.bind(("127.0.0.1", port))
    codes = await flood(stable.url, clients=16, requests=25)
    assert codes == [200] * 400
    found = results(stable)
    assert found["different"] == 0
    if kind != "slow":
        assert found["same"] == 0
    if kind in ("dead", "killed", "failing"):
        wait_for(lambda: results(stable)["failed"] >= 1, SECONDS, "failed")
    if kind != "failing":  # it answers as fast as it is asked
        wait_for(lambda: results(stable)["dropped"] >= 1, SECONDS, "dropped")
    assert stable.child.poll() is None
    assert stable.status()["state"] == "READY"


def test_a_server_that_sends_copies_ends_in_time(start_mirror: Start, rollout: Path, mute: str) -> None:
    stable = start_mirror().wait_ready()
    point(stable, rollout, mute)
    assert httpx.post(f"{stable.url}/predict", json=PREDICT, timeout=SECONDS).status_code == 200
    stable.signal()
    assert stable.wait_exit(10) == 0
