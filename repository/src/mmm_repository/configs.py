"""The JSON files that a loader reads as settings, and the settings that no model version may make."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mmm_repository.errors import UnsafeArtifact
from mmm_repository.manifest import parse_json, sentence
from mmm_repository.paths import refusal_of_path, shown
from mmm_repository.templates import TEMPLATE_KEY, check_template, templates_in

# Parsed, JSON takes ten times its length. The longest configs are those with a hundred thousand added tokens.
MAX_CONFIG_BYTES = 8 * 2**20
CONFIG_NAMES = frozenset({"adapter_model.json", "chat_template.json"})
INDEX_SUFFIX = ".safetensors.index.json"

# Keys that make a loader import code that lies beside the model, on a hub, or anywhere on the machine.
CODE_KEYS = frozenset({"auto_map", "auto_mapping", "custom_pipelines"})
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
# Their keys are words of the model, not settings: "_silence_" is a label of well-known speech models.
WORD_MAPS = frozenset({"label2id", "id2label", "added_tokens_decoder"})

IMPLEMENTATION = re.compile(r"_?(attn|experts)_implementation")
# Any other value names a repository of kernels: compiled code, downloaded as soon as the model is loaded.
OWN_IMPLEMENTATIONS = frozenset(
    {
        *(None, "eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3", "flash_attention_4"),
        *("batched_mm", "grouped_mm"),
    }
)

# A model with more is not built within any start-up time; the largest published ones have some hundred layers.
MAX_LAYERS = 10_000
LAYERS = re.compile(r"(?:^|_)(?:n_)?(?:layers?|depth|depths)$")
MAX_DIMENSION = 2**31
DIMENSION = re.compile(r"(?:^|_)(?:sizes?|dims?|heads|experts|channels|embeddings|embd|positions)$")

LIBRARIES = frozenset({None, "diffusers", "transformers"})
MODULES = "sentence_transformers."


def is_config(path: str) -> bool:
    """Whether a loader reads the file as settings."""
    name = PurePosixPath(path).name.lower()
    return name.endswith("config.json") or name in CONFIG_NAMES


def check_json(location: Path, path: str) -> None:
    """Raise UnsafeArtifact unless a JSON file is one that may be loaded. Files of data are not looked into."""
    name = PurePosixPath(path).name.lower()
    if is_config(path):
        check_config(location, path)
    elif name.endswith(INDEX_SUFFIX):
        check_index(location, path)
    elif name == "modules.json":
        check_modules(location, path)
    elif name == "model_index.json":
        check_pipeline(location, path)


def check_config(location: Path, path: str) -> None:
    """Raise UnsafeArtifact for a config that would make a loader run code or flip private switches."""
    document = read_json(location, path)
    if not isinstance(document, dict):
        raise UnsafeArtifact(f"The file {shown(path)} is not a JSON object.")
    for key, value in keys_of(document):
        check_setting(path, key, value)


def check_setting(path: str, key: str, value: object) -> None:
    """Raise UnsafeArtifact for a setting that brings code, flips a private switch or claims what cannot be."""
    if key in CODE_KEYS and (value is not None or key == "auto_map"):
        raise UnsafeArtifact(
            f"The file {shown(path)} holds {key}, which loads code that ships with the model. "
            "Only architectures that the server knows are served."
        )
    if key == "trust_remote_code" and value is not False:
        raise UnsafeArtifact(f"The file {shown(path)} asks for trust_remote_code, which is never granted.")
    if key.startswith("_") and key not in HARMLESS_PRIVATE_KEYS:
        raise UnsafeArtifact(f"The file {shown(path)} sets the private key {shown(key)}. Remove the key.")
    if IMPLEMENTATION.fullmatch(key):
        check_implementation(path, key, value)
    if key == TEMPLATE_KEY:
        for text in templates_in(value):
            check_template(text, path)
    check_claim(path, key, value)


def check_implementation(path: str, key: str, value: object) -> None:
    """Raise UnsafeArtifact where a config names kernels that would be downloaded."""
    for name in value.values() if isinstance(value, dict) else [value]:
        if isinstance(name, dict | list) or name not in OWN_IMPLEMENTATIONS:
            raise UnsafeArtifact(
                f"The file {shown(path)} sets {key} to {shown(str(name))}, code from elsewhere. Remove the key."
            )


def check_claim(path: str, key: str, value: object) -> None:
    """Raise UnsafeArtifact for dimensions that would have a loader work or allocate without end."""
    for number in value if isinstance(value, list) else [value]:
        if not isinstance(number, int):
            continue
        limit = MAX_LAYERS if LAYERS.search(key) else MAX_DIMENSION if DIMENSION.search(key) else None
        if limit is not None and abs(number) > limit:
            raise UnsafeArtifact(f"The file {shown(path)} claims {shown(key)} above {limit}. No model is that large.")


def check_index(location: Path, path: str) -> None:
    """Raise UnsafeArtifact for an index of weights that points outside its own directory."""
    document = read_json(location, path)
    shards = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(shards, dict):
        raise UnsafeArtifact(f"The file {shown(path)} has no weight_map.")
    for shard in set(map(str, shards.values())):
        if refusal_of_path(shard) or not shard.endswith(".safetensors"):
            raise UnsafeArtifact(f"The file {shown(path)} names the shard {shown(shard)}, which it may not.")


def check_modules(location: Path, path: str) -> None:
    """Raise UnsafeArtifact unless every part of a sentence encoder is one of its library's own."""
    document = read_json(location, path)
    modules = document if isinstance(document, list) else [document]
    for module in modules:
        kind = module.get("type") if isinstance(module, dict) else None
        if not isinstance(kind, str) or not kind.startswith(MODULES):
            raise UnsafeArtifact(f"The file {shown(path)} loads the class {shown(str(kind))}, which may be any code.")


def check_pipeline(location: Path, path: str) -> None:
    """Raise UnsafeArtifact unless every part of a pipeline comes from a library that is known."""
    document = read_json(location, path)
    if not isinstance(document, dict):
        raise UnsafeArtifact(f"The file {shown(path)} is not a JSON object.")
    for key, value in document.items():
        # A part is written [library, class]; everything else is a setting.
        if isinstance(value, list) and len(value) == 2 and not (value[0] is None or value[0] in LIBRARIES):
            raise UnsafeArtifact(f"The file {shown(path)} takes {shown(key)} from {shown(str(value[0]))}: any code.")
        check_setting(path, key, value)


def read_json(location: Path, path: str) -> object:
    """The document in a JSON file of limited size; raises UnsafeArtifact when it is none."""
    if location.stat().st_size > MAX_CONFIG_BYTES:
        raise UnsafeArtifact(f"The file {shown(path)} is larger than {MAX_CONFIG_BYTES} bytes.")
    try:
        return parse_json(location.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UnsafeArtifact(f"The file {shown(path)} is not valid JSON: {sentence(error)}.") from None


def keys_of(document: object) -> Iterator[tuple[str, object]]:
    """Every key of the document that is a setting, with its value, at any depth."""
    waiting = [document]
    while waiting:
        current = waiting.pop()
        if isinstance(current, dict):
            yield from current.items()
            waiting.extend(value for key, value in current.items() if key not in WORD_MAPS)
        elif isinstance(current, list):
            waiting.extend(current)
