"""What the containers of a pod say: their last words, how they ended, why they cannot start."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mmm_operator import names
from mmm_operator.api.conditions import CAUSES, Reason
from mmm_operator.api.text import one_line
from mmm_operator.diagnose.evidence import Trouble, name_of
from mmm_operator.snapshot import Manifest, is_ready

# What the fetcher and the server may say of themselves; nobody else's words become a reason.
OWN_WORDS = {reason.value: reason for reason in CAUSES[0][1]}

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
# How a container ends that the node ends, a slow one included: that alone does not say why.
_KILLED = {137, 143}
# Between two tries the kubelet wraps what the last one said; without it the message stays the same.
_BACK_OFF = re.compile(r'^Back-off pulling image "[^"]*": (?:\w+: )?')


@dataclass(frozen=True, slots=True)
class Failure:
    """One end of a container, or of a pod (`container` is empty then), that was not as it should be."""

    pod: str
    container: str
    reason: Reason
    message: str
    at: str


def failures(pod: Manifest) -> Iterator[Failure]:
    """Every failed end that the pod still shows, whether it recovered or not."""
    if "deletionTimestamp" in pod["metadata"]:
        return  # it was told to end, and is killed when it takes too long
    for status in container_statuses(pod):
        for state in (status.get("state") or {}, status.get("lastState") or {}):
            if _exit_code(state):
                yield _recorded(pod, status["name"], _terminated(state) or {})
    if trouble := given_up(pod):
        at = max((c.get("lastTransitionTime") or "" for c in pod["status"].get("conditions") or ()), default="")
        yield Failure(name_of(pod), "", trouble.reason, trouble.message, at)


def _recorded(pod: Manifest, container: str, terminated: Manifest) -> Failure:
    trouble = _ending(container, terminated) or Trouble(Reason.CONTAINER_FAILED, _exit_words(terminated))
    return Failure(name_of(pod), container, trouble.reason, trouble.message, terminated.get("finishedAt") or "")


def _ending(container: str, terminated: Manifest) -> Trouble | None:
    if trouble := parse_last_words(terminated.get("message") or ""):
        return trouble
    if terminated.get("reason") == "OOMKilled":
        return _too_much_memory(container)
    if terminated.get("reason") in _START_FAILURES:
        return Trouble(Reason.CONTAINER_FAILED, f"container {container} cannot start: {_sentence(terminated)}")
    return None


def own_words(pod: Manifest) -> Trouble | None:
    """What our containers wrote to their termination log."""
    return next((t for _, ended in _failures(pod) if (t := parse_last_words(ended.get("message") or ""))), None)


def parse_last_words(text: str) -> Trouble | None:
    """What a container of ours wrote as its last line; None when these are not our words.

    Anything else that a container writes may hold a secret, so it never gets further than this.
    """
    last = text.strip().rsplit("\n", 1)[-1]
    try:
        content = json.loads(last)
    except (ValueError, RecursionError):
        return None
    reason = OWN_WORDS.get(str(content.get("reason"))) if isinstance(content, dict) else None
    message = content.get("message") if reason else None
    return Trouble(reason, one_line(message, 512) if isinstance(message, str) else "") if reason else None


def out_of_memory(pod: Manifest) -> Trouble | None:
    """Which container the kernel killed for its memory."""
    killed = (name for name, terminated in _failures(pod) if terminated.get("reason") == "OOMKilled")
    return next(map(_too_much_memory, killed), None)


def _too_much_memory(container: str) -> Trouble:
    advice = ": raise spec.resources.limits.memory" if container == names.CONTAINER_SERVER else ""
    return Trouble(Reason.OUT_OF_MEMORY, f"container {container} used more memory than its limit{advice}")


def image(pod: Manifest) -> Trouble | None:
    """Which image cannot be pulled."""
    for name, waiting in _waiting(pod):
        if waiting.get("reason") in _PULL_FAILURES:
            said = _BACK_OFF.sub("", _sentence(waiting))
            return Trouble(Reason.IMAGE_PULL_FAILED, f"image {_image_of(pod, name)}: {said}")
    return None


def cannot_start(pod: Manifest) -> Trouble | None:
    """Which container cannot be created, for instance for a Secret that is not there."""
    for name, waiting in _waiting(pod):
        if waiting.get("reason") in _CONFIG_FAILURES:
            return Trouble(Reason.CONTAINER_CONFIG_ERROR, f"container {name}: {_sentence(waiting)}")
        if waiting.get("reason") in _START_FAILURES:
            return Trouble(Reason.CONTAINER_FAILED, f"container {name} cannot start: {_sentence(waiting)}")
    return None


def given_up(pod: Manifest) -> Trouble | None:
    """Why the node gave up on the pod: eviction, or no room for it after all."""
    status = pod.get("status", {})
    if status.get("phase") == "Failed" and status.get("reason"):
        message = f"pod {name_of(pod)}: {status['reason']}: {status.get('message') or ''}"
        return Trouble(Reason.POD_FAILED, message)
    return None


def died(pod: Manifest) -> Trouble | None:
    """Which container exits, when it does not say why."""
    for name, terminated in _failures(pod):
        hint = f"see kubectl logs {name_of(pod)} -c {name} --previous"
        known = _ending(name, terminated)
        message = f"container {name} {_exit_words(terminated)}: {hint}"
        return known or Trouble(Reason.CONTAINER_FAILED, message)
    return None


def has_fetched(pod: Manifest) -> bool:
    """Whether the pod's fetcher has found the model on the volume, or has put it there."""
    ends = (
        status.get("state") or {} for status in container_statuses(pod) if status["name"] == names.CONTAINER_FETCHER
    )
    return any(_exit_code(state) == 0 for state in ends)


