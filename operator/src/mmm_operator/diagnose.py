"""The root cause of trouble, from the pods themselves: one reason and one sentence.

Checks are ordered by how much they explain: what a container says of itself, then how it died, then
why it cannot start, then why the pod has no node. The first finding of the first check wins. A trouble
that is over is no trouble.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from mmm_operator import names
from mmm_operator.api.conditions import Reason
from mmm_operator.snapshot import Manifest, has_ended, is_ready

# What the fetcher and the server may say of themselves; nobody else's words become a reason.
OWN_WORDS = {
    reason.value: reason
    for reason in (
        Reason.MODEL_NOT_FOUND,
        Reason.VERSION_NOT_FOUND,
        Reason.INCOMPLETE_UPLOAD,
        Reason.ACCESS_DENIED,
        Reason.ENDPOINT_UNREACHABLE,
        Reason.TLS_VERIFY_FAILED,
        Reason.DIGEST_MISMATCH,
        Reason.INVALID_MANIFEST,
        Reason.UNSAFE_ARTIFACT,
        Reason.NO_SPACE,
        Reason.MODEL_TOO_LARGE,
        Reason.UNSUPPORTED_MODEL,
        Reason.UNSUPPORTED_TASK,
        Reason.MODEL_LOAD_FAILED,
        Reason.WARM_UP_FAILED,
        Reason.ACCELERATOR_UNAVAILABLE,
        Reason.OUT_OF_MEMORY,
        Reason.INTERNAL_ERROR,
    )
}
_PULL_FAILURES = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
}
_CONFIG_FAILURES = {"CreateContainerConfigError", "PreCreateHookError"}
_START_FAILURES = {
    "RunContainerError",
    "CreateContainerError",
    "StartError",
    "ContainerCannotRun",
    "PreStartHookError",
    "PostStartHookError",
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a pod does not serve. `message` is a sentence for the owner of the model."""

    reason: Reason
    message: str


Check = Callable[[Manifest], Trouble | None]


def diagnose(pods: Sequence[Manifest]) -> Trouble | None:
    """The most telling trouble of all `pods`, or None when none has any."""
    return _first(CHECKS, pods)


def diagnose_capacity(pods: Sequence[Manifest]) -> Trouble | None:
    """Why a pod of `pods` has no node, or None when all have one."""
    return _first((_unschedulable,), pods)


def _first(checks: Iterable[Check], pods: Sequence[Manifest]) -> Trouble | None:
    counted = _counted(pods)
    return next((trouble for check in checks for pod in counted if (trouble := check(pod))), None)


def _counted(pods: Sequence[Manifest]) -> list[Manifest]:
    """The pods that matter: not those on their way out, nor the remains of pods whose successor is ready.

    A pod that its node gave up on is kept by Kubernetes for ever, for people to look at.
    """
    staying = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    healed = max(map(_born, filter(is_ready, staying)), default="")
    return [pod for pod in staying if not has_ended(pod) or _born(pod) > healed]


def _born(pod: Manifest) -> str:
    return str(pod["metadata"].get("creationTimestamp", ""))


def _statuses(pod: Manifest) -> Iterator[Manifest]:
    status = pod.get("status", {})
    yield from status.get("initContainerStatuses", ())
    yield from status.get("containerStatuses", ())


def _failures(pod: Manifest) -> Iterator[tuple[str, Manifest]]:
    """(container, terminated state) of the containers that failed and have not recovered since."""
    for status in _statuses(pod):
        if failure := _failure(status):
            yield status["name"], failure


def _failure(status: Manifest) -> Manifest | None:
    state, before = status.get("state", {}), status.get("lastState", {})
    # An init container that has done its work is ready too, however often it failed before.
    if status.get("ready") or _exit_code(state) == 0:
        return None
    if _exit_code(state):
        return _terminated(state)
    looping = state.get("waiting", {}).get("reason") == "CrashLoopBackOff"
    return _terminated(before) if _exit_code(before) or looping else None


def _terminated(state: Manifest) -> Manifest | None:
    terminated: Manifest | None = state.get("terminated")
    return terminated


def _exit_code(state: Manifest) -> int | None:
    terminated = _terminated(state)
    return None if terminated is None else int(terminated.get("exitCode", 0))


