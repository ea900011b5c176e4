"""What an inference request asks for: images, texts, and which outputs in which form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmm_server.errors import Invalid
from mmm_server.http.oip.message import Message, Tensor, name_of, objects_of, parameters_of
from mmm_server.http.oip.tensors import images_of, texts_of
from mmm_server.limits import Limits
from mmm_server.tasks import Task

IMAGE, TEXT = "image", "text"
IMAGE_EMBEDS, TEXT_EMBEDS, PROBABILITIES = "image_embeds", "text_embeds", "probabilities"
# What each output is made of, and the task that must be on offer for it.
OUTPUTS: Mapping[str, tuple[tuple[str, ...], Task]] = {
    IMAGE_EMBEDS: ((IMAGE,), Task.IMAGE_EMBEDDING),
    TEXT_EMBEDS: ((TEXT,), Task.TEXT_EMBEDDING),
    PROBABILITIES: ((IMAGE, TEXT), Task.ZERO_SHOT_IMAGE_CLASSIFICATION),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One output, and whether its values shall follow the JSON as bytes."""

    name: str
    binary: bool


@dataclass(frozen=True, slots=True)
class InferenceCall:
    """One request of …/infer."""

    images: list[bytes]
    texts: list[str]
    outputs: tuple[Wanted, ...]
    id: str | None = None


def read_call(message: Message, limits: Limits, offered: Sequence[Task]) -> InferenceCall:
    """The call of a message; Invalid or Unprocessable if it makes no sense for a dual encoder."""
    given: dict[str, Tensor] = {tensor.name: tensor for tensor in message.tensors}
    if unknown := given.keys() - {IMAGE, TEXT}:
        raise Invalid(f"The request has {len(unknown)} unknown inputs; known are {IMAGE} and {TEXT}.")
    identity = message.document.get("id")
    if identity is not None and not isinstance(identity, str):
        raise Invalid("The field id must be a string.")
    return InferenceCall(
        images=images_of(given[IMAGE], limits) if IMAGE in given else [],
        texts=texts_of(given[TEXT], limits) if TEXT in given else [],
        outputs=_wanted(message.document, tuple(given), offered),
        id=identity,
    )


def _wanted(document: Mapping[str, object], given: Sequence[str], offered: Sequence[Task]) -> tuple[Wanted, ...]:
    by_default = _flag(parameters_of(document), "binary_data_output", False)
    asked = [_asked(one, by_default) for one in objects_of(document, "outputs")]
    if len({one.name for one in asked}) != len(asked):
        raise Invalid("An output is asked for twice.")
    for one in asked:
        if lacking := [name for name in OUTPUTS[one.name][0] if name not in given]:
            raise Invalid(f"The output {one.name} needs the input {' and '.join(lacking)}.")
    possible = [
        Wanted(name, by_default)
        for name, (inputs, task) in OUTPUTS.items()
        if task in offered and all(one in given for one in inputs)
    ]
    if not asked and not possible:
        raise Invalid("This model makes no output of these inputs alone; its metadata names its inputs and outputs.")
    return tuple(asked or possible)


def _asked(one: Mapping[str, object], by_default: bool) -> Wanted:
    name, parameters = name_of(one, "output"), parameters_of(one)
    if name not in OUTPUTS:
        raise Invalid(f"An output is unknown; known are {', '.join(OUTPUTS)}.")
    if "classification" in parameters:
        raise Invalid("The classification extension is not offered here; take the output probabilities.")
    return Wanted(name, _flag(parameters, "binary_data", by_default))


def _flag(parameters: Mapping[str, object], name: str, default: bool) -> bool:
    found = parameters.get(name, default)
    if not isinstance(found, bool):
        raise Invalid(f"The parameter {name} must be true or false.")
    return found
