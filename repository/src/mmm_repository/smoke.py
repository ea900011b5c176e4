"""smoke.json: requests with known answers that a model version brings along, asked before it may serve.

It says what the bytes cannot: that the right answers come out. docs/smoke.md shows the format by example.
"""

import base64
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from mmm_repository.errors import InvalidDirectory
from mmm_repository.expectations import Expectation, described, parse_expectation
from mmm_repository.manifest import parse_json, sentence
from mmm_repository.paths import refusal_of_path, shown

SMOKE_NAME: Final = "smoke.json"
MAX_SMOKE_BYTES = 2**20
MAX_REQUESTS = 64
MAX_EXPECTATIONS = 128
MAX_PICTURE_BYTES = 16 * 2**20
MAX_PICTURES_BYTES = 64 * 2**20

MODEL = "{model}"  # stands for the name under which the model is served, which its publisher does not know
PATHS = (
    *("/predict", "/v1/classify", "/v1/embed", "/v1/similarity", "/v1/embeddings"),
    "/v2/models/{model}/infer",
)
POINTER = re.compile(r"(/([^~/]|~[01])*)*")
INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
ABSENT: Final = object()


class SmokeRequest(BaseModel):
    """One request as it stands in the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    name: Annotated[str, Field(min_length=1, max_length=100)]
    path: str
    body: dict[str, JsonValue]
    status: Annotated[int, Field(ge=100, le=599)] = 200
    expect: Annotated[dict[str, JsonValue], Field(max_length=MAX_EXPECTATIONS)] = Field(default_factory=dict)


class SmokeFile(BaseModel):
    """The file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    format: Literal[1]
    requests: Annotated[list[SmokeRequest], Field(min_length=1, max_length=MAX_REQUESTS)]


@dataclass(frozen=True)
class SmokeTest:
    """A request and what its answer must be."""

    name: str
    path: str
    body: Mapping[str, JsonValue]
    status: int
    expected: Mapping[str, Expectation]

    def difference(self, status: int, answer: object) -> str | None:
        """How an answer differs from the expected one, as words that follow the request's name; None if it does not."""
        if status != self.status:
            return f"the status should be {self.status}, but is {status}"
        for pointer, expectation in self.expected.items():
            found = look_up(answer, pointer)
            if found is ABSENT or not expectation.holds(found):
                came = "is not there" if found is ABSENT else f"is {described(found)}"
                return f"{pointer or 'the answer'} should be {expectation}, but {came}"
        return None


def read_smoke(root: Path) -> tuple[SmokeTest, ...]:
    """The smoke tests of a model directory, pictures put in place; none without the file. Blocks.

    Raises InvalidDirectory with a sentence for a file that breaks the format or names pictures that cannot be taken.
    """
    location = root / SMOKE_NAME
    if not os.path.lexists(location):  # a link that leads nowhere is no reason to serve what nobody has asked
        return ()
    pictures = Pictures(root)
    return tuple(
        SmokeTest(test.name, test.path, pictures.in_place(test.body), test.status, test.expected)
        for test in parse_smoke(inside(root, SMOKE_NAME, MAX_SMOKE_BYTES))
    )


def parse_smoke(content: bytes) -> tuple[SmokeTest, ...]:
    """The smoke tests in these bytes, their pictures still by name; InvalidDirectory where they break the format."""
    try:
        file = SmokeFile.model_validate(parse_json(content))
        tests = tuple(map(told_by, file.requests))
    except (ValidationError, ValueError, RecursionError) as error:
        raise InvalidDirectory(f"{SMOKE_NAME} is not a valid smoke test: {sentence(error)}.") from None
    if len({test.name for test in tests}) != len(tests):
        raise InvalidDirectory(f"{SMOKE_NAME} has two requests of one name. Give each its own.")
    return tests


def told_by(request: SmokeRequest) -> SmokeTest:
    """The test that a request describes; ValueError where a path, a pointer or an expectation cannot be one."""
    if request.path not in PATHS:
        raise ValueError(f"the request {shown(request.name)} has a path that is none of {', '.join(PATHS)}")
    expected = {}
    for pointer, value in request.expect.items():
        if not POINTER.fullmatch(pointer):
            raise ValueError(f"the request {shown(request.name)} expects at {shown(pointer)}, which is no JSON pointer")
        try:
            expected[pointer] = parse_expectation(value)
        except ValueError as error:
            raise ValueError(f"the request {shown(request.name)}, {shown(pointer)}: {error}") from None
    return SmokeTest(request.name, request.path, request.body, request.status, expected)


@dataclass
class Pictures:
    """The files that bodies name, read once the body needs them and bounded together."""

    root: Path
    left: int = MAX_PICTURES_BYTES

    def in_place(self, value: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """The same body with every `{"file": "…"}` replaced by the base64 of that file."""
        return {key: self._replaced(inner) for key, inner in value.items()}

    def _replaced(self, value: JsonValue) -> JsonValue:
        if isinstance(value, list):
            return [self._replaced(inner) for inner in value]
        if not isinstance(value, dict):
            return value
        path = value.get("file")
        if len(value) != 1 or not isinstance(path, str):
            return self.in_place(value)
        content = inside(self.root, path, min(MAX_PICTURE_BYTES, self.left))
        self.left -= len(content)
        return base64.b64encode(content).decode()


def inside(root: Path, path: str, most: int) -> bytes:
    """A file of the version; InvalidDirectory for a name that leads elsewhere, and for what is missing or too large."""
    refusal = refusal_of_path(path)
    if refusal:
        raise InvalidDirectory(f"{SMOKE_NAME} names the file {shown(path)}, which is refused: it {refusal}.")
    location = (root / path).resolve()
    if not location.is_relative_to(root.resolve()):
        raise InvalidDirectory(f"The file {shown(path)} of the smoke test is a link out of the model's directory.")
    if not location.is_file():
        raise InvalidDirectory(f"{SMOKE_NAME} names the file {shown(path)}, which is not there.")
    with location.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise InvalidDirectory(
            f"The file {shown(path)} of the smoke test is larger than smoke tests may be ({most} bytes)."
        )
    return content


def look_up(document: object, pointer: str) -> object:
    """The value at a JSON pointer (RFC 6901); ABSENT where there is none."""
    for step in steps(pointer):
        if isinstance(document, dict) and step in document:
            document = document[step]
        elif isinstance(document, list) and INDEX.fullmatch(step) and int(step) < len(document):
            document = document[int(step)]
        else:
            return ABSENT
    return document


def steps(pointer: str) -> Iterator[str]:
    """The unescaped components of a pointer."""
    return (step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])
