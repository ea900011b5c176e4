"""From a model directory to the backend that can load it."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from mmm_server.backends.base import Backend, Wishes
from mmm_server.errors import UnsupportedModel


@dataclass(frozen=True, slots=True)
class Family:
    """Where the loader of some architectures lives; imported only when it is needed."""

    module: str
    architectures: tuple[str, ...]
    advertised: bool = True


FAMILIES = (
    Family("mmm_server.backends.clip", ("CLIPModel", "SiglipModel")),
    Family("mmm_server.backends.fake", ("FakeDualEncoder",), advertised=False),
)


class Loader(Protocol):
    """What a family's module offers under the name `load`."""

    def __call__(self, directory: Path, architecture: str, wishes: Wishes) -> Backend:
        """The loaded model."""
        ...


def find_loader(architectures: list[str]) -> tuple[str, Loader]:
    """The first architecture that has a backend, with its loader; UnsupportedModel if none has."""
    for architecture in architectures:
        for family in FAMILIES:
            if architecture in family.architectures:
                return architecture, cast(Loader, importlib.import_module(family.module).load)
    known = ", ".join(name for family in FAMILIES if family.advertised for name in family.architectures)
    wanted = ", ".join(architectures) or "none"
    raise UnsupportedModel(f"No backend serves the architecture {wanted}; supported are {known}.")
