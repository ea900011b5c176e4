"""A tiny cluster: as much of Kubernetes as a rollout meets, as a value that a test pushes around.

Every part moves only when told to, in whatever order: the operator (`reconcile`), the Deployment controller
(`run_controllers`), the scheduler, the kubelet, and the Deployments' status, which lags behind the pods as it does in
a real cluster. Each reconcile checks what the operator promises for every single step (`Promises`).
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from mmm_operator import names
from mmm_operator.api.conditions import Condition, Reason
from mmm_operator.api.rollout import RolloutType
from mmm_operator.api.status import Status
from mmm_operator.plan import Delete, Plan
from mmm_operator.planner import plan
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Manifest, Ref, Resolution, Snapshot, revision_id
from tests.unit.operator.core.build import (
    NAMESPACE,
    NOW,
    SETTINGS,
    Draft,
    deployment_status,
    digest_of,
    last_words,
    make_snapshot,
)
from tests.unit.operator.core.stored import as_stored, completed

MISSING = "missing"  # a version that is not in the repository
BAD = "bad"  # a version that is there, but whose pods never become ready
# The most rounds that a world of at most four pods needs to come to rest; a round moves every part once.
MOST_ROUNDS = 40


@dataclass
class Pod:
    """One pod: pending (no node) → starting → ready or failed."""

    name: str
    revision: str
    version: str
    template: Manifest
    state: str = "pending"
    terminating: bool = False
    born: str = ""
    told: dict[str, str] = field(default_factory=dict)  # annotations beside those of the template
    changed: str = ""  # when it became ready, or stopped to be
    restarts: int = 0

    @property
    def serves(self) -> bool:
        return self.state == "ready" and not self.terminating

    def turn(self, state: str, moment: str) -> None:
        """Becomes ready or stops to be."""
        if (state == "ready") != (self.state == "ready"):
            self.changed = moment
        self.state = state

    def manifest(self) -> Manifest:
        meta = {**self.template["metadata"], "name": self.name, "uid": f"uid-{self.name}"}
        meta |= {"creationTimestamp": self.born, "namespace": NAMESPACE}
        meta["annotations"] = {**meta.get("annotations", {}), **self.told}
        if self.terminating:
            meta["deletionTimestamp"] = self.born
        return {"metadata": meta, "spec": self.template["spec"], "status": self._status()}

    def _status(self) -> Manifest:
        if self.state == "pending":
            message = "0/1 nodes are available: 1 Insufficient memory."
            condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
            return {"phase": "Pending", "conditions": [condition]}
        ready = "True" if self.state == "ready" else "False"
        states: dict[str, Manifest] = {
            "starting": {"running": {}},
            "ready": {"running": {}},
            "failed": last_words("ModelLoadFailed", "these weights make no model"),
        }
        server = {"name": names.CONTAINER_SERVER, "state": states[self.state], "ready": self.state == "ready"}
        server["restartCount"] = self.restarts
        ready_condition = {"type": "Ready", "status": ready, "lastTransitionTime": self.changed or self.born}
        conditions = [{"type": "PodScheduled", "status": "True"}, ready_condition]
        return {"phase": "Running", "conditions": conditions, "containerStatuses": [server]}


@dataclass
class Cluster:
    """The world of one MultimodalModel; `capacity` is how many pods have room, None for any number.

    Without `storage` no Job can fetch anything.
    """

    draft: Draft
    capacity: int | None = None
    storage: bool = True
    settings: Settings = SETTINGS
    now: datetime = NOW
    status: Manifest = field(default_factory=dict)
    children: dict[Ref, Manifest] = field(default_factory=dict)
    pods: list[Pod] = field(default_factory=list)
    ever_ready: set[str] = field(default_factory=set)
    born: int = 0

    # What people do

    def version(self, version: str) -> None:
        self._edit(self.draft.version(version))

    def replicas(self, replicas: int) -> None:
        self._edit(self.draft.replicas(replicas))

    def suspend(self, suspend: int) -> None:
        self._edit(self.draft.having(suspend=bool(suspend)))

    def pause(self, paused: int) -> None:
        self._edit(self.draft.having(rollout={"paused": bool(paused)}))

    def promote(self) -> None:
        """The revision that the status names may go on."""
        target = Status.model_validate(self.status).model.target
        if target is not None:
            self._edit(self.draft.having(rollout={**self.draft.spec["rollout"], "promote": target.revision}))

    def store(self, up: int) -> None:
        """The storage goes away, or comes back."""
        self.storage = bool(up)

    def lose_status(self) -> None:
        self.status = {}

    def _edit(self, draft: Draft) -> None:
        if draft != self.draft:
            self.draft = draft.at_generation(self.draft.generation + 1)

    # What the operator does

    def snapshot(self) -> Snapshot:
        version = self.draft.pinned
        found = Resolution("s3://models/clip", version, digest_of(version))
        if version == MISSING:
            found = replace(found, digest=None, reason=Reason.VERSION_NOT_FOUND, message="no such version")
        return make_snapshot(
            self.draft,
            self.children.values(),
            [pod.manifest() for pod in self.pods],
            resolution=found,
            status=Status.model_validate(self.status),
        )

    def reconcile(self) -> Plan:
        """One look: the plan, which is carried out after its promises were checked."""
        return self.carry_out(plan(self.snapshot(), self.settings, self.now))

    def carry_out(self, decided: Plan) -> Plan:
        """The plan, done."""
        Promises(self, decided).check()
        for step in decided.apply:
            ref = Ref.of(step.manifest)
            live = self.children.get(ref)
            assert step.create == (live is None)
            self.children[ref] = as_stored(step.manifest, live, self._moment())
        for delete in decided.delete:
            self._delete(delete)
        for touch in decided.touch:
            pod = next(pod for pod in self.pods if pod.name == touch["metadata"]["name"])
            pod.told = touch["metadata"]["annotations"]
        if decided.status is not None:
            self.status = decided.status.to_json()
        return decided

    def _delete(self, delete: Delete) -> None:
        gone = self.children.pop(delete.ref)
        assert gone["metadata"]["uid"] == delete.uid
        for pod in self.pods:
            pod.terminating |= delete.ref.kind == "Deployment" and pod.revision == revision_id(gone)

    # What Kubernetes does

    def run_controllers(self) -> None:
        """The Deployment controller makes and takes away pods; it prefers to take those that do not serve.

        Jobs run to their end at once, if the storage is there.
        """
        for ref, job in self.children.items():
            if ref.kind == "Job" and self.storage:
                self.children[ref] = completed(job)
        for deployment in self.deployments():
            living = [pod for pod in self.living() if pod.revision == revision_id(deployment)]
            living.sort(key=lambda pod: (pod.serves, pod.state != "pending"))
            size = deployment["spec"]["replicas"]
            for pod in living[: max(0, len(living) - size)]:
                pod.terminating = True
            for _ in range(size - len(living)):
                self.pods.append(self._new_pod(deployment))

    def schedule(self) -> None:
        """Gives nodes to pending pods while there is room; a terminating pod still holds its place."""
        for pod in self.living():
            held = sum(other.state != "pending" for other in self.pods)
            if pod.state == "pending" and (self.capacity is None or held < self.capacity):
                pod.state = "starting"

    def start(self, number: int) -> None:
        """One of the pods that start or crash becomes ready, unless its version is bad."""
        waiting = [pod for pod in self.living() if pod.state in ("starting", "failed")]
        if waiting:
            pod = waiting[number % len(waiting)]
            pod.turn("failed" if pod.version == BAD else "ready", self._moment())
            self.ever_ready |= {pod.revision} if pod.serves else set()

    def start_all(self) -> None:
        for number in range(len(self.living())):
            self.start(number)

    def crash(self, number: int) -> None:
        """One of the pods that serve stops serving."""
        serving = [pod for pod in self.pods if pod.serves]
        if serving:
            serving[number % len(serving)].turn("failed", self._moment())

    def evict(self, number: int) -> None:
        """One of the pods that serve is deleted by somebody else."""
        serving = [pod for pod in self.pods if pod.serves]
        if serving:
            serving[number % len(serving)].terminating = True

    def reap(self) -> None:
        """Terminating pods are gone."""
        self.pods = [pod for pod in self.pods if not pod.terminating]

    def update_statuses(self) -> None:
        """The Deployments' status catches up with their pods."""
        for ref, deployment in self._deployments():
            living = [pod for pod in self.living() if pod.revision == revision_id(deployment)]
            ready = sum(pod.serves for pod in living)
            old = deployment["status"]
            fresh = deployment_status(len(living), ready, generation=deployment["metadata"]["generation"], stuck=False)
            fresh["conditions"][0].update(_progress(deployment, old, fresh))
            self.children[ref] = {**deployment, "status": fresh}

    def deadline(self) -> None:
        """The progress deadline passes, for everything that makes none."""
        self.now += timedelta(seconds=self.draft.build().spec.rollout.progress_deadline_seconds + 1)
        for ref, deployment in self._deployments():
            verdict = next(iter(deployment["status"].get("conditions", ())), None)
            if verdict is not None and verdict["reason"] == "ReplicaSetUpdated":
                verdict = {**verdict, "status": "False", "reason": "ProgressDeadlineExceeded"}
                self.children[ref] = {**deployment, "status": {**deployment["status"], "conditions": [verdict]}}

    def start_all_and_tell(self) -> None:
        """What is new serves, and everybody knows."""
        self.schedule()
        self.start_all()
        self.reap()
        self.update_statuses()

    # The whole

    def round(self) -> None:
        """Every part moves once."""
        self.reconcile()
        self.run_controllers()
        self.start_all_and_tell()

    def settle(self) -> Plan:
        """Runs until nothing moves any more, deadlines included; the last plan, which must write nothing."""
        for _ in range(3):
            self._rest()
            self.deadline()
        self._rest()
        last = self.reconcile()
        assert last.writes == 0, last.because
        return last

    def _rest(self) -> None:
        for _ in range(MOST_ROUNDS):
            before = self.fingerprint()
            self.round()
            if self.fingerprint() == before:
                return
        raise AssertionError(f"the world does not come to rest: {self.fingerprint()}")

    def fingerprint(self) -> Any:
        """Everything that anybody can see; objects are replaced here and never changed."""
        return self.status, dict(self.children), [vars(pod).copy() for pod in self.pods]

    # What people see

    def deployments(self) -> list[Manifest]:
        return [deployment for _, deployment in self._deployments()]

    def _deployments(self) -> list[tuple[Ref, Manifest]]:
        return [(ref, self.children[ref]) for ref in sorted(self.children) if ref.kind == "Deployment"]

    def sizes(self) -> dict[str, int]:
        """Pods wanted, by revision, of the Deployments that want any."""
        found = {revision_id(item): item["spec"]["replicas"] for item in self.deployments()}
        return {revision: size for revision, size in found.items() if size}

    def living(self) -> list[Pod]:
        return [pod for pod in self.pods if not pod.terminating]

    def serving(self, revision: str = "") -> int:
        return sum(pod.serves and revision in ("", pod.revision) for pod in self.pods)

    def answering(self) -> list[Pod]:
        """The pods that serve and that the Service is for."""
        only = selected(self.children[Ref("v1", "Service", NAMESPACE, self.draft.name)])
        return [pod for pod in self.pods if pod.serves and only in ("", pod.revision)]

    def condition(self, kind: str) -> Condition:
        return next(c for c in Status.model_validate(self.status).conditions if c.type == kind)

    def says(self, kind: str) -> tuple[str, str]:
        """Status and reason of a condition."""
        found = self.condition(kind)
        return found.status, found.reason

    def _new_pod(self, deployment: Manifest) -> Pod:
        self.born += 1
        labels = deployment["metadata"]["labels"]
        return Pod(
            name=f"{deployment['metadata']['name']}-{self.born}",
            revision=revision_id(deployment),
            version=labels[names.LABEL_VERSION],
            template=deployment["spec"]["template"],
            born=self._moment(),
        )

    def _moment(self) -> str:
        return self.now.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Promises:
    """What holds for every single plan, whatever the world looks like."""

    cluster: Cluster
    plan: Plan

    def check(self) -> None:
        self.no_serving_pod_is_taken_away_too_early()
        self.what_served_last_is_not_deleted()
        self.only_what_served_is_called_current()
        self.no_pod_of_a_target_before_its_bytes()
        self.times_move_only_when_conditions_flip()

    def no_serving_pod_is_taken_away_too_early(self) -> None:
        """Afterwards still `wanted` pods get requests and serve, or as many as did before; where there is no room for
        a pod more, no more than `maxUnavailable` are missing.
        """
        services = {ref.name: item for ref, item in self.cluster.children.items() if ref.kind == "Service"}
        planned = (step.manifest for step in self.plan.apply if step.manifest["kind"] == "Service")
        before = self._kept(self._sizes_now(), services)
        services = services | {item["metadata"]["name"]: item for item in planned}
        after = self._kept({**self._sizes_now(), **self._sizes_planned()}, services)
        spec = self.cluster.draft.build().spec
        wanted = 0 if spec.suspend else spec.replicas
        status = self.plan.status or Status.model_validate(self.cluster.status)
        if spec.rollout.type is RolloutType.RECREATE:
            return  # the old pods end first, on purpose
        # What is left of a canary that has failed need not answer.
        if status.rollout.strategy_in_effect == "NoSurge" or (spec.rollout.canary and status.model.failed):
            wanted -= spec.rollout.max_unavailable
        assert after >= min(wanted, before), (
            f"{before} pods served, {after} would, {wanted} wanted: {self.plan.because}"
        )

    def what_served_last_is_not_deleted(self) -> None:
        current = Status.model_validate(self.cluster.status).model.current
        for delete in self.plan.delete:
            gone = self.cluster.children[delete.ref]
            if delete.ref.kind == "Deployment":
                assert gone["spec"]["replicas"] == 0
                assert current is None or revision_id(gone) != current.revision
                assert not any(pod.serves and pod.revision == revision_id(gone) for pod in self.cluster.pods)

    def only_what_served_is_called_current(self) -> None:
        current = self.plan.status.model.current if self.plan.status else None
        assert current is None or current.revision in self.cluster.ever_ready

    def no_pod_of_a_target_before_its_bytes(self) -> None:
        """A revision gets its first pod only when a Job has brought what it serves to the claim."""
        if self.cluster.draft.spec.get("cache", {}).get("type") != "PersistentVolumeClaim":
            return
        jobs = [item for ref, item in self.cluster.children.items() if ref.kind == "Job"]
        fetched = {digest_on(job) for job in jobs if job["status"]}
        before = self.cluster.sizes()
        for step in self.plan.apply:
            if step.manifest["kind"] == "Deployment" and step.manifest["spec"]["replicas"]:
                revision = revision_id(step.manifest)
                assert before.get(revision) or digest_on(step.manifest) in fetched, self.plan.because

    def times_move_only_when_conditions_flip(self) -> None:
        old = {c.type: c for c in Status.model_validate(self.cluster.status).conditions}
        for new in self.plan.status.conditions if self.plan.status else ():
            before = old.get(new.type)
            if before is not None and before.status == new.status:
                assert new.last_transition_time == before.last_transition_time

    def _sizes_now(self) -> dict[str, int]:
        return {revision_id(item): item["spec"]["replicas"] for item in self.cluster.deployments()}

    def _sizes_planned(self) -> dict[str, int]:
        applied = [step.manifest for step in self.plan.apply if step.manifest["kind"] == "Deployment"]
        return {revision_id(item): item["spec"]["replicas"] for item in applied}

    def _kept(self, sizes: dict[str, int], services: dict[str, Manifest]) -> int:
        """Pods that surely serve on, and get requests, when Deployments and Services are so."""
        only = selected(services.get(self.cluster.draft.name))
        chosen = {revision: size for revision, size in sizes.items() if only in ("", revision)}
        return sum(min(self.cluster.serving(revision), size) for revision, size in chosen.items())


