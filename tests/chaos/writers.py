"""Others who write to the same objects: those that quarrel with the operator, and one that keeps to its own fields."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from mmm_operator import names
from mmm_operator.kube.resources import RESOURCES, path
from mmm_operator.snapshot import Manifest
from tests.chaos.world import Id

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
WRITES_PER_SECOND = 20

Change = tuple[str, str, Any]
"""Query or subresource, content type, body."""


def quarrel_over_labels(rng: random.Random, ref: Id) -> Change:
    """Labels and annotations, the operator's own among them, changed and removed."""
    key = rng.choice([names.LABEL_MODEL, names.LABEL_MANAGED_BY, names.LABEL_INSTANCE, "team.example/a"])
    part = rng.choice(["labels", "annotations"])
    if ref.kind == names.KIND:
        key = "team.example/a"
    return "?fieldManager=kubectl-label", MERGE, {"metadata": {part: {key: rng.choice([None, "x", "y"])}}}


def quarrel_over_sizes(rng: random.Random, ref: Id) -> Change:
    """Numbers of pods: of the MultimodalModel through /scale, of its children by hand."""
    number = rng.randint(1, 3)
    if ref.kind == names.KIND:
        return "/scale?fieldManager=kubectl-scale", MERGE, {"spec": {"replicas": number}}
    sizes: dict[str, Manifest] = {
        "Deployment": {"spec": {"replicas": number}},
        "HorizontalPodAutoscaler": {"spec": {"maxReplicas": number + 5}},
        "PodDisruptionBudget": {"spec": {"maxUnavailable": number + 1}},
    }
    return "?fieldManager=kubectl-edit", MERGE, sizes.get(ref.kind, {"metadata": {"labels": {"team.example/n": "1"}}})


def quarrel_by_force(rng: random.Random, ref: Id) -> Change:
    """Fields of the operator, taken by forced server-side apply in another name."""
    specs: dict[str, Manifest] = {
        "Deployment": {"progressDeadlineSeconds": rng.randint(100, 200)},
        "HorizontalPodAutoscaler": {"minReplicas": 1, "maxReplicas": rng.randint(7, 9)},
        "PodDisruptionBudget": {"unhealthyPodEvictionPolicy": "IfHealthyBudget"},
    }
    resource = RESOURCES[ref.kind]
    body = {
        "apiVersion": resource.api_version,
        "kind": ref.kind,
        "metadata": {"name": ref.name, "namespace": ref.namespace, "labels": {names.LABEL_PART_OF: rng.choice("ab")}},
        **({"spec": specs[ref.kind]} if ref.kind in specs else {}),
    }
    return "?fieldManager=conqueror&force=true", APPLY, body


def quarrel_over_wishes(rng: random.Random, ref: Id) -> Change:
    """The MultimodalModel itself, changed again and again; children only in what they may keep."""
    if ref.kind != names.KIND:
        return (
            "?fieldManager=kubectl-annotate",
            MERGE,
            {"metadata": {"annotations": {"team.example/t": str(rng.random())}}},
        )
    wishes = (
        {"service": {"labels": {"team.example/tier": rng.choice("ab")}}},
        {"service": {"port": rng.randint(80, 82)}},
        {"rollout": {"progressDeadlineSeconds": rng.randint(600, 605)}},
        {"revisionHistoryLimit": rng.randint(1, 3)},
    )
    return "?fieldManager=kubectl-patch", MERGE, {"spec": rng.choice(wishes)}


QUARRELS: tuple[Callable[[random.Random, Id], Change], ...] = (
    quarrel_over_labels,
    quarrel_over_sizes,
    quarrel_by_force,
    quarrel_over_wishes,
)


@dataclass
class Storm:
    """Writers at work; `taken` counts the writes that the API server took."""

    api: httpx.Client
    targets: Callable[[], Iterator[Id]]
    uid: Callable[[Id], str]
    seed: int
    taken: int = 0
    answers: dict[int, int] = field(default_factory=dict)

    async def blow(self, seconds: float) -> None:
        """All writers for so long, each at its own pace."""
        end = time.monotonic() + seconds
        await asyncio.gather(*(self._write(number, end) for number in range(len(QUARRELS))))

    async def _write(self, number: int, end: float) -> None:
        rng, due = random.Random(self.seed + number), time.monotonic()
        while due < end:
            targets = sorted(self.targets())
            ref = rng.choice(targets)
            where, how, body = QUARRELS[number](rng, ref)
            if how == APPLY:
                body["metadata"]["uid"] = self.uid(ref)  # or it would be made anew, and somebody else's
            await self._send(ref, where, how, body)
            due += 1 / WRITES_PER_SECOND
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _send(self, ref: Id, where: str, how: str, body: Any) -> None:
        url = path(ref.kind, ref.namespace, ref.name) + where
        answer = await asyncio.to_thread(self.api.patch, url, json=body, headers={"Content-Type": how})
        self.answers[answer.status_code] = self.answers.get(answer.status_code, 0) + 1
        self.taken += answer.is_success


async def write_politely(api: httpx.Client, targets: list[Id], seconds: float) -> int:
    """How often somebody wrote an annotation of their own to each of the targets in turn."""
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for ref in targets:
            body = {
                "apiVersion": RESOURCES[ref.kind].api_version,
                "kind": ref.kind,
                "metadata": {"name": ref.name, "annotations": {"team.example/tick": str(count)}},
            }
            where = path(ref.kind, ref.namespace, ref.name) + "?fieldManager=team"
            answer = await asyncio.to_thread(api.patch, where, json=body, headers={"Content-Type": APPLY})
            answer.raise_for_status()
            count += 1
        await asyncio.sleep(0.1)
    return count
