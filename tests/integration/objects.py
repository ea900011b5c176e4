"""The objects of one namespace of a real API server, for tests that wait for things to become true."""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from mmm_operator import names
from mmm_operator.kube.resources import path
from mmm_operator.snapshot import Manifest, has_ended, is_fetcher

T = TypeVar("T")

DEADLINE_SECONDS = 60.0
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


def eventually(look: Callable[[], T | None], seconds: float = DEADLINE_SECONDS, pause: float = 0.1) -> T:
    """What `look` returns, once that is true; an AssertionError inside it, or no answer, counts as not yet.

    A look that costs much deserves a longer pause: it takes from those whom it waits for.
    """
    end = time.monotonic() + seconds
    while True:
        problem: Exception | None = None
        try:
            found = look()
        except (AssertionError, httpx.TransportError) as error:
            problem, found = error, None
        if found:
            return found
        if time.monotonic() > end:
            raise problem or AssertionError(f"not true within {seconds:g} s, at last: {found!r}")
        time.sleep(pause)


class Objects:
    """Everything in one namespace."""

    def __init__(self, api: httpx.Client, namespace: str) -> None:
        self.api = api
        self.namespace = namespace

    def get(self, kind: str, name: str) -> Manifest | None:
        answer = self.api.get(path(kind, self.namespace, name))
        if answer.status_code == 404:
            return None
        return _body(answer)

    def need(self, kind: str, name: str) -> Manifest:
        found = self.get(kind, name)
        assert found is not None, f"there is no {kind} {name}"
        return found

    def list(self, kind: str, labels: Mapping[str, str] | None = None) -> list[Manifest]:
        query = {"labelSelector": names.selector_text(dict(labels))} if labels else {}
        found: list[Manifest] = _body(self.api.get(path(kind, self.namespace), params=query))["items"]
        return found

    def create(self, manifest: Manifest) -> Manifest:
        return _body(self.api.post(path(manifest["kind"], self.namespace), json=manifest))

    def patch(self, kind: str, name: str, change: Any, sub: str = "", how: str = MERGE) -> Manifest:
        where = path(kind, self.namespace, name, sub)
        return _body(self.api.patch(where, json=change, headers={"Content-Type": how}))

    def delete(self, kind: str, name: str) -> None:
        _body(self.api.delete(path(kind, self.namespace, name)))

    def mmm(self, name: str = "clip") -> Manifest:
        return self.need(names.KIND, name)

    def deployments(self) -> dict[str, Manifest]:
        """The Deployments, by the model version that they serve."""
        return {item["metadata"]["labels"][names.LABEL_VERSION]: item for item in self.list("Deployment")}

    def condition(self, type_: str, name: str = "clip") -> Manifest:
        conditions = self.mmm(name).get("status", {}).get("conditions", [])
        found: Manifest | None = next((item for item in conditions if item["type"] == type_), None)
        assert found is not None, f"no condition {type_} among {[item['type'] for item in conditions]}"
        return found

    def make_pods_ready(self, labels: Mapping[str, str] | None = None) -> int:
        """Say of every pod that it runs and is ready, as a kubelet would; the answer is how many pods there are.

        Pods that only fetch are done instead, and are not counted.
        """
        pods = self.list("Pod", labels)
        for pod in pods:
            if is_fetcher(pod):
                if not has_ended(pod):
                    self.patch("Pod", pod["metadata"]["name"], DONE, "status", STRATEGIC)
            elif not is_ready(pod):
                self.patch("Pod", pod["metadata"]["name"], READY, "status", STRATEGIC)
        return sum(not is_fetcher(pod) for pod in pods)


def limit(objects: Objects, kind: str, name: str, spec: Mapping[str, Any]) -> str:
    """Where a ResourceQuota or LimitRange is, once it holds: a quota does so after its own controller has counted."""
    where = f"/api/v1/namespaces/{objects.namespace}/{kind.lower()}s"
    _body(objects.api.post(where, json={"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "spec": spec}))
    if kind == "ResourceQuota":
        eventually(lambda: _body(objects.api.get(f"{where}/{name}")).get("status", {}).get("used"))
    eventually(lambda: objects.api.get(f"/api/v1/namespaces/{objects.namespace}/serviceaccounts/default").is_success)
    return f"{where}/{name}"


_numbers = itertools.count()


@contextmanager
def new_namespace(api: httpx.Client, credentials: Mapping[str, str], name: str = "") -> Iterator[Objects]:
    """A namespace of its own, with these credentials in the Secret `s3`; no pods but restricted ones may be there."""
    found = Objects(api, name or f"test-{next(_numbers)}")
    metadata = {"name": found.namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    _body(api.post("/api/v1/namespaces", json=namespace))
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3"}, "stringData": dict(credentials)}
    found.create(secret)
    yield found
    _body(api.delete(f"/api/v1/namespaces/{found.namespace}"))


READY: Manifest = {
    "status": {
        "phase": "Running",
        "conditions": [
            {"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
            for kind in ("Initialized", "ContainersReady", "Ready")
        ],
    }
}
# A fetch that found its work done.
DONE: Manifest = {
    "status": {
        "phase": "Succeeded",
        "containerStatuses": [
            {
                "name": names.CONTAINER_FETCHER,
                "image": "server",
                "imageID": "server",
                "ready": False,
                "restartCount": 0,
                "state": {"terminated": {"exitCode": 0, "reason": "Completed"}},
            }
        ],
    }
}


def is_ready(pod: Manifest) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def _body(answer: httpx.Response) -> Manifest:
    assert answer.is_success, f"{answer.request.method} {answer.request.url.path}: {answer.text}"
    found: Manifest = answer.json()
    return found
