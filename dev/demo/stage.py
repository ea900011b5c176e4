"""The world around the product: a cluster with the images in it, an object store, the installed chart.

Every step can be repeated: what is there already is left as it is.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from dev.images import build_images
from dev.images.build import ImageRef
from dev.localcluster.choose import Cluster, choose
from dev.localcluster.s3 import S3Server
from dev.tools import require_system_packages, tool

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "multimodal-operator"
OPERATOR_NAMESPACE = "multimodal-operator-system"
RELEASE = "multimodal-operator"
STORAGE = ("storage", "s3", 9000)
FREE_DISK_GIB = 20
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}

Object = dict[str, Any]
T = TypeVar("T")


class StageError(RuntimeError):
    """Something that the product needs is not there; the message says what to do."""


def state_directory() -> Path:
    """Where the demo keeps its object store."""
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return home / "multimodal-operator" / "demo"


@dataclass
class Stage:
    """One cluster, one object store, one operator."""

    cluster: Cluster = field(default_factory=choose)
    directory: Path = field(default_factory=state_directory)

    @cached_property
    def s3(self) -> S3Server:
        """The object store; pods know it as `http://s3.storage:9000`."""
        return S3Server(self._store, address=self.cluster.host_address)

    def down(self) -> None:
        """Ends the object store and removes the cluster, whichever of them is there."""
        S3Server(self._store).stop()
        self.cluster.down()

    @property
    def _store(self) -> Path:
        return self.directory / "s3"

    @cached_property
    def images(self) -> dict[str, ImageRef]:
        """The product's images, built from its Dockerfiles."""
        return build_images(("operator", "server"))

    def check_prerequisites(self) -> None:
        """Nothing, when the machine has what is needed; StageError or MissingPackages when not."""
        require_system_packages()
        free = shutil.disk_usage(Path.home()).free >> 30
        if free < FREE_DISK_GIB:
            raise StageError(f"{free} GiB of disk are free, {FREE_DISK_GIB} are needed: try make clean")
        if not shutil.which("go"):
            raise StageError("Go is needed to build the cluster's programs: install it from go.dev or your system")

    def load_images(self) -> None:
        """The images on the node, those that are not there yet."""
        listed = [image for node in self.get_list("nodes") for image in node["status"].get("images", ())]
        known = {name for image in listed for name in image["names"]}
        for image in self.images.values():
            if image.reference not in known:
                self.cluster.load_image(image.layout)

    def start_storage(self) -> str:
        """The object store with its bucket, and its address inside the cluster."""
        self.s3.start()
        (self.s3.directory / "data" / "models").mkdir(exist_ok=True)
        namespace, name, port = STORAGE
        self.ensure_namespace(namespace)
        return self.s3.expose(self.cluster, namespace, name, port)

    def empty_storage(self) -> None:
        """Forget every model that was published."""
        shutil.rmtree(self.s3.directory / "data" / "models", ignore_errors=True)
        self.start_storage()

    def install_chart(self, *settings: str) -> None:
        """The operator, by helm, as a platform engineer installs it."""
        operator, server = self.images["operator"], self.images["server"]
        images = {
            "operator.image.repository": operator.reference.rsplit(":", 1)[0],
            "operator.image.tag": operator.reference.rsplit(":", 1)[1],
            "server.image.repository": server.reference.rsplit(":", 1)[0],
            "server.image.tag": server.reference.rsplit(":", 1)[1],
        }
        self.ensure_namespace(OPERATOR_NAMESPACE, RESTRICTED)
        values = [option for key, value in images.items() for option in ("--set-string", f"{key}={value}")]
        # kube-proxy is all that hears of pods here, and it does within a second.
        settings = ("server.drainDelaySeconds=5", *settings)
        values += [option for setting in settings for option in ("--set", setting)]
        self.helm("upgrade", "--install", RELEASE, str(CHART), *values, "--wait", "--timeout", "180s")

    def helm(self, *arguments: str) -> str:
        """What helm prints, in the operator's namespace."""
        environment = {**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig)}
        return run([str(tool("helm")), *arguments, "--namespace", OPERATOR_NAMESPACE], environment)

    def publish(self, directory: Path, uri: str, version: str, **metadata: object) -> str:
        """Publish a model with the product's own command; what it prints."""
        facts = [option for key, value in metadata.items() for option in ("-m", f"{key}={value}")]
        command = [str(ROOT / ".venv/bin/mmm"), "publish", str(directory), uri, "--version", version, *facts]
        return run([*command, "--endpoint", self.s3.endpoint], {**os.environ, **self.credentials})

    @property
    def credentials(self) -> dict[str, str]:
        """The object store's keys, under the names that every S3 program knows."""
        return {"AWS_ACCESS_KEY_ID": self.s3.access_key, "AWS_SECRET_ACCESS_KEY": self.s3.secret_key}

    def ensure_namespace(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """The namespace `name`, with labels."""
        metadata = {"name": name, "labels": dict(labels or {})}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def ensure_model_namespace(self, name: str) -> None:
        """An empty namespace for models: no pods but restricted ones, and the store's credentials as a Secret."""
        self.kubectl("delete", "namespace", name, "--ignore-not-found", "--wait", "--timeout=120s")
        self.ensure_namespace(name, RESTRICTED)
        secret: Object = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3-credentials"}}
        self.apply({**secret, "stringData": self.credentials}, name)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl prints."""
        return self.cluster.kubectl(*arguments, stdin=stdin)

    def apply(self, manifest: Object | str, namespace: str = "default") -> str:
        """Apply a manifest, as a dict or as YAML."""
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        return self.kubectl("apply", "--server-side", "--force-conflicts", "-n", namespace, "-f", "-", stdin=text)

    def get(self, kind: str, name: str, namespace: str) -> Object | None:
        """An object, or None."""
        text = self.kubectl("get", kind, name, "-n", namespace, "-o", "json", "--ignore-not-found")
        found: Object | None = json.loads(text) if text.strip() else None
        return found

    def get_list(self, kind: str, *arguments: str) -> list[Object]:
        """The objects of a kind."""
        items: list[Object] = json.loads(self.kubectl("get", kind, *arguments, "-o", "json"))["items"]
        return items


def run(command: list[str], environment: Mapping[str, str]) -> str:
    """What a program prints; StageError with its last words when it fails."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StageError(f"{Path(command[0]).name} {command[1]} failed:\n{(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


def wait_for(what: str, look: Callable[[], T], seconds: float = 120.0) -> T:
    """The first true value of `look`; StageError when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise StageError(f"{what}: not within {seconds:g} s")
        time.sleep(0.5)
    return found
