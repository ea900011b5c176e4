"""The words for what a model can be asked to do; the same words stand in the custom resource."""

from enum import StrEnum


class Task(StrEnum):
    """A task that a model offers."""

    IMAGE_EMBEDDING = "ImageEmbedding"
    TEXT_EMBEDDING = "TextEmbedding"
    ZERO_SHOT_IMAGE_CLASSIFICATION = "ZeroShotImageClassification"


def name_all(tasks: tuple[Task, ...]) -> str:
    """The tasks as words of a sentence: "ImageEmbedding, TextEmbedding"."""
    return ", ".join(tasks) or "none"
