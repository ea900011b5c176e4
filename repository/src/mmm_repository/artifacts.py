"""What a model version may not contain: everything that runs, or that lies about itself.

Names are refused before a byte is downloaded, contents as soon as a file is complete. The loader never sees
a file that this module refuses; it has its own switches against remote code besides.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mmm_repository.errors import UnsafeArtifact
from mmm_repository.manifest import parse_json, sentence
from mmm_repository.paths import refusal_of_path, shown
from mmm_repository.safetensors import check_safetensors

PICKLES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".dill", ".npy", ".npz", ".mar"})
CODE = frozenset({".py", ".pyc", ".pyd", ".pyw", ".ipynb", ".so", ".dll", ".dylib", ".exe", ".sh", ".js", ".wasm"})
CODE |= {".h5", ".hdf5", ".keras", ".pb", ".jar", ".class", ".whl", ".egg", ".lua", ".ps1", ".bat"}
ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".lz4", ".cab", ".iso"})

PICKLE_ADVICE = "it can run code when it is loaded. Save the weights as safetensors"
CODE_ADVICE = "it can run code. Models are configured here, never programmed"
ARCHIVE_ADVICE = "archives are not unpacked. Publish the files themselves"

# What a renamed file still begins with. A text or media file never does.
SIGNATURES = (
    (re.compile(rb"\x80[\x02-\x05]"), "a pickle"),
    (re.compile(rb"PK(\x03\x04|\x05\x06)"), "a zip archive, or weights that torch.save wrote"),
    (re.compile(rb"\x1f\x8b|BZh[1-9]1AY|\xfd7zXZ\x00|\x28\xb5\x2f\xfd|7z\xbc\xaf\x27\x1c|Rar!"), "an archive"),
    (re.compile(rb".{257}ustar", re.DOTALL), "a tar archive"),
    (re.compile(rb"\x7fELF|MZ\x90|#!|\xcf\xfa\xed\xfe|\xca\xfe\xba\xbe"), "a program"),
    (re.compile(rb"\x89HDF"), "an HDF5 file, whose layers may hold code"),
)

MAX_CONFIG_BYTES = 32 * 2**20
# Keys that make a loader import code that lies beside the model or on a hub.
CODE_KEYS = frozenset({"auto_map", "custom_pipelines"})
# Private keys that save_pretrained of several releases wrote and that no loader acts on. Every other private key
# may reach private switches of the library, such as the choice of an attention kernel to download.
HARMLESS_PRIVATE_KEYS = frozenset(
    {
        "_attn_implementation_autoset",
        "_class_name",
        "_commit_hash",
        "_diffusers_version",
        "_from_model_config",
        "_name_or_path",
        "_valid_processor_keys",
    }
)


def check_name(path: str) -> None:
    """Raise UnsafeArtifact for a file whose name alone says that it is a pickle, code or an archive."""
    # Every suffix counts: "weights.tar.json" is odd enough to be refused, "model.bin.index.json" is only an index.
    suffix = PurePosixPath(path).suffix.lower()
    for suffixes, kind, advice in (
        (PICKLES, "a pickle", PICKLE_ADVICE),
        (CODE, "code", CODE_ADVICE),
        (ARCHIVES, "an archive", ARCHIVE_ADVICE),
    ):
        if suffix in suffixes:
            raise UnsafeArtifact(f"The file {shown(path)} is {kind}: {advice}.")


def check_file(root: Path, path: str) -> None:
    """Raise UnsafeArtifact unless the file at `root/path` may be loaded. Reads headers, and configs whole."""
    check_name(path)
    location = root / path
    if path.endswith(".safetensors"):
        check_safetensors(location, path)
        return
    check_signature(location, path)
    if is_config(path):
        check_config(location, path)
    if path.endswith(".safetensors.index.json"):
        check_index(location, path)


def check_signature(location: Path, path: str) -> None:
    """Raise UnsafeArtifact for a pickle, an archive or a program under another name."""
    with location.open("rb") as file:
        head = file.read(262)
    for signature, kind in SIGNATURES:
        if signature.match(head):
            raise UnsafeArtifact(f"The file {shown(path)} is {kind} under another name.")


def is_config(path: str) -> bool:
    """Whether a loader reads the file as settings."""
    name = PurePosixPath(path).name
    return name.endswith("config.json") or name in ("adapter_model.json", "modules.json", "model_index.json")


def check_config(location: Path, path: str) -> None:
    """Raise UnsafeArtifact for a config that would make a loader run code or flip private switches."""
    document = read_json(location, path)
    if not isinstance(document, dict):
        raise UnsafeArtifact(f"The file {shown(path)} is not a JSON object.")
    for key, value in keys_of(document):
        if key in CODE_KEYS:
            raise UnsafeArtifact(
                f"The file {shown(path)} holds {key}, which loads code that ships with the model. "
                "Only architectures that the server knows are served."
            )
        if key == "trust_remote_code" and value is not False:
            raise UnsafeArtifact(f"The file {shown(path)} asks for trust_remote_code, which is never granted.")
        if key.startswith("_") and key not in HARMLESS_PRIVATE_KEYS:
            raise UnsafeArtifact(f"The file {shown(path)} sets the private key {shown(key)}. Remove the key.")


def check_index(location: Path, path: str) -> None:
    """Raise UnsafeArtifact for an index of weights that points outside its own directory."""
    document = read_json(location, path)
    shards = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(shards, dict):
        raise UnsafeArtifact(f"The file {shown(path)} has no weight_map.")
    for shard in set(map(str, shards.values())):
        if refusal_of_path(shard) or not shard.endswith(".safetensors"):
            raise UnsafeArtifact(f"The file {shown(path)} names the shard {shown(shard)}, which it may not.")


def read_json(location: Path, path: str) -> object:
    """The document in a JSON file of limited size; raises UnsafeArtifact when it is none."""
    if location.stat().st_size > MAX_CONFIG_BYTES:
        raise UnsafeArtifact(f"The file {shown(path)} is larger than {MAX_CONFIG_BYTES} bytes.")
    try:
        return parse_json(location.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UnsafeArtifact(f"The file {shown(path)} is not valid JSON: {sentence(error)}.") from None


def keys_of(document: object) -> Iterator[tuple[str, object]]:
    """Every key of the document with its value, at any depth."""
    waiting = [document]
    while waiting:
        current = waiting.pop()
        if isinstance(current, dict):
            yield from current.items()
            waiting.extend(current.values())
        elif isinstance(current, list):
            waiting.extend(current)
