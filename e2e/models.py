"""MultimodalModels of one namespace, as a test wants to speak of them."""

import json
from dataclasses import dataclass
from typing import Any

from dev.demo.phases import URI
from dev.demo.stage import Object, Stage, wait_for

STORAGE = {"endpoint": "http://s3.storage:9000", "credentialsSecretRef": {"name": "s3-credentials"}}
REQUESTS = {"requests": {"cpu": "50m", "memory": "256Mi"}}


@dataclass(frozen=True)
class Models:
    """The MultimodalModels of `namespace`."""

    stage: Stage
    namespace: str

    def apply(self, name: str, version: str, **spec: Any) -> None:
        """Ask for `version` of the tiny CLIP; `spec` adds to the object's spec or replaces parts of it."""
        full = {"model": {"uri": URI, "version": version}, "storage": STORAGE, "resources": REQUESTS, **spec}
        kind = {"apiVersion": "serving.multimodal.dev/v1alpha1", "kind": "MultimodalModel"}
        self.stage.apply({**kind, "metadata": {"name": name}, "spec": full}, self.namespace)

    def follow(self, name: str, uri: str, poll_seconds: int, **spec: Any) -> None:
        """Ask for whatever is the newest version under `uri`."""
        model = {"uri": uri, "updatePolicy": "Auto", "pollIntervalSeconds": poll_seconds}
        self.apply(name, "", model=model, **spec)

    def patch(self, name: str, spec: Object) -> None:
        """Merge `spec` into the object's spec."""
        patch = json.dumps({"spec": spec})
        self.stage.kubectl("patch", "mmm", name, "-n", self.namespace, "--type=merge", "-p", patch)

    def status(self, name: str) -> Object:
        """What the object says now."""
        found = self.stage.get("mmm", name, self.namespace)
        return dict(found.get("status", {})) if found else {}

    def condition(self, name: str, kind: str) -> Object:
        """One condition as it is now; empty if there is none yet."""
        found = (c for c in self.status(name).get("conditions", ()) if c["type"] == kind)
        return next(found, {})

    def wait_condition(self, name: str, kind: str, status: str, reason: str, seconds: float = 120) -> str:
        """The message of the condition, once it has `status` and `reason`."""

        def look() -> Object:
            found = self.condition(name, kind)
            return found if (found.get("status"), found.get("reason")) == (status, reason) else {}

        return str(wait_for(f"{name}: {kind}={status}/{reason}", look, seconds).get("message", ""))

    def deployments(self, name: str) -> dict[str, int]:
        """Sizes of the revisions, by version."""
        listed = self.stage.get_list("deployments", "-n", self.namespace, "-l", f"serving.multimodal.dev/model={name}")
        label = "serving.multimodal.dev/version"
        return {item["metadata"]["labels"][label]: item["spec"]["replicas"] for item in listed}

    def pods(self, name: str) -> list[Object]:
        """The pods of all revisions."""
        return self._pods(name, "server")

    def fetchers(self, name: str) -> list[Object]:
        """The pods that only fetch."""
        return self._pods(name, "fetcher")

    def jobs(self, name: str) -> list[Object]:
        """The Jobs that fetch, newest last."""
        listed = self.stage.get_list("jobs", "-n", self.namespace, "-l", f"serving.multimodal.dev/model={name}")
        return sorted(listed, key=lambda job: str(job["metadata"]["creationTimestamp"]))

    def _pods(self, name: str, component: str) -> list[Object]:
        labels = f"serving.multimodal.dev/model={name},app.kubernetes.io/component={component}"
        return self.stage.get_list("pods", "-n", self.namespace, "-l", labels)
