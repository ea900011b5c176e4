"""The list of a version's files: its canonical bytes are what a digest names.

Canonical means sorted keys, files sorted by path, no spaces, UTF-8, no trailing newline. The digest is taken over
the bytes as they lie in the store, so a manifest that some other tool wrote with spaces is still a manifest.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from mmm_repository.errors import DigestMismatch, InvalidManifest, RepositoryError
from mmm_repository.paths import MANIFEST_NAME, check_paths

__all__ = ["MANIFEST_NAME", "FileEntry", "Manifest", "check_digest", "digest_of", "parse_manifest"]

FORMAT: Final = 1
MAX_MANIFEST_BYTES = 4 * 2**20
MAX_FILES = 10_000
# Largest integer that every JSON reader keeps exactly.
MAX_BYTES = 2**53 - 1

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class FileEntry(BaseModel):
    """One file of a version: where it lies, how long it is, what is in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    path: str
    size: int = Field(ge=0, le=MAX_BYTES)
    sha256: Sha256


class Manifest(BaseModel):
    """Everything that a version consists of. Files are kept sorted by path."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    format: Literal[1] = FORMAT
    # Not strict here: JSON has arrays only.
    files: tuple[FileEntry, ...] = Field(min_length=1, max_length=MAX_FILES, strict=False)
    metadata: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_files(self) -> Self:
        check_paths(entry.path for entry in self.files)
        if self.total_bytes > MAX_BYTES:
            raise InvalidManifest("The sizes in manifest.json add up to more than any store can hold.")
        in_order = tuple(sorted(self.files, key=lambda entry: entry.path))
        # The only way to normalise a field of a frozen model; nobody has seen the object yet.
        object.__setattr__(self, "files", in_order)
        return self

    @property
    def total_bytes(self) -> int:
        """The sum of all file sizes."""
        return sum(entry.size for entry in self.files)

    def canonical_bytes(self) -> bytes:
        """The bytes to publish; the same for equal manifests, whatever order they were built in."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """`sha256:<hex>` of the canonical bytes."""
        return digest_of(self.canonical_bytes())


def build_manifest(files: Iterable[FileEntry], metadata: Mapping[str, JsonValue]) -> Manifest:
    """The manifest of these files; raises InvalidManifest where the format does not allow it."""
    try:
        manifest = Manifest(files=tuple(files), metadata=dict(metadata))
        oversized = len(manifest.canonical_bytes()) > MAX_MANIFEST_BYTES
    except (ValidationError, ValueError) as error:
        raise InvalidManifest(f"The manifest cannot be written: {sentence(error)}.") from None
    if oversized:
        raise InvalidManifest(f"The manifest would be larger than {MAX_MANIFEST_BYTES} bytes.")
    return manifest


def parse_manifest(content: bytes) -> Manifest:
    """The manifest in these untrusted bytes; raises InvalidManifest, and nothing else, when they hold none."""
    if len(content) > MAX_MANIFEST_BYTES:
        raise InvalidManifest(f"manifest.json is larger than {MAX_MANIFEST_BYTES} bytes.")
    try:
        document = parse_json(content)
        check_format(document)
        manifest = Manifest.model_validate(document)
        manifest.canonical_bytes()
    except RepositoryError:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidManifest(f"manifest.json is not a valid manifest: {sentence(error)}.") from None
    return manifest


def check_format(document: object) -> None:
    """Raise InvalidManifest for a manifest of a later format, in words that say so."""
    # By type as well: for Python, true and 1.0 equal 1.
    if isinstance(document, dict) and (type(document.get("format")) is not int or document["format"] != FORMAT):
        raise InvalidManifest(
            f"manifest.json is not of format {FORMAT}; it was written by a newer or a foreign publisher."
        )


def digest_of(content: bytes) -> str:
    """`sha256:<hex>` of the bytes."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def check_digest(content: bytes, expected: str) -> None:
    """Raise DigestMismatch unless these are the manifest bytes that `expected` names."""
    if digest_of(content) != expected:
        raise replaced(content, expected)


def replaced(content: bytes, expected: str) -> DigestMismatch:
    """The error for another manifest than the wanted one."""
    return DigestMismatch(
        f"manifest.json has the digest {digest_of(content)[:19]}…, wanted is {expected[:19]}…: "
        "the version was replaced after it was chosen. Versions are immutable; publish a new one."
    )


def parse_json(content: bytes) -> object:
    """The JSON document in these bytes; duplicate keys, NaN and infinities raise ValueError."""
    return json.loads(content.decode("utf-8"), object_pairs_hook=unique_keys, parse_constant=refuse_constant)


def canonical_json(document: object) -> bytes:
    """The one way to write a document: sorted keys, no spaces, UTF-8."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The pairs as a dictionary; a key that comes twice raises ValueError."""
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key comes twice in one object")
    return document


def refuse_constant(name: str) -> object:
    """Raise ValueError: NaN and infinities are no JSON."""
    raise ValueError(f"{name} is not a number of JSON")


def sentence(error: Exception) -> str:
    """What is wrong, in a few words that echo nothing of the input's values."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"] if isinstance(part, int) or part.isidentifier())
        return f"{where}: {first['msg']}" if where else first["msg"]
    if isinstance(error, UnicodeError):
        return "it is not UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error)[:200]
