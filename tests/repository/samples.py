"""Small model directories, built as a test needs them."""

import hashlib
import json
import random
from pathlib import Path

MIB = 2**20


def safetensors_bytes(data: bytes, header: dict[str, object] | None = None) -> bytes:
    """A safetensors file with one tensor of bytes, or with the given header over the data."""
    described = {"weight": {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}}
    encoded = json.dumps(header if header is not None else described).encode()
    return len(encoded).to_bytes(8, "little") + encoded + data


def make_model(directory: Path, *, weights: int = 1000, seed: int = 0, shards: int = 1) -> Path:
    """A model directory with configs and so many bytes of weights in all."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps({"architectures": ["CLIPModel"], "seed": seed}))
    (directory / "tokenizer.json").write_text("{}")
    (directory / "empty.txt").write_bytes(b"")
    (directory / "extra").mkdir(exist_ok=True)
    (directory / "extra" / "notes.md").write_text("Trained on nothing.")
    source = random.Random(seed)
    names = ["model.safetensors"] if shards == 1 else [f"model-{number}.safetensors" for number in range(shards)]
    for name in names:
        (directory / name).write_bytes(safetensors_bytes(source.randbytes(weights // shards)))
    return directory


def contents_of(directory: Path) -> dict[str, str]:
    """Every file below the directory, by path, as the hash of its bytes."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def flip_byte(path: Path, offset: int) -> None:
    """Change one bit of a file in place."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))
