"""One MultimodalModel, its repository and its cluster, around the planner that the operator runs."""

import copy
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import yaml

from mmm_operator.api.status import Status
from mmm_operator.api.storage import CacheType
from mmm_operator.api.v1alpha1 import MultimodalModel, ObjectMeta, Spec, UpdatePolicy
from mmm_operator.offline.check import path_of, wrong_fields
from mmm_operator.offline.documents import Unusable
from mmm_operator.offline.simulation.answers import Answers
from mmm_operator.offline.simulation.cluster import Cluster
from mmm_operator.offline.simulation.pod import START, Fault, Pod, accelerators
from mmm_operator.offline.simulation.script import SPEC, Occurrence
from mmm_operator.plan import Plan
from mmm_operator.planner import plan
from mmm_operator.prefetch import claim_to_read
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Key, Manifest, Resolution, ServerReport, Snapshot, SwapReport
from mmm_operator.sources.question import Question
from mmm_operator.traffic import Traffic

UID = "simulated"


@dataclass
class World:
    """Everything that an occurrence can push around; `newest` is what a repository has that is followed."""

    key: Key
    raw: Manifest
    cluster: Cluster
    settings: Settings
    status: Status = field(default_factory=Status)
    answers: Answers = field(default_factory=Answers)
    newest: str = "1"
    generation: int = 1

    # What people and fate do

    def occur(self, occurrence: Occurrence, now: int) -> str:
        """The occurrence happens; a remark about it, mostly none. Raises Unusable when the object cannot be so."""
        word, value = occurrence.word, occurrence.value
        if word.startswith(SPEC):
            return self._edit(word.removeprefix(SPEC).split("."), yaml.safe_load(value))
        if word in [fault.value for fault in Fault]:
            self.cluster.faults[value] = Fault(word)
            return ""
        if word in ("errors", "slow", "differs"):
            return self.answer_badly(word, value)
        if word == "crash":
            return self.cluster.crash_one(now)
        return _ACTS[word](self, value)

    def ask_for(self, version: str) -> str:
        """Another version is wanted, or a newer one is in the repository that is followed."""
        self.newest = version
        if self.spec.model.update_policy is UpdatePolicy.AUTO:
            return f"version {version} is the newest in the repository"
        remark = self._edit(["model", "version"], version)
        if self.spec.model.digest is not None:
            self._edit(["model", "digest"], self._digest(version))
        return remark

    def promote(self, _: str) -> str:
        """The revision that shall serve may go on."""
        target = self.status.model.target
        return self._edit(["rollout", "promote"], target.revision) if target else "there is no target yet"

    def heal(self, version: str) -> str:
        """The version is as it should be."""
        self.cluster.faults.pop(version, None)
        self.answers.heal(version)
        return ""

    def answer_badly(self, word: str, value: str) -> str:
        """The version answers with errors, slowly or otherwise."""
        version, _, amount = value.rpartition(":")
        kinds = {"errors": self.answers.errors, "slow": self.answers.slow, "differs": self.answers.differing}
        kinds[word][version] = int(amount)
        return ""

    def forget(self, _: str) -> str:
        """The status is gone."""
        self.status = Status()
        return ""

    def limit(self, capacity: str) -> str:
        """The cluster has this much room."""
        self.cluster.capacity = int(capacity)
        return ""

    def _edit(self, path: list[str], value: object) -> str:
        raw = copy.deepcopy(self.raw)
        part = raw["spec"]
        for name in path[:-1]:
            part = part.setdefault(name, {}) if isinstance(part, dict) else {}
        if value is None:
            part.pop(path[-1], None)
        else:
            part[path[-1]] = value
        if wrong := [f"--event: {path_of(where)}: {text}" for where, text in sorted(wrong_fields(raw), key=str)]:
            raise Unusable(wrong)
        self.generation += raw != self.raw
        remark = "" if raw != self.raw else "as it was"
        self.raw = raw
        return remark

    # What the operator does

    def reconcile(self, now: int) -> Plan:
        """One look of the operator: its plan, carried out."""
        decided = plan(self.snapshot(), self.settings, START + timedelta(seconds=now))
        for step in decided.apply:
            self.cluster.apply(step.manifest, now)
        for delete in decided.delete:
            self.cluster.delete(delete.ref, now)
        for manifest in decided.touch:
            self.cluster.touch(manifest)
        if decided.status is not None:
            self.status = decided.status
        return decided

    @property
    def spec(self) -> Spec:
        """The spec as it is now."""
        return self._object().spec

    def snapshot(self) -> Snapshot:
        """What the operator sees."""
        mmm = self._object()
        return Snapshot(
            key=self.key,
            meta=mmm.metadata,
            mmm=mmm,
            status=self.status,
            resolution=self._resolution(mmm),
            children=dict(self.cluster.children),
            pods=tuple(pod.manifest() for pod in self.cluster.pods),
            claim=_claim(mmm.spec),
            reports=self._reports(),
            traffic=self._traffic(mmm.spec),
        )

    def pass_time(self, seconds: int) -> None:
        """So many seconds go by, in which the pods answer requests."""
        self.answers.count(seconds, self.cluster.serving(), self.status.rollout.step_started_at)

    def _traffic(self, spec: Spec) -> Mapping[str, Traffic]:
        target, since = self.status.model.target, self.status.rollout.step_started_at
        mirrors = spec.rollout.canary is not None and spec.rollout.canary.mirror
        return self.answers.traffic(self.cluster.serving(), since, target.version if target and mirrors else None)

    def _object(self) -> MultimodalModel:
        meta = ObjectMeta(name=self.key.name, namespace=self.key.namespace, uid=UID, generation=self.generation)
        return MultimodalModel.model_validate({"metadata": meta, "spec": self.raw["spec"]})

    def _resolution(self, mmm: MultimodalModel) -> Resolution:
        question = Question.of(mmm, None if mmm.spec.model.version else self.newest)
        return question.found(mmm.spec.model.digest or self._digest(question.version))

    def _digest(self, version: str) -> str:
        uri = self.raw["spec"]["model"]["uri"]
        return "sha256:" + hashlib.sha256(f"{uri}/{version}".encode()).hexdigest()

    def _reports(self) -> dict[str, ServerReport]:
        target = self.status.model.target
        asked = [pod for pod in self.cluster.pods if target and pod.revision == target.revision and pod.serves]
        return {pod.name: _report(pod, self.cluster.times.load) for pod in asked}


def _claim(spec: Spec) -> Manifest | None:
    """The claim of the user's own that the spec names, as one that many pods can have."""
    name = claim_to_read(spec)
    modes = ["ReadWriteMany"] if spec.cache.type is CacheType.PERSISTENT_VOLUME_CLAIM else ["ReadOnlyMany"]
    return {"metadata": {"name": name}, "spec": {"accessModes": modes}} if name else None


def _report(pod: Pod, load: int) -> ServerReport:
    device, swap = "cuda" if accelerators(pod.template) else "cpu", pod.swap
    told = SwapReport(swap.digest, swap.state, swap.reason, swap.message) if swap else None
    return ServerReport(pod.name, pod.digest, device, "simulated", "bfloat16", None, float(load), told)


_ACTS: dict[str, Callable[[World, str], str]] = {
    "version": World.ask_for,
    "replicas": lambda world, value: world._edit(["replicas"], int(value)),
    "pause": lambda world, _: world._edit(["rollout", "paused"], True),
    "resume": lambda world, _: world._edit(["rollout", "paused"], None),
    "promote": World.promote,
    "good": World.heal,
    "capacity": World.limit,
    "lose-status": World.forget,
}
