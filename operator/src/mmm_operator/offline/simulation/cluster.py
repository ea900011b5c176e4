"""As much of Kubernetes as a rollout meets: the API server, Deployments, Jobs, the scheduler and the kubelet."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mmm_operator import names
from mmm_operator.offline.simulation.pod import Fault, Pod, State, accelerators, moment
from mmm_operator.snapshot import Manifest, Ref, revision_id

# Which pods a Deployment takes away first.
_RANK = {State.PENDING: 0, State.STARTING: 1, State.CRASHED: 1, State.READY: 2}


@dataclass(frozen=True, slots=True)
class Times:
    """How long things take, in seconds: to load a model, to end a pod, to fetch a model to a claim."""

    load: int = 20
    stop: int = 5
    fetch: int = 10


@dataclass
class Cluster:
    """Objects and pods; `capacity` is how many pods have room, or accelerators where pods need some. None: any number.

    `faults` says which versions are broken, and how.
    """

    namespace: str
    name: str
    times: Times
    capacity: int | None = None
    faults: dict[str, Fault] = field(default_factory=dict)
    children: dict[Ref, Manifest] = field(default_factory=dict)
    pods: list[Pod] = field(default_factory=list)
    born: int = 0
    _ages: dict[str, int] = field(default_factory=dict)  # when a Deployment progressed last, a Job was made

    # The API server

    def apply(self, manifest: Manifest, now: int) -> None:
        """What the operator applied is there."""
        ref = Ref.of(manifest)
        live = self.children.get(ref)
        stored: Manifest = json.loads(json.dumps(manifest))
        changed = live is None or live.get("spec") != stored.get("spec")
        new: Manifest = {"uid": f"uid-{ref.kind}-{ref.name}-{now}", "creationTimestamp": moment(now), "generation": 0}
        kept: Manifest = {key: live["metadata"][key] for key in new} if live else new
        stored["metadata"] |= {**kept, "generation": kept["generation"] + changed}
        stored["status"] = live["status"] if live else {}
        self.children[ref] = stored
        if changed:
            self._ages[stored["metadata"]["uid"]] = now

    def delete(self, ref: Ref, now: int) -> None:
        """The object is gone, and its pods with it."""
        gone = self.children.pop(ref)
        for pod in self.pods:
            if ref.kind == "Deployment" and pod.revision == revision_id(gone) and pod.lives:
                pod.end(now, self.times.stop)

    # Everything else

    def move(self, now: int) -> tuple[list[str], bool]:
        """Everything that is due happens: the news of the pods, and whether anything changed that the operator sees."""
        before = self._seen()
        news = [*self._reap(now), *self._kubelet(now), *self._swap(now), *self._deployments_act(now)]
        news += self._schedule(now)
        self._run_jobs(now)
        self._count(now)
        return [text for text in news if text], self._seen() != before

    def due(self) -> Iterator[int]:
        """The moments at which something will happen by itself."""
        yield from (pod.due for pod in self.pods if pod.due is not None)
        yield from (pod.swap.due for pod in self.pods if pod.swap and pod.swap.due is not None)
        for _, job in self._of("Job"):
            if not job["status"]:
                yield self._ages[job["metadata"]["uid"]] + self.times.fetch
        for _, deployment in self._of("Deployment"):
            spec = deployment["spec"]
            if any(item["reason"] == "ReplicaSetUpdated" for item in deployment["status"].get("conditions", ())):
                yield self._ages[deployment["metadata"]["uid"]] + spec["progressDeadlineSeconds"]
            seconds = spec.get("minReadySeconds", 0)
            yield from (pod.changed + seconds for pod in self._living(deployment) if pod.serves)

    def crash_one(self, now: int) -> str:
        """One of the pods that serve crashes."""
        serving = self.serving()
        return serving[0].crash(now, None) if serving else "no pod serves"

    def serving(self) -> list[Pod]:
        """The pods that requests come to: those that are ready, and that the Service means."""
        service = next((item for ref, item in self._of("Service") if ref.name == self.name), None)
        selector = service["spec"]["selector"] if service else {}
        return [pod for pod in self.pods if pod.serves and selector.items() <= pod.labels.items()]

    def deployments(self) -> list[Manifest]:
        """The Deployments, by name."""
        return [deployment for _, deployment in self._of("Deployment")]

    def _reap(self, now: int) -> Iterator[str]:
        gone = [pod for pod in self.pods if not pod.lives and pod.due is not None and pod.due <= now]
        self.pods = [pod for pod in self.pods if pod not in gone]
        yield from (f"{pod.name} is gone" for pod in gone)

    def _kubelet(self, now: int) -> Iterator[str]:
        for pod in self.pods:
            if pod.due is None or pod.due > now or not pod.lives:
                continue
            fault = self.faults.get(pod.version)
            if pod.state is State.CRASHED:
                pod.start(now, self.times.load)
            elif fault is Fault.HANG:
                pod.due = None
            else:
                yield pod.crash(now, fault) if fault else pod.become_ready(now)

    def touch(self, manifest: Manifest) -> None:
        """A pod has more annotations."""
        for pod in self.pods:
            if pod.name == manifest["metadata"]["name"]:
                pod.told = {**pod.told, **manifest["metadata"].get("annotations", {})}

    def _swap(self, now: int) -> Iterator[str]:
        """Running pods go over to the version that they are told to serve."""
        wanted = self._wanted()
        for pod in self.pods:
            if wanted is None or not pod.swaps or not pod.serves:
                continue
            going = pod.swap.digest if pod.swap else pod.digest
            if pod.swap is not None and pod.swap.due is not None and pod.swap.due <= now:
                yield pod.switch(self.faults.get(pod.swap.version))
            elif wanted["digest"] == pod.digest and going != pod.digest:
                pod.swap = None
            elif wanted["digest"] not in (pod.digest, going):
                yield pod.go_over(wanted["version"], wanted["digest"], now, self.times.load)

    def _wanted(self) -> dict[str, str] | None:
        config = next((item for ref, item in self._of("ConfigMap") if ref.name == f"{self.name}-rollout"), None)
        text = (config or {}).get("data", {}).get("wanted.json")
        found: dict[str, str] | None = json.loads(text) if text else None
        return found

    def _deployments_act(self, now: int) -> Iterator[str]:
        for deployment in self.deployments():
            living = sorted(self._living(deployment), key=lambda pod: (_RANK[pod.state], -pod.born))
            size = deployment["spec"]["replicas"]
            for pod in living[: max(0, len(living) - size)]:
                held = pod.holds
                pod.end(now, self.times.stop)
                yield f"{pod.name} ends{'' if held else ' without ever having had a node'}"
            for _ in range(size - len(living)):
                self.pods.append(self._new_pod(deployment, now))
        self._reap_at_once(now)

    def _reap_at_once(self, now: int) -> None:
        # What never had a node is gone at once.
        self.pods = [pod for pod in self.pods if pod.lives or pod.due != now]

    def _schedule(self, now: int) -> Iterator[str]:
        for pod in [pod for pod in self.pods if pod.state is State.PENDING]:
            if self.capacity is None or self._held() + _places(pod) <= self.capacity:
                yield pod.place(now, self.times.load)
            elif not pod.refused:
                pod.refused = True
                yield f"{pod.name} finds no room"

    def _held(self) -> int:
        return sum(_places(pod) for pod in self.pods if pod.holds)

    def _run_jobs(self, now: int) -> None:
        for ref, job in self._of("Job"):
            if not job["status"] and self._ages[job["metadata"]["uid"]] + self.times.fetch <= now:
                status = {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}
                self.children[ref] = {**job, "status": status}

    def _count(self, now: int) -> None:
        """The Deployments' status catches up with their pods."""
        for ref, deployment in self._of("Deployment"):
            fresh = self._status(deployment, now)
            if fresh != deployment["status"]:
                self.children[ref] = {**deployment, "status": fresh}

    def _status(self, deployment: Manifest, now: int) -> Manifest:
        living, seconds = self._living(deployment), deployment["spec"].get("minReadySeconds", 0)
        ready = [pod for pod in living if pod.serves]
        counts = {
            "replicas": len(living),
            "updatedReplicas": len(living),
            "readyReplicas": len(ready),
            "availableReplicas": sum(pod.changed + seconds <= now for pod in ready),
        }
        progress = {"type": "Progressing", **self._progress(deployment, counts, now)}
        told = {key: number for key, number in counts.items() if number}
        return {"observedGeneration": deployment["metadata"]["generation"], "conditions": [progress], **told}

    def _progress(self, deployment: Manifest, counts: dict[str, int], now: int) -> dict[str, str]:
        """As the Deployment controller judges it: one that was complete once is not timed any more."""
        old, spec, uid = deployment["status"], deployment["spec"], deployment["metadata"]["uid"]
        before = [item["reason"] for item in old.get("conditions", ())]
        if counts["replicas"] == spec["replicas"] == counts["availableReplicas"]:
            return {"status": "True", "reason": "NewReplicaSetAvailable"}
        if any(number > old.get(key, 0) for key, number in counts.items()):
            self._ages[uid] = now
        late = self._ages[uid] + spec["progressDeadlineSeconds"] <= now
        if before == ["NewReplicaSetAvailable"]:
            return {"status": "True", "reason": before[0]}
        return {"status": str(not late), "reason": "ProgressDeadlineExceeded" if late else "ReplicaSetUpdated"}

    def _living(self, deployment: Manifest) -> list[Pod]:
        return [pod for pod in self.pods if pod.lives and pod.revision == revision_id(deployment)]

    def _of(self, kind: str) -> list[tuple[Ref, Manifest]]:
        return [(ref, self.children[ref]) for ref in sorted(self.children) if ref.kind == kind]

    def _new_pod(self, deployment: Manifest, now: int) -> Pod:
        self.born += 1
        meta = deployment["spec"]["template"]["metadata"]
        own = {
            "version": meta["labels"].get(
                names.LABEL_VERSION, deployment["metadata"]["labels"].get(names.LABEL_VERSION)
            ),
            "digest": meta.get("annotations", {}).get(names.ANNOTATION_DIGEST, ""),
        }
        pod = Pod(
            name=f"{deployment['metadata']['name']}-{self.born}",
            namespace=self.namespace,
            revision=revision_id(deployment),
            **own,
            template=deployment["spec"]["template"],
            born=now,
        )
        if pod.swaps and (wanted := self._wanted()):
            pod.version, pod.digest = wanted["version"], wanted["digest"]
        return pod

    def _seen(self) -> Any:
        # Objects are replaced here and never changed.
        return dict(self.children), [(pod.name, pod.state, pod.crashes, pod.swap, pod.told) for pod in self.pods]


def _places(pod: Pod) -> int:
    return max(accelerators(pod.template).values(), default=1)
