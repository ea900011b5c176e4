"""What a model directory must look like before anything in it is loaded."""

import hashlib
import json
import re
from pathlib import Path
from typing import TypeGuard

from mmm_repository import RepositoryError, identity_of
from mmm_server.errors import DigestMismatch, Fatal, ModelLoadFailed, UnsafeArtifact, UnsupportedModel

PICKLES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz"})
CODE = frozenset({".py", ".pyc", ".so"})
MANIFEST = "manifest.json"
MAX_HEADER_BYTES = 100_000_000  # the safetensors format's own limit
# What no file without the key holds: the key, or one of its letters as JSON may also write it. Tokenizers hold escapes
# by the thousand, but of letters that need one.
MAY_BE_AUTO_MAP = re.compile(rb'"auto_map"|\\u00(?:61|75|74|6[fF]|5[fF]|6[dD]|70)')

JsonObject = dict[str, object]


def is_object(value: object) -> TypeGuard[JsonObject]:
    """Whether a parsed JSON value is an object."""
    return isinstance(value, dict)


def inspect_directory(directory: Path, digest: str | None) -> list[str]:
    """The architectures that the directory's config.json names, after every check of safety and identity."""
    if not directory.is_dir():
        raise ModelLoadFailed("The model directory does not exist: the model has not been fetched.", retry_helps=True)
    if digest is not None:
        check_digest(directory, digest)
    config = read_object(directory / "config.json", UnsupportedModel)
    check_files(directory, needs_weights=config.get("model_type") != "fake")
    architectures = config.get("architectures")
    if not isinstance(architectures, list) or not all(isinstance(name, str) for name in architectures):
        raise UnsupportedModel("config.json names no architecture.")
    return architectures


def check_digest(directory: Path, digest: str) -> None:
    """DigestMismatch unless the manifest is the wanted one and every file has the size that it says.

    A version that was fetched without a manifest has one that the fetch wrote, and is known by its listing's digest.
    """
    manifest = directory / MANIFEST
    if not manifest.is_file():
        return
    content = manifest.read_bytes()
    found = "sha256:" + hashlib.sha256(content).hexdigest()
    if digest not in (found, listing_digest(content)):
        raise DigestMismatch(f"The model directory holds {found}, wanted is {digest}.")
    listed = read_object(manifest, DigestMismatch).get("files")
    for entry in listed if isinstance(listed, list) else []:
        path = directory / str(entry["path"])
        if not path.is_file() or path.stat().st_size != entry["size"]:
            raise DigestMismatch(f"The file {entry['path']} is not the one that the manifest lists.")


def listing_digest(content: bytes) -> str | None:
    """The digest of the listing that the fetch wrote this manifest for; None for a manifest that is none."""
    try:
        return identity_of(content)
    except RepositoryError:
        return None


def check_files(directory: Path, *, needs_weights: bool = True) -> None:
    """UnsafeArtifact if a file could run code or a weight file is none; ModelLoadFailed without any weights."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    for path in files:
        if path.suffix.lower() in PICKLES:
            raise UnsafeArtifact(
                f"{path.name} may be a pickle, which can run code: publish the weights as safetensors."
            )
        if path.suffix.lower() in CODE:
            raise UnsafeArtifact(f"{path.name} is code: a model directory holds weights and configuration only.")
        if path.suffix == ".json" and path.stat().st_size < MAX_HEADER_BYTES and _has_auto_map(path):
            raise UnsafeArtifact(f"{path.name} asks for code of its own (auto_map), which is never run.")
    weights = [path for path in files if path.suffix == ".safetensors"]
    for path in weights:
        _check_safetensors(path)
    if needs_weights and not weights:
        raise ModelLoadFailed("The model directory holds no safetensors weights.")


def read_object(path: Path, error: type[Fatal]) -> JsonObject:
    """The JSON object in a file, or `error` with a sentence."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise error(f"The model directory holds no {path.name}.") from None
    except (OSError, ValueError, RecursionError):
        raise error(f"{path.name} cannot be read as JSON.") from None
    if not is_object(value):
        raise error(f"{path.name} is not a JSON object.")
    return value


def _has_auto_map(path: Path) -> bool:
    if MAY_BE_AUTO_MAP.search(path.read_bytes()) is None:
        return False
    return _mentions(read_object(path, UnsafeArtifact), "auto_map")


def _mentions(value: object, key: str) -> bool:
    rest = [value]
    while rest:  # a recursion would end where the parser's, written in C, does not
        one = rest.pop()
        if is_object(one):
            if key in one:
                return True
            rest.extend(one.values())
        elif isinstance(one, list):
            rest.extend(one)
    return False


def _check_safetensors(path: Path) -> None:
    """The header alone: its length fits the file and it is a JSON object."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(MAX_HEADER_BYTES, path.stat().st_size - 8):
            raise UnsafeArtifact(f"{path.name} is not a safetensors file: its header has no valid length.")
        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError):
            raise UnsafeArtifact(f"{path.name} is not a safetensors file: its header is no JSON.") from None
    if not is_object(header):
        raise UnsafeArtifact(f"{path.name} is not a safetensors file: its header is no JSON object.")
