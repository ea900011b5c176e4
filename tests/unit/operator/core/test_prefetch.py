"""With a claim a Job brings the bytes first: before that no pod of the target is made, and none that serves goes."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given

from mmm_operator import names
from mmm_operator.api.status import FetchStatus, Status
from mmm_operator.planner import PROGRESS_SECONDS, plan
from mmm_operator.prefetch import fetch_id
from mmm_operator.snapshot import FetchReport, Manifest, Ref, Snapshot, pod_revision
from tests.unit.operator.core.build import (
    BORN,
    NOW,
    SETTINGS,
    Draft,
    digest_of,
    exited,
    last_words,
    make_deployment,
    make_mmm,
    make_snapshot,
    serving_pods,
)
from tests.unit.operator.core.children import shared_claim
from tests.unit.operator.core.cluster import Cluster
from tests.unit.operator.core.stored import as_stored
from tests.unit.operator.core.test_convergence import (
    KUBERNETES,
    OPERATOR,
    PEOPLE,
    TROUBLE,
    Action,
    actions,
    play,
)
from tests.unit.operator.core.test_suspend import SWITCHES
from tests.unit.operator.examples import examples

CLAIM = {"type": "PersistentVolumeClaim", "claimTemplate": {"size": "1Gi"}}
CLIP = make_mmm().replicas(2).having(cache=CLAIM)
STORAGE: list[Action] = [("store", up) for up in (0, 1)]


def on(mode: str, **more: Any) -> Draft:
    return CLIP.having(cache={**CLAIM, "claimTemplate": {"size": "1Gi", "accessMode": mode}, **more})


OWN = CLIP.having(cache={"type": "PersistentVolumeClaim", "claimName": "shared", "claimTemplate": None})


def job_of(draft: Draft, status: Manifest | None = None, **fields: Any) -> Manifest:
    """The stored Job that the first plan for `draft` makes."""
    made = made_by(make_snapshot(draft, **fields))["Job"]
    return {**as_stored(made, None), "status": status or {}}


def made_by(snapshot: Snapshot) -> dict[str, Manifest]:
    return {step.manifest["kind"]: step.manifest for step in plan(snapshot, SETTINGS, NOW).apply}


def fetcher(job: Manifest, state: Manifest, name: str = "clip-fetch-pod", ip: str = "10.0.0.9") -> Manifest:
    """A pod of the Job, whose one container is in this state."""
    template = job["spec"]["template"]
    labels = {**template["metadata"]["labels"], "batch.kubernetes.io/job-name": job["metadata"]["name"]}
    meta = {**template["metadata"], "labels": labels, "name": name, "namespace": "shop", "uid": f"uid-{name}"}
    meta["creationTimestamp"] = BORN
    status = {"phase": "Running", "podIP": ip, "conditions": [{"type": "PodScheduled", "status": "True"}]}
    container = {"name": names.CONTAINER_FETCHER, "state": state, "lastState": {}, "ready": "running" in state}
    return {"metadata": meta, "spec": template["spec"], "status": {**status, "containerStatuses": [container]}}


RUNNING: Manifest = {"running": {"startedAt": BORN}}


def environment(job: Manifest) -> dict[str, str]:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return {item["name"]: item["value"] for item in container["env"] if "value" in item}


# What comes first


def test_no_deployment_before_the_job_is_done() -> None:
    cluster = Cluster(CLIP, storage=False)
    cluster.round()
    assert {ref.kind for ref in cluster.children} == {"PersistentVolumeClaim", "Service", "PodDisruptionBudget", "Job"}
    assert cluster.says("Ready") == ("False", "Downloading")
    assert cluster.says("ModelCached") == ("False", "Downloading")
    assert cluster.says("Progressing") == ("True", "Downloading")
    cluster.storage = True
    cluster.settle()
    assert cluster.serving() == 2
    assert cluster.says("ModelCached") == ("True", "Cached")


def test_what_serves_is_not_touched_while_the_next_version_is_on_its_way() -> None:
    cluster = Cluster(CLIP)
    cluster.settle()
    before = {pod.name for pod in cluster.pods}
    cluster.storage = False
    cluster.version("2")
    for _ in range(5):
        cluster.round()
        cluster.deadline()
    assert {pod.name for pod in cluster.pods} == before
    assert len(cluster.deployments()) == 1
    assert cluster.says("Available") == ("True", "Serving")
    assert cluster.says("Stalled") == ("True", "ProgressDeadlineExceeded")
    cluster.crash(0)
    cluster.replicas(3)
    cluster.settle()
    assert cluster.serving() == 3, "what serves is healed and resized meanwhile"
    cluster.storage = True
    cluster.settle()
    assert {pod.version for pod in cluster.pods} == {"2"}
    assert [ref.name for ref in cluster.children if ref.kind == "Job"] == [
        job_of(CLIP.version("2"))["metadata"]["name"]
    ]


def test_coming_back_fetches_again_since_the_version_may_be_gone_from_the_volume() -> None:
    cluster = Cluster(CLIP)
    cluster.settle()
    cluster.version("2")
    cluster.settle()
    cluster.storage = False
    cluster.version("1")
    cluster.round()
    assert cluster.says("Ready") == ("False", "Downloading")
    assert {pod.version for pod in cluster.living()} == {"2"}
    cluster.storage = True
    cluster.settle()
    assert {pod.version for pod in cluster.pods} == {"1"}


def test_a_version_that_is_asked_for_no_more_is_fetched_no_more() -> None:
    cluster = Cluster(CLIP, storage=False)
    cluster.round()
    cluster.version("2")
    cluster.round()
    assert [environment(job)["MMM_MODEL_VERSION"] for job in jobs(cluster)] == ["2"]
    cluster.suspend(1)
    cluster.round()
    assert jobs(cluster) == []


def jobs(cluster: Cluster) -> list[Manifest]:
    return [item for ref, item in cluster.children.items() if ref.kind == "Job"]


def test_what_began_before_there_were_jobs_goes_on_without_one() -> None:
    found = plan(make_snapshot(CLIP, [make_deployment(CLIP, 2)], serving_pods(CLIP, 2)), SETTINGS, NOW)
    assert "Job" not in {step.manifest["kind"] for step in found.apply}


def test_a_job_that_gave_up_makes_room_for_another() -> None:
    failed = job_of(CLIP, {"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]})
    found = plan(make_snapshot(CLIP, [failed]), SETTINGS, NOW)
    assert [delete.ref for delete in found.delete] == [Ref.of(failed)]


def test_a_job_on_its_way_out_is_neither_done_nor_deleted_twice() -> None:
    leaving = job_of(CLIP, {"conditions": [{"type": "Complete", "status": "True"}]})
    leaving["metadata"]["deletionTimestamp"] = BORN
    found = plan(make_snapshot(CLIP, [leaving]), SETTINGS, NOW)
    assert found.delete == ()
    assert "Deployment" not in {step.manifest["kind"] for step in found.apply}


@examples(60)
@given(actions(OPERATOR, KUBERNETES, OPERATOR, KUBERNETES, PEOPLE, TROUBLE, SWITCHES, STORAGE))
def test_any_world_on_a_claim_keeps_the_promises_and_comes_to_rest(script: list[Action]) -> None:
    cluster = Cluster(CLIP)
    play(cluster, script)
    cluster.storage = True
    cluster.suspend(0)
    cluster.pause(0)
    cluster.version("1")
    cluster.settle()
    assert {pod.version for pod in cluster.pods} <= {"1"}
    assert cluster.serving() == cluster.draft.build().spec.replicas


def test_what_was_at_zero_when_the_target_changed_stays_there() -> None:
    cluster = Cluster(CLIP)
    cluster.settle()
    cluster.suspend(1)
    cluster.settle()
    cluster.storage = False
    cluster.version("2")
    cluster.suspend(0)
    for _ in range(5):
        cluster.round()
    assert cluster.pods == [], "they would take the devices that the target needs"
    cluster.storage = True
    cluster.settle()
    assert {pod.version for pod in cluster.pods} == {"2"}


def test_a_container_that_others_put_into_the_pod_keeps_nobody_waiting() -> None:
    job = job_of(CLIP)
    done = fetcher(job, exited(0, reason="Completed"))
    proxy = {"name": "proxy", "state": RUNNING, "lastState": {}, "ready": True}
    done["status"]["containerStatuses"].append(proxy)
    found = plan(make_snapshot(CLIP, [job], fetchers=(done,)), SETTINGS, NOW)
    assert "Deployment" in {step.manifest["kind"] for step in found.apply}


# What the Job is


def test_the_name_stands_for_what_is_fetched_and_how() -> None:
    def name(draft: Draft) -> str:
        return fetch_id(draft.build().spec, draft.revision())

    same = [CLIP.replicas(7), CLIP.having(runtime={"dtype": "float16"}), CLIP.having(rollout={"minReadySeconds": 9})]
    assert {name(draft) for draft in same} == {name(CLIP)}
    others = [
        CLIP.version("2"),
        CLIP.having(storage={"credentialsSecretRef": {"name": "new"}}),
        CLIP.having(runtime={"image": "registry/own:2"}),
        CLIP.having(serviceAccountName="models"),
        CLIP.having(podTemplate={"spec": {"nodeSelector": {"zone": "a"}}}),
        CLIP.having(podTemplate={"metadata": {"annotations": {"sidecar.example/inject": "false"}}}),
        CLIP.having(runtime={"imagePullPolicy": "Never"}),
        CLIP.on_gpu(1),
        OWN,
    ]
    assert len({name(draft) for draft in (CLIP, *others)}) == 1 + len(others)


def test_no_service_budget_or_autoscaler_counts_its_pods() -> None:
    labels = job_of(CLIP)["spec"]["template"]["metadata"]["labels"]
    assert not names.pod_selector("clip").items() <= labels.items()
    assert labels[names.LABEL_MODEL] == "clip"


def test_it_keeps_what_runs_and_as_many_versions_as_are_asked_for() -> None:
    serving = make_deployment(CLIP, 2)
    now = CLIP.version("2")
    found = environment(job_of(now, children=[serving], pods=serving_pods(CLIP, 2)))
    assert (found["MMM_RETAIN_VERSIONS"], found["MMM_KEEP_DIGESTS"]) == ("2", digest_of("1"))
    more = now.having(cache={"retainVersions": 5})
    assert environment(job_of(more))["MMM_RETAIN_VERSIONS"] == "5"
    assert "MMM_RETAIN_VERSIONS" not in environment(job_of(OWN)), "what else lies there may belong to others"


def test_it_runs_where_the_overlay_lets_pods_run() -> None:
    overlay = {
        "metadata": {"labels": {"team": "vision"}},
        "spec": {
            "nodeSelector": {"disk": "fast"},
            "tolerations": [{"key": "spot", "operator": "Exists"}],
            "initContainers": [
                {"name": "proxy", "image": "registry/proxy:1", "restartPolicy": "Always"},
                {"name": "model-fetcher", "volumeMounts": [{"name": "ca", "mountPath": "/ca"}]},
            ],
            "containers": [{"name": "logs", "image": "registry/logs:1"}],
            "volumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        },
    }
    template = job_of(CLIP.having(podTemplate=overlay))["spec"]["template"]
    spec = template["spec"]
    assert template["metadata"]["labels"]["team"] == "vision"
    assert spec["nodeSelector"] == {"disk": "fast"}
    assert {"key": "spot", "operator": "Exists"} in spec["tolerations"]
    assert [item["name"] for item in spec["initContainers"]] == ["proxy"]
    assert [item["name"] for item in spec["containers"]] == ["model-fetcher"]
    assert {"name": "ca", "mountPath": "/ca"} in spec["containers"][0]["volumeMounts"]
    assert "nvidia.com/gpu" not in str(job_of(CLIP.on_gpu(1))["spec"]["template"]["spec"]["containers"])


# How the claim can be mounted


def together(template: Manifest) -> list[Manifest]:
    affinity = template["spec"].get("affinity", {}).get("podAffinity", {})
    found: list[Manifest] = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", [])
    return found


def test_another_volume_binds_nobody_to_the_node_of_the_old_one() -> None:
    def volume(draft: Draft, claim: str) -> str:
        template = job_of(draft.having(cache={"claimName": claim}), claim=shared_claim("ReadWriteOnce"))["spec"][
            "template"
        ]
        (term,) = together(template)
        assert term["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        return str(term["labelSelector"]["matchLabels"])

    assert volume(OWN, "a") == volume(OWN.version("2"), "a") != volume(OWN, "b")


def test_where_one_node_has_all_pods_its_drain_is_not_blocked() -> None:
    assert "PodDisruptionBudget" in made_by(make_snapshot(on("ReadWriteMany")))
    assert "PodDisruptionBudget" not in made_by(make_snapshot(on("ReadWriteOnce")))


@pytest.mark.parametrize(("mode", "one_node"), [("ReadWriteOnce", True), ("ReadWriteMany", False)])
def test_what_one_node_can_mount_is_used_on_one_node(mode: str, one_node: bool) -> None:
    cluster = Cluster(on(mode))
    cluster.settle()
    templates = [cluster.deployments()[0]["spec"]["template"], jobs(cluster)[0]["spec"]["template"]]
    for template in templates:
        assert bool(together(template)) is one_node
        labels = template["metadata"]["labels"].items()
        assert all(term["labelSelector"]["matchLabels"].items() <= labels for term in together(template))
    assert ("the node that has it" in cluster.condition("ModelCached").message) is one_node


def test_an_affinity_of_the_users_stays_beside_ours() -> None:
    theirs = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "db"}}}
    wish = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [theirs]}}
    draft = on("ReadWriteOnce").having(podTemplate={"spec": {"affinity": wish}})
    assert len(together(job_of(draft)["spec"]["template"])) == 2


@pytest.mark.parametrize(
    ("modes", "made", "one_node"),
    [
        (["ReadWriteMany"], "Job", False),
        (["ReadWriteOnce"], "Job", True),
        (["ReadWriteOncePod"], "Deployment", False),
        (["ReadOnlyMany"], "Deployment", False),
        (["ReadOnlyMany", "ReadWriteMany"], "Job", False),
        (["ReadOnlyMany", "ReadWriteOnce"], "Job", True),
    ],
)
def test_a_claim_of_the_users_is_used_as_it_can_be(modes: list[str], made: str, one_node: bool) -> None:
    found = made_by(make_snapshot(OWN, claim=shared_claim(*modes)))
    assert {"Job", "Deployment"} & found.keys() == {made}
    assert bool(together(found[made]["spec"]["template"])) is one_node
    assert "PersistentVolumeClaim" not in found


# What is said meanwhile


def held(state: Manifest, **fields: Any) -> Snapshot:
    job = job_of(CLIP)
    return make_snapshot(CLIP, [job], fetchers=(fetcher(job, state),), **fields)


def status_of(snapshot: Snapshot) -> Status:
    return plan(snapshot, SETTINGS, NOW).status or snapshot.status


def says(status: Status, kind: str) -> tuple[str, str]:
    found = next(item for item in status.conditions if item.type == kind)
    return found.status, found.reason


def test_the_reason_stays_while_it_is_tried_again() -> None:
    job = job_of(CLIP)
    trying = fetcher(job, RUNNING)
    trying["status"]["containerStatuses"][0]["lastState"] = last_words("EndpointUnreachable", "no answer", 1)
    status = status_of(make_snapshot(CLIP, [job], fetchers=(trying,)))
    assert says(status, "Ready") == ("False", "EndpointUnreachable")


def test_beginning_anew_is_no_progress() -> None:
    deadline = timedelta(seconds=CLIP.build().spec.rollout.progress_deadline_seconds)
    seen = held(RUNNING, fetches={"clip-fetch-pod": FetchReport(60, 120)})
    status = status_of(seen)
    for minute, report in enumerate(
        [{}, {"clip-fetch-pod": FetchReport(10, 120)}, {"clip-fetch-pod": FetchReport(60, 120)}]
    ):
        again = replace(seen, status=status, fetches=report)
        status = plan(again, SETTINGS, NOW + timedelta(minutes=minute + 1)).status or status
        assert status.fetch == FetchStatus(downloaded_bytes=60, total_bytes=120)
    late = plan(replace(seen, status=status, fetches={}), SETTINGS, NOW + deadline * 1.1).status
    assert late is not None
    assert says(late, "Stalled") == ("True", "ProgressDeadlineExceeded")


@pytest.mark.parametrize("reason", ["AccessDenied", "DigestMismatch", "NoSpace", "UnsafeArtifact"])
def test_what_the_fetcher_says_is_the_reason(reason: str) -> None:
    status = status_of(held(last_words(reason, "because")))
    assert says(status, "Ready") == says(status, "ModelCached") == ("False", reason)
    assert [failure.reason for failure in status.last_failures] == [reason]


def test_a_fetcher_without_a_node_is_a_matter_of_capacity() -> None:
    job = job_of(CLIP)
    waiting = fetcher(job, {"waiting": {"reason": "ContainerCreating"}})
    message = "0/1 nodes are available: 1 Insufficient memory."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    waiting["status"] = {"phase": "Pending", "conditions": [condition]}
    status = status_of(make_snapshot(CLIP, [job], fetchers=(waiting,)))
    assert says(status, "CapacityAvailable") == says(status, "Ready") == ("False", "InsufficientMemory")


def test_a_quota_that_keeps_the_fetcher_out_is_told() -> None:
    job = job_of(CLIP)
    note = 'Error creating: pods "clip-fetch-1-x" is forbidden: exceeded quota: compute, requested: pods=1'
    event = {"metadata": {}, "reason": "FailedCreate", "note": note, "regarding": {"uid": job["metadata"]["uid"]}}
    found = plan(make_snapshot(CLIP, [job], pod_events=(event,)), SETTINGS, NOW)
    assert found.status is not None
    assert says(found.status, "Ready") == ("False", "QuotaExceeded")
    assert found.requeue_after is not None, "nothing will announce that there is room again"
    healed = status_of(make_snapshot(CLIP, [job], fetchers=(fetcher(job, RUNNING),), pod_events=(event,)))
    assert says(healed, "Ready") == ("False", "Downloading")


def test_how_far_it_is_stands_in_the_status() -> None:
    seen = held(RUNNING, fetches={"clip-fetch-pod": FetchReport(30, 120)})
    found = plan(seen, SETTINGS, NOW)
    assert found.status is not None
    assert found.status.fetch == FetchStatus(downloaded_bytes=30, total_bytes=120)
    assert found.status.rollout.summary == "Fetching 25%"
    assert found.requeue_after == PROGRESS_SECONDS
    assert plan(replace(seen, status=found.status), SETTINGS, NOW + timedelta(seconds=5)).status is None
    done = replace(held(exited(0, reason="Completed")), status=found.status)
    assert status_of(done).fetch is None


def test_bytes_that_arrive_are_progress() -> None:
    deadline = timedelta(seconds=CLIP.build().spec.rollout.progress_deadline_seconds)
    seen = held(RUNNING, fetches={"clip-fetch-pod": FetchReport(30, 120)})
    status = status_of(seen)
    late = NOW + deadline * 0.9
    more = replace(seen, status=status, fetches={"clip-fetch-pod": FetchReport(40, 120)})
    moved = plan(more, SETTINGS, late).status
    assert moved is not None
    assert says(moved, "Stalled")[0] == "False"
    after = plan(replace(more, status=moved), SETTINGS, NOW + deadline * 1.1).status or moved
    assert says(after, "Stalled")[0] == "False", "the last bytes are younger than the deadline"
    stuck = plan(replace(more, status=moved), SETTINGS, late + deadline * 1.1).status
    assert stuck is not None
    assert says(stuck, "Stalled") == ("True", "ProgressDeadlineExceeded")


def test_the_pods_of_a_job_are_no_pods_of_a_revision() -> None:
    seen = held(RUNNING)
    assert pod_revision(seen.fetchers[0]) == ""
    status = status_of(seen)
    assert (status.replicas, status.ready_replicas, status.ready_summary) == (0, 0, "0/2")
