"""What can happen to one MultimodalModel, each as a story of a few seconds.

A story waits for what it caused before it goes on, so that it is the same one however long the operator was away.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from mmm_operator import names
from mmm_operator.snapshot import Manifest
from tests.chaos.stage import Stage

Story = Callable[[Stage], Awaitable[None]]

AUTOSCALING = {"minReplicas": 2, "maxReplicas": 4}
CLAIM = {"type": "PersistentVolumeClaim", "claimTemplate": {"size": "1Gi"}}
NEWER_SERVER = "registry.example/mmm-server:2"


async def create(stage: Stage) -> None:
    """One pod."""
    await stage.create()
    await stage.settled()


async def create_everything(stage: Stage) -> None:
    """Every kind of child that there is."""
    await stage.create(replicas=2, autoscaling=AUTOSCALING, cache=CLAIM)
    await stage.settled()


async def version_roll(stage: Stage) -> None:
    """A new version replaces the old one, pod by pod."""
    await stage.create(replicas=2)
    await stage.settled()
    await stage.edit(model={"version": "2"})
    await stage.settled("2")


async def rollback_mid_roll(stage: Stage) -> None:
    """A new version never becomes ready, and the old one is asked for again."""
    stage.hold("2")
    await stage.create(replicas=2)
    await stage.settled()
    await stage.edit(model={"version": "2"})
    # Of its Deployment alone it would be open whether a pod is ever made.
    await stage.until(lambda: _pods_of(stage, "2"), "a pod of version 2")
    await stage.edit(model={"version": "1"})
    await stage.until(lambda: _size(stage, "2") == 0, "version 2 at zero")
    await stage.settled()


async def three_versions(stage: Stage) -> None:
    """The wanted version changes again before it was reached; one old revision is kept."""
    stage.hold("2")
    await stage.create(replicas=2, revisionHistoryLimit=1)
    await stage.settled()
    await stage.edit(model={"version": "2"})
    await stage.until(lambda: _pods_of(stage, "2"), "a pod of version 2")
    await stage.edit(model={"version": "3"})
    await stage.settled("3")


def _pods_of(stage: Stage, version: str) -> list[Manifest]:
    return [pod for pod in stage.children("Pod") if pod["metadata"]["labels"].get(names.LABEL_VERSION) == version]


async def scale_up_and_down(stage: Stage) -> None:
    """One pod, three, none, two."""
    await stage.create()
    await stage.settled()
    for size in (3, 2):
        await stage.edit(replicas=size)
        await stage.settled()
    await stage.edit(replicas=0)
    await stage.until(lambda: not stage.children("Pod"), "no pods")
    await stage.edit(replicas=1)
    await stage.settled()


async def autoscaling_on_and_off(stage: Stage) -> None:
    """An autoscaler and a disruption budget come and go."""
    await stage.create()
    await stage.settled()
    await stage.edit(replicas=2, autoscaling=AUTOSCALING)
    await stage.until(lambda: stage.children("HorizontalPodAutoscaler"), "an autoscaler")
    await stage.settled()
    await stage.edit(replicas=1, autoscaling=None)
    await stage.until(lambda: not stage.children("HorizontalPodAutoscaler"), "no autoscaler")
    await stage.settled()


async def edit_service(stage: Stage) -> None:
    """The Service changes three times."""
    await stage.create()
    await stage.settled()
    for port in (8000, 8001):
        await stage.edit(service={"port": port, "annotations": {"team.example/port": str(port)}})
        await stage.until(lambda port=port: _port(stage) == port, f"port {port}")  # type: ignore[misc]
    await stage.edit(service={"annotations": {"team.example/port": None}})
    await stage.settled()


async def edit_rollout(stage: Stage) -> None:
    """What changes no pod changes the Deployment in place."""
    await stage.create(replicas=2)
    await stage.settled()
    for seconds in (300, 600):
        await stage.edit(rollout={"progressDeadlineSeconds": seconds})
        await stage.settled()


async def edit_resources(stage: Stage) -> None:
    """What changes pods makes a new revision of the same version."""
    await stage.create(replicas=2, resources={"requests": {"cpu": "100m", "memory": "64Mi"}})
    await stage.settled()
    await stage.edit(resources={"requests": {"cpu": "200m"}})
    await stage.until(lambda: len(stage.children("Deployment")) == 2, "a second revision")
    await stage.settled()


async def delete(stage: Stage) -> None:
    """It goes while it is being made, with everything that belongs to it."""
    await stage.create(replicas=2, autoscaling=AUTOSCALING)
    await stage.until(lambda: stage.children("Deployment"), "a Deployment")
    await stage.delete()
    await stage.until(lambda: _nothing(stage), "everything is collected")


async def delete_and_recreate(stage: Stage) -> None:
    """Another one takes its name at once."""
    await stage.create()
    await stage.settled()
    await stage.delete()
    await stage.create("2", replicas=2)
    await stage.settled("2")


async def secret_rotates(stage: Stage) -> None:
    """The credentials are wrong at first, and somebody corrects them."""
    # A name of its own, because the operator remembers what it heard from a repository with those of another.
    secret = f"{stage.model}-s3"
    await stage.put_secret(secret, dict.fromkeys(stage.ground.bucket.credentials, "wrong"))
    await stage.create(storage={"credentialsSecretRef": {"name": secret}})
    await stage.until(lambda: stage.reason("ModelResolved") not in ("", "Resolving"), "a reason")
    await stage.put_secret(secret, stage.ground.bucket.credentials)
    await stage.settled()


async def storage_fails_and_heals(stage: Stage) -> None:
    """The bucket is away while a new version is asked for; what serves goes on."""
    relay = await stage.relay()
    await stage.create(replicas=2, storage={"endpoint": relay.endpoint})
    await stage.settled()
    relay.closed = True
    await stage.edit(model={"version": "2"})
    await stage.until(lambda: stage.reason("ModelResolved") not in ("", "Resolving"), "a reason")
    relay.closed = False
    await stage.settled("2")


async def drift_is_repaired(stage: Stage) -> None:
    """Children are deleted and changed by hand."""
    await stage.create(replicas=2)
    await stage.settled()
    uid = stage.children("Service")[0]["metadata"]["uid"]
    await stage.world.api.delete(stage.ref("Service"))
    await stage.until(
        lambda: any(item["metadata"]["uid"] != uid for item in stage.children("Service")), "another Service"
    )
    deployment = stage.children("Deployment")[0]["metadata"]["name"]
    edited = await stage.world.api.patch(stage.ref("Deployment", deployment), {"spec": {"progressDeadlineSeconds": 77}})
    assert edited is not None
    await stage.until(lambda: _mended(stage, edited["metadata"]["generation"]), "repaired")
    uid = stage.children("PodDisruptionBudget")[0]["metadata"]["uid"]
    await stage.world.api.delete(stage.ref("PodDisruptionBudget"))
    await stage.until(
        lambda: any(item["metadata"]["uid"] != uid for item in stage.children("PodDisruptionBudget")), "another budget"
    )
    await stage.settled()


async def operator_upgrade(stage: Stage) -> None:
    """A new operator brings a new server image: it is for new revisions only."""
    await stage.create(replicas=2)
    await stage.settled()
    await stage.restart(MMM_OPERATOR_SERVER_IMAGE=NEWER_SERVER)
    await stage.edit(replicas=3)
    await stage.settled()
    await stage.edit(model={"version": "2"})
    await stage.settled("2")


async def suspend_and_resume(stage: Stage) -> None:
    """All pods go, and come back."""
    await stage.create(replicas=2)
    await stage.settled()
    await stage.edit(suspend=True)
    await stage.until(lambda: not stage.children("Pod"), "no pods")
    await stage.edit(suspend=False)
    await stage.settled()


STORIES: dict[str, Story] = {
    story.__name__.replace("_", "-"): story
    for story in (
        *(create, create_everything, version_roll, rollback_mid_roll, three_versions, scale_up_and_down),
        *(autoscaling_on_and_off, edit_service, edit_rollout, edit_resources, delete, delete_and_recreate),
        *(secret_rotates, storage_fails_and_heals, drift_is_repaired, operator_upgrade),
    )
}


def _mended(stage: Stage, edited: int) -> bool:
    """Whether the Deployment has been written again after this generation, which the picture may not show yet."""
    (deployment,) = stage.children("Deployment")
    rewritten: bool = deployment["metadata"]["generation"] > edited
    return rewritten and deployment["spec"]["progressDeadlineSeconds"] != 77


def _size(stage: Stage, version: str) -> Any:
    return (stage.deployment(version) or {"spec": {}})["spec"].get("replicas")


def _port(stage: Stage) -> Any:
    return next((item["spec"]["ports"][0]["port"] for item in stage.children("Service")), None)


def _nothing(stage: Stage) -> bool:
    kinds = ("MultimodalModel", "Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Pod")
    return not any(stage.children(kind) for kind in kinds)
