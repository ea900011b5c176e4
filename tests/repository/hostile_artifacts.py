"""More than two hundred files that no loader may see, each with the words of its refusal, and good ones beside them."""

import gzip
import io
import itertools
import json
import pickle
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

from mmm_repository.safetensors import MAX_HEADER_BYTES
from tests.repository.hostile_templates import BAD_TEMPLATES, GOOD_TEMPLATES
from tests.repository.samples import safetensors_bytes

CONFIGS = ("config.json", "vision/config.json", "tokenizer_config.json", "generation_config.json")


@dataclass(frozen=True)
class Artifact:
    """A file of a version, and what the refusal of it says."""

    path: str
    content: bytes
    words: str

    @property
    def name(self) -> str:
        return f"{self.path}: {self.words}"


class Payload:
    """What runs when its pickle is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("open('/tmp/canary-of-a-pickle', 'w')",))


def hostile_artifacts() -> list[Artifact]:
    """All of them."""
    return [artifact for family in FAMILIES for artifact in family()]


def pickles() -> Iterator[Artifact]:
    """Pickles by name, and pickles under other names."""
    suffixes = "bin pt pth pkl pickle ckpt joblib dill npy npz mar BIN Pt pKl"
    for protocol, suffix in itertools.product(range(6), suffixes.split()):
        if protocol in (2, 4) or suffix == "bin":
            yield Artifact(f"p{protocol}/model.{suffix}", pickle.dumps(Payload(), protocol), "is a pickle")
    for protocol, name in itertools.product(range(2, 6), ("vocab.txt", "config.json", "spiece.model", "LICENSE")):
        yield Artifact(f"p{protocol}/{name}", pickle.dumps(Payload(), protocol), "a pickle under another name")


def programs() -> Iterator[Artifact]:
    """Code in the shapes that people ship it in."""
    suffixes = "py pyc pyd pyw ipynb so dll dylib exe sh js wasm h5 hdf5 keras pb jar class whl egg lua ps1 bat PY Sh"
    for suffix in suffixes.split():
        yield Artifact(f"modeling_clip.{suffix}", b"import os\n", "is code")
    for head in (b"\x7fELF\x02\x01\x01", b"MZ\x90\x00", b"#!/bin/sh\n", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe"):
        yield Artifact("merges.txt", head + bytes(100), "is a program under another name")
    yield Artifact("vocab.model", b"\x89HDF\r\n\x1a\n", "is an HDF5 file")


def archives() -> Iterator[Artifact]:
    """Archives by name, and archives under other names."""
    suffixes = "zip tar gz tgz bz2 xz zst 7z rar lz4 cab iso ZIP tar.gz safetensors.zip json.gz"
    for suffix in suffixes.split():
        yield Artifact(f"model.{suffix}", b"x", "is an archive")
    for content in (zipped(), tarred(), gzip.compress(b"x" * 100), b"BZh91AY&SY", b"\xfd7zXZ\x00", b"Rar!\x1a"):
        yield Artifact("tokenizer.json", content, "archive")
    yield Artifact("config.json", zipped(), "zip archive")


def strangers() -> Iterator[Artifact]:
    """Kinds of files that no loader here reads, and that nobody has looked at therefore."""
    suffixes = "onnx gguf ggml msgpack ot tflite mlmodel engine plan xml html svg php sql desktop ini torrent"
    for suffix in suffixes.split():
        yield Artifact(f"model.{suffix}", b"x", "is of a kind that no model needs")


def code_in_configs() -> Iterator[Artifact]:
    """Settings that bring code, at several depths, in every file that is read for settings."""
    settings: list[tuple[dict[str, object], str]] = [
        ({"auto_map": {"AutoModel": "modeling.Evil"}}, "auto_map"),
        ({"auto_map": {"AutoTokenizer": ["attacker/repo--tok.Evil", None]}}, "auto_map"),
        ({"auto_map": None}, "auto_map"),
        ({"trust_remote_code": True}, "trust_remote_code"),
        ({"trust_remote_code": "true"}, "trust_remote_code"),
        ({"trust_remote_code": 1}, "trust_remote_code"),
        ({"custom_pipelines": {"x": {"impl": "evil.Pipeline"}}}, "custom_pipelines"),
        ({"auto_mapping": {"base_model_class": "system", "parent_library": "os"}}, "auto_mapping"),
    ]
    for path, (setting, words) in itertools.product(CONFIGS, settings):
        yield config(path, setting, words)
    for setting, words in settings:
        yield config("config.json", {"text_config": {"deep": [[setting]]}}, words)
    for name in ("adapter_config.json", "preprocessor_config.json", "processor_config.json", "Config.JSON"):
        yield config(name, {"auto_map": {"x": "y.Z"}}, "auto_map")


def private_overrides() -> Iterator[Artifact]:
    """Keys that reach private switches of the library, or name kernels to download."""
    keys = (
        *("_attn_implementation", "_attn_implementation_internal", "_experts_implementation_internal", "_from_auto"),
        *("_auto_class", "__class__", "__init__", "_processor_class", "_load_as_code", "_", "_attn"),
    )
    for path, key in itertools.product(CONFIGS[:2], keys):
        yield config(path, {key: "attacker/kernel"}, "private key")
        yield config(path, {"vision_config": {key: "attacker/kernel"}}, "private key")
    values: tuple[object, ...] = (
        *("kernels-community/flash-attn", "attacker/repo:function", "attacker/repo@main", "/tmp/kernel", "", 1),
        *({"": "attacker/kernel"}, {"text": "attacker/kernel"}, [["attacker/kernel"]]),
    )
    for key, value in itertools.product(("attn_implementation", "experts_implementation"), values):
        yield config("config.json", {key: value}, "code from elsewhere")


def claims() -> Iterator[Artifact]:
    """Configs that would have a loader work or allocate without end, or that readers read differently."""
    for key in ("num_hidden_layers", "n_layer", "encoder_layers", "num_layers", "vision_depth"):
        yield config("config.json", {key: 10**9}, "claims")
    for key in ("hidden_size", "vocab_size", "projection_dim", "num_attention_heads", "num_experts", "image_size"):
        yield config("config.json", {"text_config": {key: 2**40}}, "claims")
    yield config("config.json", {"hidden_sizes": [64, -(2**40)]}, "claims")
    yield config("config.json", {"max_position_embeddings": 10**30}, "claims")
    for content in (b"", b"{", b"\xff\xfe{}", b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":Infinity}', b"[" * 60_000):
        yield Artifact("config.json", content, "is not valid JSON")
    yield Artifact("config.json", b'{"a": ' + b"9" * 5000 + b"}", "is not valid JSON")
    yield Artifact("config.json", b"[]", "is not a JSON object")
    yield Artifact("tokenizer_config.json", b'"text"', "is not a JSON object")
    yield Artifact("config.json", b'{"a": "' + b"x" * (9 * 2**20) + b'"}', "is larger than")


def classes() -> Iterator[Artifact]:
    """Lists of classes that a loader would import."""
    for kind in ("os.system", "evil.Module", "sentence_transformersevil.X", "", None, 7):
        yield Artifact("modules.json", json.dumps([{"type": kind, "path": ""}]).encode(), "may be any code")
    for library in ("evil", "os", "diffusers.evil", "", 7):
        yield Artifact("model_index.json", json.dumps({"unet": [library, "X"]}).encode(), "any code")
    yield Artifact("model_index.json", b'{"_attn_implementation": "x"}', "private key")


def indexes() -> Iterator[Artifact]:
    """Indexes of weights that point elsewhere."""
    shards = (
        "../x.safetensors",
        "/etc/x.safetensors",
        "a\\x.safetensors",
        "pytorch_model.bin",
        "x.py",
        "",
        "a/../b.bin",
    )
    for shard in shards:
        content = json.dumps({"weight_map": {"a": shard}}).encode()
        yield Artifact("model.safetensors.index.json", content, "names the shard")
    for content in (b"{}", b"[]", b'{"weight_map": []}'):
        yield Artifact("model.safetensors.index.json", content, "has no weight_map")


def templates() -> Iterator[Artifact]:
    """Templates that do more than join messages, in every place that a template may stand in."""
    for text, words in BAD_TEMPLATES:
        yield config("tokenizer_config.json", {"chat_template": text}, words)
        yield Artifact("chat_template.jinja", text.encode(), words)
    text, words = BAD_TEMPLATES[0]
    yield config("tokenizer_config.json", {"chat_template": [{"name": "tool_use", "template": text}]}, words)
    yield config("processor_config.json", {"chat_template": {"default": "{{ 1 }}", "rag": text}}, words)
    yield config("chat_template.json", {"chat_template": text}, words)
    yield Artifact("additional_chat_templates/rag.jinja", text.encode(), words)
    yield Artifact("chat_template.jinja", b"\xff\xfe{{ 1 }}", "is not UTF-8")
    yield Artifact("chat_template.jinja", b"x" * 2_000_000, "is longer than")


def weights() -> Iterator[Artifact]:
    """Headers that lie: bombs, overlaps, holes, claims."""
    for content in header_bombs():
        yield Artifact("model.safetensors", content, "bad safetensors header")
    for header, words in lying_headers():
        yield Artifact("model.safetensors", safetensors_bytes(b"data", header), words)


def header_bombs() -> Iterator[bytes]:
    """Files whose header is none, or longer than anything."""
    yield from (b"", b"1234567", b"\xff" * 8, b"\xff" * 100, bytes(8), bytes(100))
    for length in (3, 100, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1, MAX_HEADER_BYTES + 1):
        yield length.to_bytes(8, "little") + b"{}"
    for header in (
        b"[]",
        b"{{",
        b"{}  x",
        b" {}",
        b"\xef\xbb\xbf{}",
        b'{"a":1,"a":2}',
        b"[" * 60_000,
        b'{"a":' * 60_000,
    ):
        yield len(header).to_bytes(8, "little") + header
    yield zipped() + bytes(64)
    yield pickle.dumps(Payload(), 4)


def lying_headers() -> Iterator[tuple[dict[str, object], str]]:
    """Headers over four bytes of data."""
    four = tensor()
    yield {}, "leave gaps"
    yield {"__metadata__": {"a": "b"}}, "leave gaps"
    for begin in range(4):
        yield {"a": four, "b": tensor([1], [begin, begin + 1])}, "overlap"
    for item, words in (*lying_ranges(), *lying_shapes()):
        yield {"a": item}, words
    for malformed in malformed_tensors():
        yield {"a": malformed}, "wrong kind"
    for metadata in METADATA:
        yield {"a": four, "__metadata__": metadata}, "map of strings"


def lying_ranges() -> Iterator[tuple[dict[str, object], str]]:
    """Tensors that lie elsewhere than in the file."""
    for begin, end in ((0, 5), (1, 4), (0, 3), (4, 8), (0, 2**63), (2**63, 2**63 + 4)):
        yield tensor([end - begin], [begin, end]), "overlap, leave gaps or lie outside"
    for begin, end in ((4, 0), (-4, 0), (0, -4), (-1, 3)):
        yield tensor([4], [begin, end]), "negative"


def lying_shapes() -> Iterator[tuple[dict[str, object], str]]:
    """Tensors that are larger or smaller than they say, or of no kind."""
    for shape in ([5], [3], [2, 3], [2**62, 4], [2**64], [0], [4, 0], [10**100]):
        yield tensor(shape), "another length than its shape"
    for shape in ([-4], [-2, -2], [2**62, -4]):
        yield tensor(shape), "negative"
    for dtype in ("O8", "OBJECT", "U128", "", "u8", "PICKLE"):
        yield {**tensor(), "dtype": dtype}, "unknown dtype"


def malformed_tensors() -> Iterator[object]:
    """What is no description of a tensor."""
    four = tensor()
    yield from ({"dtype": "U8"}, [], None, "x", 1)
    for key, value in (("code", "x"), ("shape", ["4"]), ("shape", 4), ("shape", [1] * 17), ("shape", [4.0])):
        yield {**four, key: value}
    for key, value in (("data_offsets", [0]), ("data_offsets", [0, 4, 8]), ("dtype", 1)):
        yield {**four, key: value}


METADATA: tuple[object, ...] = ({"a": 1}, [], "x", {"a": {"b": "c"}}, None)


def tensor(shape: list[int] | None = None, offsets: list[int] | None = None) -> dict[str, object]:
    return {"dtype": "U8", "shape": [4] if shape is None else shape, "data_offsets": offsets or [0, 4]}


def config(path: str, document: dict[str, object], words: str) -> Artifact:
    return Artifact(path, json.dumps(document).encode(), words)


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Payload()))
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        link = tarfile.TarInfo("config.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return file.getvalue()


FAMILIES = (
    *(pickles, programs, archives, strangers, code_in_configs, private_overrides),
    *(claims, classes, indexes, templates, weights),
)


def good_artifacts() -> list[Artifact]:
    """What real versions hold, close to the borders of what is refused."""
    texts = {
        "tokenizer.json": b'{"model": {"vocab": {"_private": 1, "__class__": 2, "auto_map": 3, "hidden_size": 99}}}',
        "vocab.json": b'{"_": 1, "auto_map": 2, "trust_remote_code": 3}',
        "added_tokens.json": b'{"__init__": 4}',
        "merges.txt": b"#version: 0.2\n__ init\n",
        "spiece.model": b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02",
        "README.md": b"# pickle torch.load('model.bin') PK",
        "LICENSE": b"Apache License",
        "LICENSE-2.0": b"Apache License",
        "examples/dog.jpg": b"\xff\xd8\xff\xe0",
        "examples/dog.wav": b"RIFF....WAVE",
        "empty.txt": b"",
        "smoke.json": b'{"requests": [{"_x": 1}]}',
    }
    documents: dict[str, object] = {
        "config.json": {
            **{
                "_name_or_path": "openai/clip",
                "_commit_hash": None,
                "trust_remote_code": False,
                "num_hidden_layers": 96,
            },
            **{"attn_implementation": "sdpa", "vocab_size": 262_144, "label2id": {"_silence_": 1, "_unknown_": 2}},
        },
        "tokenizer_config.json": {
            **{"model_max_length": int(1e30), "chat_template": [{"name": "default", "template": GOOD_TEMPLATES[0]}]},
            "added_tokens_decoder": {"0": {"content": "__pad__", "special": True}},
        },
        "adapter_config.json": {"auto_mapping": None, "r": 8},
        "modules.json": [{"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"}],
        "model_index.json": {"_class_name": "X", "unet": ["diffusers", "UNet2DConditionModel"], "vae": [None, None]},
        "model.safetensors.index.json": {"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors"}},
    }
    four = tensor()
    headers: dict[str, dict[str, object]] = {
        "model.safetensors": {"a": four, "__metadata__": {"format": "pt"}},
        "half.safetensors": {"b": tensor([2], [2, 4]), "a": {**tensor([1], [0, 2]), "dtype": "BF16"}},
        "empty.safetensors": {"a": four, "none": {"dtype": "F32", "shape": [0, 7], "data_offsets": [4, 4]}},
        "scalar.safetensors": {"a": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}},
    }
    return [
        *(Artifact(path, content, "") for path, content in texts.items()),
        *(Artifact(path, json.dumps(document).encode(), "") for path, document in documents.items()),
        *(Artifact(path, safetensors_bytes(b"data", header), "") for path, header in headers.items()),
        *(Artifact(f"templates/{number}.jinja", text.encode(), "") for number, text in enumerate(GOOD_TEMPLATES)),
    ]
