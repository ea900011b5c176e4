"""A claim that pods of this machine can share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.demo.stage import Object, Stage

CLAIM = {"type": "PersistentVolumeClaim", "claimName": "models"}


@contextmanager
def shared_claim(stage: Stage, namespace: str, folder: Path) -> Iterator[Path]:
    """The claim `models` while the block runs, and the directory that it is."""
    volume = open_directory(folder)
    for manifest in _claim(volume, namespace):
        stage.apply(manifest, namespace)
    yield volume
    stage.kubectl("delete", "pv", f"models-{namespace}", "--wait=false")


@contextmanager
def volume_for(stage: Stage, namespace: str, claim: str, folder: Path) -> Iterator[Path]:
    """A volume for a claim that somebody else makes, and the directory that it is."""
    volume = open_directory(folder)
    reference = {"namespace": namespace, "name": claim}
    spec: Object = {"accessModes": ["ReadWriteMany", "ReadWriteOnce"], "capacity": {"storage": "1Gi"}}
    spec |= {"storageClassName": "e2e", "hostPath": {"path": str(volume)}, "claimRef": reference}
    metadata = {"name": f"{claim}-{namespace}"}
    stage.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec})
    yield volume
    stage.kubectl("delete", "pv", metadata["name"], "--wait=false")


def open_directory(folder: Path) -> Path:
    """A directory that every pod of this machine can write to."""
    volume = folder / "models"
    volume.mkdir(mode=0o777)
    volume.chmod(0o777)
    for parent in volume.parents:
        if parent.stat().st_uid == volume.stat().st_uid and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    return volume


def _claim(volume: Path, namespace: str) -> tuple[Object, Object]:
    spec: Object = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    size = {"storage": "1Gi"}
    name = f"models-{namespace}"
    persistent: Object = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {**spec, "capacity": size, "hostPath": {"path": str(volume)}},
    }
    claim: Object = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "models"},
        "spec": {**spec, "volumeName": name, "resources": {"requests": size}},
    }
    return persistent, claim