def _waiting(pod: Manifest) -> Iterator[tuple[str, Manifest]]:
    for status in _statuses(pod):
        if waiting := status.get("state", {}).get("waiting"):
            yield status["name"], waiting


def _own_words(pod: Manifest) -> Trouble | None:
    """What our containers wrote to their termination log."""
    for _, terminated in _failures(pod):
        if trouble := _parse_termination(terminated.get("message", "")):
            return trouble
    return None


def _parse_termination(text: str) -> Trouble | None:
    last = text.strip().rsplit("\n", 1)[-1]
    try:
        content = json.loads(last)
    except (ValueError, RecursionError):
        return None
    reason = OWN_WORDS.get(str(content.get("reason"))) if isinstance(content, dict) else None
    return Trouble(reason, str(content.get("message") or "")[:1024]) if reason else None


def _out_of_memory(pod: Manifest) -> Trouble | None:
    for name, terminated in _failures(pod):
        if terminated.get("reason") == "OOMKilled":
            advice = ": raise spec.resources.limits.memory" if name == names.CONTAINER_SERVER else ""
            return Trouble(Reason.OUT_OF_MEMORY, f"container {name} used more memory than its limit{advice}")
    return None


def _image(pod: Manifest) -> Trouble | None:
    for name, waiting in _waiting(pod):
        if waiting.get("reason") in _PULL_FAILURES:
            image = _image_of(pod, name)
            return Trouble(Reason.IMAGE_PULL_FAILED, f"image {image}: {_sentence(waiting)}")
    return None


def _cannot_start(pod: Manifest) -> Trouble | None:
    for name, waiting in _waiting(pod):
        if waiting.get("reason") in _CONFIG_FAILURES:
            return Trouble(Reason.CONTAINER_CONFIG_ERROR, f"container {name}: {_sentence(waiting)}")
        if waiting.get("reason") in _START_FAILURES:
            return Trouble(Reason.CONTAINER_FAILED, f"container {name} cannot start: {_sentence(waiting)}")
    return None


def _given_up(pod: Manifest) -> Trouble | None:
    """Why the node gave up on the pod: eviction, or no room for it after all."""
    status = pod.get("status", {})
    if status.get("phase") == "Failed" and status.get("reason"):
        message = f"pod {pod['metadata']['name']}: {status['reason']}: {status.get('message', '')}"
        return Trouble(Reason.POD_FAILED, message[:1024])
    return None


def _died(pod: Manifest) -> Trouble | None:
    for name, terminated in _failures(pod):
        if terminated.get("reason") in _START_FAILURES:
            return Trouble(Reason.CONTAINER_FAILED, f"container {name} cannot start: {_sentence(terminated)}")
        code = terminated.get("exitCode")
        pod_name = pod["metadata"]["name"]
        return Trouble(
            Reason.CONTAINER_FAILED,
            f"container {name} exits with code {code}: see kubectl logs {pod_name} -c {name} --previous",
        )
    return None


def _unschedulable(pod: Manifest) -> Trouble | None:
    for condition in pod.get("status", {}).get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            message = condition.get("message", "")
            return Trouble(_capacity_reason(message, pod), f"pod {pod['metadata']['name']}: {message}")
    return None


def _capacity_reason(message: str, pod: Manifest) -> Reason:
    if any(f"Insufficient {resource}" in message for resource in _extended_resources(pod)):
        return Reason.INSUFFICIENT_ACCELERATOR
    if "Insufficient memory" in message:
        return Reason.INSUFFICIENT_MEMORY
    if "Insufficient cpu" in message:
        return Reason.INSUFFICIENT_CPU
    return Reason.UNSCHEDULABLE


def _extended_resources(pod: Manifest) -> set[str]:
    limits = (container.get("resources", {}).get("limits", {}) for container in pod["spec"]["containers"])
    return {resource for limit in limits for resource in limit if "/" in resource}


def _image_of(pod: Manifest, container: str) -> str:
    every = [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]
    return str(next((item.get("image", "") for item in every if item["name"] == container), ""))


def _sentence(state: Manifest) -> str:
    return str(state.get("message") or state.get("reason", ""))[:512]


CHECKS: tuple[Check, ...] = (_own_words, _out_of_memory, _image, _cannot_start, _given_up, _died, _unschedulable)