def fetching_pods(pods: Iterable[Manifest]) -> list[Manifest]:
    """The pods whose fetcher runs now, and which can be asked how far it is."""
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"] and _fetcher_runs(pod)]


def _fetcher_runs(pod: Manifest) -> bool:
    if stays(pod) and is_ready(pod):
        return False  # it runs for ever, and what it brings later is shown by the server
    running = (status["name"] for status in container_statuses(pod) if (status.get("state") or {}).get("running"))
    return bool(pod.get("status", {}).get("podIP")) and names.CONTAINER_FETCHER in running


def stays(pod: Manifest) -> bool:
    """Whether the pod's fetcher runs beside the server, and not before it."""
    every = pod["spec"].get("initContainers") or ()
    return any(item["name"] == names.CONTAINER_FETCHER and item.get("restartPolicy") == "Always" for item in every)


def was_killed(pod: Manifest) -> bool:
    """Whether all that is known of a container's end is that somebody else ended it."""
    codes = {terminated.get("exitCode") for _, terminated in _failures(pod)}
    return bool(codes) and codes <= _KILLED


def container_statuses(pod: Manifest) -> Iterator[Manifest]:
    """The statuses of all containers, in the order in which they start."""
    status = pod.get("status", {})
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _failures(pod: Manifest) -> Iterator[tuple[str, Manifest]]:
    """(container, terminated state) of the containers that failed and have not recovered since."""
    for status in container_statuses(pod):
        if failure := _failure(status, stays(pod)):
            yield status["name"], failure


def _failure(status: Manifest, stays: bool) -> Manifest | None:
    state, before = status.get("state") or {}, status.get("lastState") or {}
    # An init container that has done its work is ready too, however often it failed before. A fetcher in a Job is
    # ready while it tries: of how it failed before, that says nothing.
    tries = status["name"] == names.CONTAINER_FETCHER and state.get("running") and not stays
    healed = status.get("ready") and not tries
    if healed or _exit_code(state) == 0:
        return None
    if _exit_code(state):
        return _terminated(state)
    looping = (state.get("waiting") or {}).get("reason") == "CrashLoopBackOff"
    return _terminated(before) if _exit_code(before) or looping else None


def _terminated(state: Manifest) -> Manifest | None:
    terminated: Manifest | None = state.get("terminated")
    return terminated


def _exit_code(state: Manifest) -> int | None:
    terminated = _terminated(state)
    return None if terminated is None else int(terminated.get("exitCode", 0))


def _exit_words(terminated: Manifest) -> str:
    return f"exits with code {terminated.get('exitCode', 0)}"


def _waiting(pod: Manifest) -> Iterator[tuple[str, Manifest]]:
    for status in container_statuses(pod):
        if waiting := (status.get("state") or {}).get("waiting"):
            yield status["name"], waiting


def _image_of(pod: Manifest, container: str) -> str:
    every = [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
    return str(next((item.get("image", "") for item in every if item["name"] == container), ""))


def _sentence(state: Manifest) -> str:
    return one_line(str(state.get("message") or state.get("reason") or ""), 512)
