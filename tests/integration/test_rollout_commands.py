"""`mmm rollout` against a real API server: what it reads, what it writes, and what it says when it may not."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from typer.testing import CliRunner, Result

from dev.localcluster import LocalCluster
from mmm_cli.app import app
from mmm_cli.kube import Access, Conflict, refusal
from mmm_cli.rollout.change import Change
from mmm_cli.rollout.commands import write
from mmm_operator import names
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.snapshot import Manifest
from tests.integration.objects import Objects, eventually, new_namespace

pytestmark = pytest.mark.integration

ONE, TWO = "1" * 8, "2" * 8
AT = "2026-01-01T00:00:00Z"

Mmm = Callable[..., Result]


@pytest.fixture(scope="module")
def shop(api: httpx.Client) -> Iterator[Objects]:
    with new_namespace(api, {}) as objects:
        yield objects


@pytest.fixture
def clip(shop: Objects) -> Iterator[Objects]:
    """A namespace in which `clip` goes from version 1 to version 2."""
    model = {"uri": "s3://models/clip", "version": "2"}
    spec = {"model": model, "replicas": 3}
    meta = {"name": "clip"}
    shop.create({"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": meta, "spec": spec})
    report(shop, "RollingOut")
    yield shop
    shop.delete(names.KIND, "clip")


def report(shop: Objects, reason: str, **conditions: str) -> None:
    """Says of `clip`, in the operator's place, how it is."""
    told = {"Ready": "False", **conditions}
    listed = [
        {"type": kind, "status": status, "reason": reason, "message": f"{kind} is {status}", "lastTransitionTime": AT}
        for kind, status in told.items()
    ]
    states = {"current": state("1", ONE), "target": state("2", TWO)}
    revisions = [
        {"revision": id_, "version": version, "shortDigest": version * 12, "state": word, "replicas": 3, "ready": 1}
        for id_, version, word in ((TWO, "2", "Target"), (ONE, "1", "Serving"))
    ]
    status = {
        "observedGeneration": shop.mmm()["metadata"]["generation"],
        "conditions": listed,
        "model": states,
        "revisions": [{**item, "createdAt": AT} for item in revisions],
        "readySummary": "3/3",
        "rollout": {"summary": "1/3", "updated": 1, "total": 3},
    }
    shop.patch(names.KIND, "clip", {"status": status}, "status")


def state(version: str, revision: str) -> Manifest:
    digest = f"sha256:{version * 64}"
    return {"version": version, "digest": digest, "shortDigest": version * 12, "revision": revision, "since": AT}


@pytest.fixture
def mmm(cluster: LocalCluster, shop: Objects) -> Mmm:
    """Runs `mmm rollout …` in the namespace."""

    def run(*arguments: str, namespace: str = "") -> Result:
        where = ["--kubeconfig", str(cluster.kubeconfig), "-n", namespace or shop.namespace]
        return CliRunner().invoke(app, ["rollout", *arguments, *where])

    return run


def test_what_serves_and_what_shall_are_told(clip: Objects, mmm: Mmm) -> None:
    told = mmm("status", "clip")
    assert told.exit_code == 0
    lines = {line.split("  ")[0]: line for line in told.stdout.splitlines()}
    assert f"version 1 (111111111111), revision {ONE}" in lines["serves"]
    assert f"version 2 (222222222222), revision {TWO}" in lines["target"]
    assert json.loads(mmm("status", "clip", "-o", "json").stdout)["status"]["rollout"]["updated"] == 1


def test_revisions_are_listed(clip: Objects, mmm: Mmm) -> None:
    lines = [line.split() for line in mmm("history", "clip").stdout.splitlines()]
    assert lines[0] == ["REVISION", "VERSION", "DIGEST", "STATE", "READY", "CREATED"]
    assert [line[:2] for line in lines[1:]] == [[TWO, "2"], [ONE, "1"]]
    assert yaml.safe_load(mmm("history", "clip", "-o", "yaml").stdout)[1]["state"] == "Serving"


def test_an_undo_writes_the_version_and_nothing_else(clip: Objects, mmm: Mmm) -> None:
    before = clip.mmm()["spec"]
    told = mmm("undo", "clip")
    assert told.stdout == "clip goes back from version 2 to version 1\n"
    assert "Write the version into your file too" in " ".join(told.stderr.split())
    after = clip.mmm()["spec"]
    assert after == {**before, "model": {**before["model"], "version": "1"}}
    assert "mmm" in {item["manager"] for item in clip.mmm()["metadata"]["managedFields"]}
    assert mmm("undo", "clip", "--to-revision", TWO).exit_code == 0
    assert clip.mmm()["spec"] == before


def test_a_promotion_names_the_revision_that_shall_serve(clip: Objects, mmm: Mmm) -> None:
    assert mmm("promote", "clip").stdout == f"clip promotes version 2, revision {TWO}\n"
    assert clip.mmm()["spec"]["rollout"]["promote"] == TWO


def test_a_pause_leaves_no_trace_once_it_is_over(clip: Objects, mmm: Mmm) -> None:
    before = clip.mmm()["spec"]
    assert mmm("pause", "clip").stdout == "clip is paused\n"
    assert clip.mmm()["spec"]["rollout"]["paused"] is True
    assert mmm("pause", "clip").stdout == "clip is paused already\n"
    assert mmm("resume", "clip").stdout == "clip goes on\n"
    # The API server has filled the default in again.
    assert clip.mmm()["spec"].get("rollout", {}).get("paused", False) is False
    assert clip.mmm()["spec"]["model"] == before["model"]