def _progress(deployment: Manifest, old: Manifest, fresh: Manifest) -> Manifest:
    """The Progressing condition, as the Deployment controller computes it.

    A Deployment that was complete once is not timed any more: growing it later never exceeds the deadline.
    """
    before = next(iter(old.get("conditions", ())), {"status": "True", "reason": "ReplicaSetUpdated"})
    size = deployment["spec"]["replicas"]
    if fresh.get("replicas", 0) == size == fresh.get("availableReplicas", 0):
        return {"status": "True", "reason": "NewReplicaSetAvailable"}
    progressed = any(fresh.get(key, 0) > old.get(key, 0) for key in ("updatedReplicas", "readyReplicas"))
    if progressed and before["reason"] != "NewReplicaSetAvailable":
        return {"status": "True", "reason": "ReplicaSetUpdated"}
    return {"status": before["status"], "reason": before["reason"]}


def selected(service: Manifest | None) -> str:
    """The revision that a Service is for; "" for all."""
    return str(service["spec"]["selector"].get(names.LABEL_REVISION, "")) if service else ""


def digest_on(owner: Manifest) -> str:
    """The digest that the pods of a Deployment or a Job are for."""
    return str(owner["spec"]["template"]["metadata"]["annotations"][names.ANNOTATION_DIGEST])
