"""Tiny model directories: random weights, made in a second, enough to compare the server with the reference."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from tests.server.pictures import jpeg

os.environ.setdefault("HF_HUB_OFFLINE", "1")

SPARSE = 2**30  # bytes; so large are only files that hold nothing but their size
PRINTABLE = [chr(code) for code in range(33, 127)]
START, END = "<|startoftext|>", "<|endoftext|>"
TEXT_TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
IMAGE_TOWER = {**TEXT_TOWER, "image_size": 64, "patch_size": 16}


def write_fake(directory: Path, **faults: object) -> Path:
    """A model directory of the fake dual encoder with faults."""
    directory.mkdir(parents=True, exist_ok=True)
    config = {"architectures": ["FakeDualEncoder"], "model_type": "fake", "fake": faults}
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def publish_fake(root: Path, name: str, smoke: list[dict[str, Any]] | None = None, **faults: object) -> str:
    """A whole version of the fake under `<root>/<hex of its digest>`; returns the digest.

    Its vectors are its own: the name is the salt. It holds a picture, smoke/picture.jpg.
    """
    source = write_fake(root.parent / f"source-{name}", salt=name, **faults)
    (source / "smoke").mkdir(exist_ok=True)
    (source / "smoke" / "picture.jpg").write_bytes(jpeg())
    if smoke is not None:
        (source / "smoke.json").write_text(json.dumps({"format": 1, "requests": smoke}))
    return seal(root, source)


def seal(root: Path, source: Path) -> str:
    """Gives a directory its manifest and moves it to where its digest says, in one step as a fetch does."""
    # The environment of the conformance tests has clients only.
    from mmm_repository import FileEntry, Manifest

    files = [
        FileEntry(
            path=path.relative_to(source).as_posix(),
            size=path.stat().st_size,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest() if path.stat().st_size < SPARSE else "0" * 64,
        )
        for path in source.rglob("*")
        if path.is_file()
    ]
    manifest = Manifest(files=tuple(files))
    (source / "manifest.json").write_bytes(manifest.canonical_bytes())
    root.mkdir(parents=True, exist_ok=True)
    source.rename(root / manifest.digest.removeprefix("sha256:"))
    return manifest.digest


def write_clip(directory: Path, *, processor: dict[str, Any] | None = None, amplify: float = 6.0) -> Path:
    """A CLIP directory; `processor` replaces settings of its image processor, `amplify` makes its weights larger."""
    import torch
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    vocabulary = {token: index for index, token in enumerate(_tokens())}
    special = {"bos_token_id": vocabulary[START], "eos_token_id": vocabulary[END], "pad_token_id": vocabulary[END]}
    text = {**TEXT_TOWER, "vocab_size": len(vocabulary), "max_position_embeddings": 77, **special}
    torch.manual_seed(7)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=IMAGE_TOWER, projection_dim=24))
    _amplify(model, amplify)
    model.save_pretrained(directory)
    CLIPTokenizer(vocab=vocabulary, merges=[]).save_pretrained(directory)
    sizes = {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}
    CLIPImageProcessorPil(**{**sizes, **(processor or {})}).save_pretrained(directory)
    return directory


def write_siglip(directory: Path, *, amplify: float = 6.0) -> Path:
    """A SigLIP directory, with CLIP's tokenizer as SigLIP's needs sentencepiece files."""
    import torch
    from transformers import CLIPTokenizer, SiglipConfig, SiglipModel
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    vocabulary = {token: index for index, token in enumerate(_tokens())}
    special = {"bos_token_id": vocabulary[START], "eos_token_id": vocabulary[END], "pad_token_id": vocabulary[END]}
    text = {
        **TEXT_TOWER,
        "vocab_size": len(vocabulary),
        "max_position_embeddings": 32,
        "projection_size": 32,
        **special,
    }
    torch.manual_seed(11)
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=IMAGE_TOWER))
    _amplify(model, amplify)
    model.save_pretrained(directory)
    CLIPTokenizer(vocab=vocabulary, merges=[]).save_pretrained(directory)
    SiglipImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(directory)
    return directory


def _tokens() -> list[str]:
    return [*PRINTABLE, *(f"{letter}</w>" for letter in PRINTABLE), START, END]


def _amplify(model: Any, factor: float) -> None:
    """Larger weights: with the usual initialisation every answer would be nearly the same."""
    import torch

    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(factor)
