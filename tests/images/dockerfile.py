"""Reads a Dockerfile into its stages, as far as the tests look at it."""

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Stage:
    """The instructions from one FROM to the next; those before the first FROM are a stage without a base."""

    base: str = ""
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, keyword: str) -> list[str]:
        return [argument for name, argument in self.instructions if name == keyword]

    def only(self, keyword: str) -> str:
        [argument] = self.all(keyword)
        return argument

    def json(self, keyword: str) -> list[str]:
        return list(json.loads(self.only(keyword)))

    def environment(self) -> dict[str, str]:
        return dict(word.split("=", 1) for argument in self.all("ENV") for word in shlex.split(argument))

    def defaults(self) -> dict[str, str]:
        return dict(argument.split("=", 1) for argument in self.all("ARG") if "=" in argument)

    def copied(self) -> list[str]:
        """What comes from the working tree, not from another stage."""
        words = [argument.split() for argument in self.all("COPY") if not argument.startswith("--from")]
        return [source for line in words for source in line[:-1]]


def read(name: str) -> list[Stage]:
    """The stages of `Dockerfile.<name>`."""
    stages = [Stage()]
    lines = (ROOT / f"Dockerfile.{name}").read_text().splitlines()
    for line in "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        keyword, argument = line.split(maxsplit=1)
        if keyword == "FROM":
            stages.append(Stage(base=argument))
        else:
            stages[-1].instructions.append((keyword, argument))
    return stages
