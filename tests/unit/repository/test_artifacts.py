"""Files that a loader must never see."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_repository import UnsafeArtifact
from mmm_repository.artifacts import check_file, check_name
from mmm_repository.safetensors import MAX_HEADER_BYTES, check_safetensors
from tests.repository.samples import safetensors_bytes

FOUR = {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "path",
    [
        *("pytorch_model.bin", "model.pt", "model.pth", "x.pkl", "x.pickle", "model.ckpt", "x.joblib", "weights.npz"),
        *("modeling.py", "sub/dir/modeling.PY", "x.pyc", "kernel.so", "install.sh", "model.h5", "notebook.ipynb"),
        *("model.zip", "model.tar", "model.tar.gz", "model.tgz", "x.xz", "x.7z", "PYTORCH_MODEL.BIN"),
    ],
)
def test_pickles_code_and_archives_are_refused_by_name(path: str) -> None:
    with pytest.raises(UnsafeArtifact):
        check_name(path)


@pytest.mark.parametrize(
    "path", ["model.safetensors", "config.json", "merges.txt", "spiece.model", "README.md", "LICENSE", "example.jpg"]
)
def test_what_models_are_made_of_is_fine(path: str) -> None:
    check_name(path)


@pytest.mark.parametrize(
    "head",
    [
        b"\x80\x02}q\x00.",
        b"\x80\x05\x95",
        b"PK\x03\x04",
        b"\x1f\x8b\x08",
        b"BZh91AY&SY",
        b"\xfd7zXZ\x00",
        b"\x28\xb5\x2f\xfd",
        b"7z\xbc\xaf\x27\x1c",
        b"\x7fELF",
        b"#!/bin/sh\n",
        b"\x00" * 257 + b"ustar",
        b"\x89HDF\r\n",
    ],
)
def test_another_name_does_not_hide_them(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "vocab.txt").write_bytes(head)
    with pytest.raises(UnsafeArtifact, match="under another name"):
        check_file(tmp_path, "vocab.txt")


@pytest.mark.parametrize(
    "name", ["config.json", "sub/config.json", "tokenizer_config.json", "preprocessor_config.json"]
)
@pytest.mark.parametrize(
    "document",
    [
        {"auto_map": {"AutoConfig": "configuration.X"}},
        {"auto_map": None},
        {"text_config": {"auto_map": {}}},
        {"list": [[{"auto_map": {}}]]},
        {"trust_remote_code": True},
        {"trust_remote_code": "yes"},
        {"custom_pipelines": {}},
        {"_attn_implementation": "kernels/x"},
        {"_attn_implementation_internal": "kernels/x"},
        {"vision_config": {"_experts_implementation": "x"}},
    ],
)
def test_configs_that_bring_code_are_refused(tmp_path: Path, name: str, document: dict[str, object]) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(json.dumps(document))
    with pytest.raises(UnsafeArtifact):
        check_file(tmp_path, name)


def test_the_private_keys_that_every_saved_model_has_are_fine(tmp_path: Path) -> None:
    document = {"_name_or_path": "openai/clip", "_commit_hash": None, "trust_remote_code": False, "model_type": "clip"}
    (tmp_path / "config.json").write_text(json.dumps(document))
    check_file(tmp_path, "config.json")


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b'{"a":1,"a":2}', b'{"a":NaN}', b"[" * 50_000])
def test_a_config_that_readers_may_read_differently_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(UnsafeArtifact):
        check_file(tmp_path, "config.json")


@pytest.mark.parametrize("shard", ["../x.safetensors", "/x.safetensors", "pytorch_model.bin", 3])
def test_an_index_may_only_name_its_own_weights(tmp_path: Path, shard: object) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(UnsafeArtifact, match="names the shard"):
        check_file(tmp_path, "model.safetensors.index.json")


def check_weights(tmp_path: Path, content: bytes) -> None:
    location = tmp_path / "model.safetensors"
    location.write_bytes(content)
    check_safetensors(location, "model.safetensors")


@pytest.mark.parametrize(
    "header",
    [
        {"a": FOUR},
        {"a": FOUR, "__metadata__": {"format": "pt"}},
        {"a": {**FOUR, "shape": [2, 2]}},
        {"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}},
        {"b": {**FOUR, "shape": [1], "data_offsets": [3, 4]}, "a": {**FOUR, "shape": [3], "data_offsets": [0, 3]}},
        {"a": FOUR, "scalarless": {"dtype": "F32", "shape": [0], "data_offsets": [4, 4]}},
    ],
)
def test_sound_weights_are_fine(tmp_path: Path, header: dict[str, object]) -> None:
    check_weights(tmp_path, safetensors_bytes(b"data", header))


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({}, "leave gaps"),
        ({"a": {**FOUR, "shape": [5], "data_offsets": [0, 5]}}, "outside the file"),
        ({"a": {**FOUR, "shape": [3], "data_offsets": [0, 3]}}, "leave gaps"),
        ({"a": FOUR, "b": FOUR}, "overlap"),
        (
            {"a": {**FOUR, "shape": [3], "data_offsets": [0, 3]}, "b": {**FOUR, "shape": [2], "data_offsets": [2, 4]}},
            "overlap",
        ),
        ({"a": {**FOUR, "data_offsets": [4, 0]}}, "negative"),
        ({"a": {**FOUR, "data_offsets": [-4, 0]}}, "negative|outside"),
        ({"a": {**FOUR, "shape": [-2, -2]}}, "negative"),
        ({"a": {**FOUR, "shape": [2**62, 4]}}, "another length"),
        ({"a": {**FOUR, "shape": [3]}}, "another length"),
        ({"a": {**FOUR, "dtype": "O8"}}, "unknown dtype"),
        ({"a": {"dtype": "U8", "shape": [4]}}, "lacks"),
        ({"a": {**FOUR, "shape": ["4"]}}, "lacks|wrong kind"),
        ({"a": {**FOUR, "code": "x"}}, "wrong kind"),
        ({"a": FOUR, "__metadata__": {"a": 1}}, "map of strings"),
        ({"a": []}, "wrong kind"),
    ],
)
def test_headers_that_lie_are_refused(tmp_path: Path, header: dict[str, object], words: str) -> None:
    with pytest.raises(UnsafeArtifact, match=words):
        check_weights(tmp_path, safetensors_bytes(b"data", header))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        b"\xff" * 8,
        b"\xff" * 100,
        (100).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (2).to_bytes(8, "little") + b"{" * 2,
        (17).to_bytes(8, "little") + b'{"a":1,"a":2,"b":',
    ],
)
def test_what_is_no_header_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UnsafeArtifact):
        check_weights(tmp_path, content)


def test_a_header_bomb_is_refused_unread(tmp_path: Path) -> None:
    location = tmp_path / "model.safetensors"
    with location.open("wb") as file:
        file.write((MAX_HEADER_BYTES + 1).to_bytes(8, "little"))
        file.truncate(MAX_HEADER_BYTES + 100)
    with pytest.raises(UnsafeArtifact, match="longer than 33554432 bytes"):
        check_safetensors(location, "model.safetensors")


@given(st.binary(max_size=64), st.binary(max_size=16))
def test_random_headers_raise_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, header: bytes, data: bytes
) -> None:
    directory = tmp_path_factory.getbasetemp()
    with suppress(UnsafeArtifact):
        check_weights(directory, len(header).to_bytes(8, "little") + header + data)
