"""A first MultimodalModel for a model: pure text, from what is known of the model and of where it will lie."""

import json
import re
import shlex
from dataclasses import dataclass

from mmm_cli.output import readable_bytes
from mmm_operator import names
from mmm_operator.api.v1alpha1 import Task

MIB = 2**20
# What the server takes before it has a model: Python, PyTorch, the processors.
SERVER_BYTES = 512 * MIB
FLOAT32_BYTES = 4
STEP_BYTES = 256 * MIB
PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9:/._@=-]*")
DUAL_ENCODER = (Task.IMAGE_EMBEDDING, Task.TEXT_EMBEDDING, Task.ZERO_SHOT_IMAGE_CLASSIFICATION)
TASKS = {"CLIPModel": DUAL_ENCODER, "SiglipModel": DUAL_ENCODER}
"""What the server offers for each architecture that it knows; a test compares it with the server's own table."""
ROLLOUT = """\
  # How another version takes over, with the defaults; `mmm rollout status` follows it.
  # rollout:
  #   type: RollingUpdate  # or Canary, in steps that are watched; BlueGreen; Recreate; HotSwap, without new pods
  #   whenNoCapacity: ReplaceInPlace  # no room for one pod more: an old one goes first; or Wait, or Fail
  #   capacityTimeoutSeconds: 120  # how long a new pod waits for room before that
  #   autoRollback: true  # what fails is taken back, and status.model.failed says why
"""


@dataclass(frozen=True)
class Model:
    """What a model directory says of itself. `architecture` is empty where it says nothing."""

    directory: str
    architecture: str
    parameters: int
    stored_bytes: int

    @property
    def computed_bytes(self) -> int:
        """What the weights take in memory as float32, in which the server computes on processors."""
        return self.parameters * FLOAT32_BYTES


@dataclass(frozen=True)
class Place:
    """The name of the object, where the model will lie, and how to get there."""

    name: str
    uri: str
    version: str
    endpoint: str | None
    secret: str
    accelerator: str | None


def sample(model: Model, place: Place) -> str:
    """A MultimodalModel as a YAML file with comments, that validates."""
    parts = (
        _head(model, place),
        _source(model, place),
        _storage(place),
        _accelerator(place),
        "  replicas: 1\n",
        ROLLOUT,
        _resources(model, place),
    )
    return "".join(parts)


def object_name(directory: str) -> str:
    """A name for the object, made from that of the directory: it also names the Service."""
    text = re.sub(r"[^a-z0-9]+", "-", directory.lower()).strip("-")
    text = text if text[:1].isalpha() else f"model-{text}"
    return text[: names.MAX_NAME_LENGTH].strip("-")


def _head(model: Model, place: Place) -> str:
    architecture = _one_line(model.architecture or "a model")
    size = f"{_millions(model.parameters)} parameters, {readable_bytes(model.stored_bytes)} of weights"
    return (
        f"# {place.name}: {architecture}, {size}.\n"
        f"#   mmm publish {_one_line(shlex.quote(model.directory))} {place.uri} --version {place.version}\n"
        "#   mmm validate THIS-FILE\n"
        "#   kubectl apply -f THIS-FILE\n"
        f"#   kubectl wait --for=condition=Ready mmm/{place.name}\n"
        f"apiVersion: {names.API_VERSION}\nkind: {names.KIND}\nmetadata:\n  name: {_scalar(place.name)}\nspec:\n"
    )


def _source(model: Model, place: Place) -> str:
    tasks = TASKS.get(model.architecture)
    note = (
        f"    # It can do all of these; name fewer to offer fewer.\n    # tasks: [{', '.join(tasks)}]\n"
        if tasks
        else "    # The operator's own server does not know this architecture: set runtime.image to one that does.\n"
    )
    return f"  model:\n    uri: {_scalar(place.uri)}\n    version: {json.dumps(place.version)}\n{note}"


def _storage(place: Place) -> str:
    if place.endpoint:
        endpoint = f"    endpoint: {_scalar(place.endpoint)}\n"
    else:
        endpoint = "    # Any S3-compatible server; without it, AWS.\n    # endpoint: http://s3.storage:9000\n"
    return (
        f"  storage:\n{endpoint}"
        "    # Made once in this namespace; without it, the ambient identity of the pods' ServiceAccount:\n"
        f"    #   kubectl create secret generic {place.secret}"
        " --from-literal=AWS_ACCESS_KEY_ID=… --from-literal=AWS_SECRET_ACCESS_KEY=…\n"
        f"    credentialsSecretRef:\n      name: {_scalar(place.secret)}\n"
    )


def _accelerator(place: Place) -> str:
    if place.accelerator:
        return f"  accelerator:\n    resourceName: {_scalar(place.accelerator)}\n    count: 1\n"
    return "  # One GPU for each pod; without it the model computes on processors.\n  # accelerator:\n  #   count: 1\n"


def _resources(model: Model, place: Place) -> str:
    request, limit = memory(model, on_device=place.accelerator is not None)
    weights = readable_bytes(model.computed_bytes)
    if place.accelerator:
        why = "The weights lie on the device; here they only pass through while they are loaded."
    else:
        why = f"{weights} of weights as float32, the server itself, and a batch at work; more while it loads."
    return (
        f"  resources:\n    # {why} Watch it, then adjust.\n"
        f"    requests:\n      cpu: {json.dumps(str(_processors(model)))}\n      memory: {request // MIB}Mi\n"
        f"    limits:\n      memory: {limit // MIB}Mi\n"
    )


def memory(model: Model, *, on_device: bool) -> tuple[int, int]:
    """The memory to request, and the limit: what it takes to serve, and to load, which reads the files beside it."""
    serving = SERVER_BYTES + (0 if on_device else model.computed_bytes * 5 // 4)
    loading = serving + max(model.stored_bytes, model.computed_bytes) + SERVER_BYTES // 2
    return _rounded(serving), _rounded(loading)


def _rounded(count: int) -> int:
    return -(-count // STEP_BYTES) * STEP_BYTES


def _processors(model: Model) -> int:
    """Enough that a forward pass of a larger model does not take seconds."""
    return 1 if model.parameters < 200e6 else 2 if model.parameters < 1e9 else 4


def _millions(count: int) -> str:
    return f"{count / 1e9:.1f} G" if count >= 1e9 else f"{count / 1e6:.1f} M"


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _scalar(text: str) -> str:
    """The text as YAML; in quotes only where it could be taken for something else."""
    return (
        text
        if PLAIN.fullmatch(text) and text not in ("true", "false", "null", "yes", "no", "on", "off")
        else json.dumps(text)
    )