@pytest.mark.parametrize(
    ("reason", "conditions", "code"),
    [("Ready", {"Ready": "True"}, 0), ("ModelLoadFailed", {"Stalled": "True"}, 1)],
)
def test_a_watch_ends_when_it_serves_or_has_failed(
    clip: Objects, mmm: Mmm, reason: str, conditions: dict[str, str], code: int
) -> None:
    told = list[Result]()
    watch = threading.Thread(target=lambda: told.append(mmm("status", "clip", "-w")))
    watch.start()
    report(clip, reason, **conditions)
    watch.join(timeout=20)
    assert [result.exit_code for result in told] == [code]
    assert told[0].stdout.startswith(f"state    {reason}")


def test_a_watch_ends_with_its_time(clip: Objects, mmm: Mmm) -> None:
    told = mmm("status", "clip", "-w", "--timeout", "0")
    assert told.exit_code == 1
    assert "1/3  RollingOut: Ready is False" in told.stderr


def test_what_others_changed_meanwhile_is_looked_at_again(clip: Objects, cluster: LocalCluster) -> None:
    looks = list[int]()

    def decide(found: MultimodalModel) -> Change:
        looks.append(found.spec.replicas)
        if len(looks) == 1:
            clip.patch(names.KIND, "clip", {"spec": {"replicas": 5}})
        return Change({"replicas": found.spec.replicas + 1}, "grows")

    asyncio.run(write(Access(clip.namespace, None, cluster.kubeconfig), "clip", decide))
    assert (looks, clip.mmm()["spec"]["replicas"]) == ([3, 5], 6)


def test_what_changes_all_the_time_is_left_alone(clip: Objects, cluster: LocalCluster) -> None:
    def decide(found: MultimodalModel) -> Change:
        clip.patch(names.KIND, "clip", {"spec": {"replicas": found.spec.replicas + 1}})
        return Change({"replicas": 0}, "shrinks")

    with pytest.raises(Conflict, match=r"somebody else changes .*/clip at the same time: run it again"):
        asyncio.run(write(Access(clip.namespace, None, cluster.kubeconfig), "clip", decide))
    assert clip.mmm()["spec"]["replicas"] == 5


def test_what_the_api_server_refuses_is_told_in_its_words(clip: Objects, mmm: Mmm) -> None:
    told = mmm("undo", "clip", "--to-version", "no/version")
    assert told.exit_code == 1
    assert "Refused: " in told.stderr
    assert "spec.model.version" in told.stderr


def test_an_object_that_is_not_there_is_named(clip: Objects, mmm: Mmm) -> None:
    assert f"NotFound: there is no MultimodalModel {clip.namespace}/clop" in mmm("status", "clop").stderr
    assert "NotFound: there is no MultimodalModel nowhere/clip" in mmm("status", "clip", namespace="nowhere").stderr


def test_a_cluster_without_the_operator_is_told_from_one_without_the_object(api: httpx.Client) -> None:
    for path in (f"/apis/{names.GROUP}/v9/namespaces/default/{names.PLURAL}/clip", "/apis/no.such.group/v1/x"):
        answer = api.get(path)
        assert refusal(answer.status_code, answer.content, "default/clip").reason == "NotInstalled"


def kubeconfig(known: LocalCluster, file: Path, **changes: Any) -> Path:
    """The cluster's kubeconfig, with other parts of its one cluster, user or context."""
    config = json.loads(known.kubeconfig.read_text())
    for part, value in changes.items():
        config[f"{part}s"][0][part] = {**config[f"{part}s"][0][part], **value} if part != "user" else value
    file.write_text(json.dumps(config))
    return file


def failure(file: Path, *options: str) -> str:
    result = CliRunner().invoke(app, ["rollout", "status", "clip", "--kubeconfig", str(file), *options])
    assert result.exit_code == 1
    return " ".join(result.stderr.split())


def test_who_may_not_or_is_not_known_is_told_so(clip: Objects, cluster: LocalCluster, tmp_path: Path) -> None:
    account = f"/api/v1/namespaces/{clip.namespace}/serviceaccounts/default"
    eventually(lambda: clip.api.get(account).is_success)
    token = clip.api.post(f"{account}/token", json={}).json()["status"]["token"]
    stranger = kubeconfig(cluster, tmp_path / "stranger", user={"token": token})
    assert "Forbidden: " in failure(stranger, "-n", clip.namespace)
    assert "cannot get resource" in failure(stranger, "-n", clip.namespace)
    unknown = kubeconfig(cluster, tmp_path / "unknown", user={"token": "wrong"})
    assert "Unauthorized: the cluster does not know you" in failure(unknown, "-n", clip.namespace)


def test_the_context_says_which_namespace(clip: Objects, cluster: LocalCluster, tmp_path: Path) -> None:
    file = kubeconfig(cluster, tmp_path / "config", context={"namespace": clip.namespace})
    assert CliRunner().invoke(app, ["rollout", "status", "clip", "--kubeconfig", str(file)]).exit_code == 0
    assert "NoCluster: no cluster to talk to" in failure(file, "--context", "elsewhere")


def test_an_api_server_that_does_not_answer_is_named(clip: Objects, cluster: LocalCluster, tmp_path: Path) -> None:
    file = kubeconfig(cluster, tmp_path / "config", cluster={"server": "https://127.0.0.1:1"})
    assert "NoCluster: the API server at https://127.0.0.1:1 does not answer" in failure(file)
