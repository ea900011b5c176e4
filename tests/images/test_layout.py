"""OCI image layouts share blobs, and say their names to containerd."""

import hashlib
import json
from pathlib import Path

from dev.images import layout


def write_layout(path: Path, layers: list[bytes]) -> Path:
    blobs = path / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def put(content: bytes) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        if not (blobs / digest).exists():
            (blobs / digest).write_bytes(content)
        return {"digest": f"sha256:{digest}", "size": len(content)}

    manifest = {"config": put(b"{}"), "layers": [put(layer) for layer in layers]}
    index = {"schemaVersion": 2, "manifests": [put(json.dumps(manifest).encode())]}
    (path / "index.json").write_text(json.dumps(index))
    return path


def blob(path: Path, content: bytes) -> Path:
    return path / "blobs" / "sha256" / hashlib.sha256(content).hexdigest()


def test_a_new_version_shares_the_unchanged_layers_on_disk(tmp_path: Path) -> None:
    first = write_layout(tmp_path / "first", [b"large", b"old code"])
    second = tmp_path / "second"
    layout.link_blobs([first], second)
    write_layout(second, [b"large", b"new code"])
    assert blob(first, b"large").samefile(blob(second, b"large"))


def test_what_only_an_earlier_version_used_is_not_kept(tmp_path: Path) -> None:
    first = write_layout(tmp_path / "first", [b"large", b"old code"])
    second = tmp_path / "second"
    layout.link_blobs([first], second)
    write_layout(second, [b"large", b"new code"])
    layout.drop_unused_blobs(second)
    assert not blob(second, b"old code").exists()
    assert blob(second, b"large").exists()
    assert blob(second, b"new code").exists()
    assert blob(first, b"old code").exists()


def test_containerd_finds_the_image_under_every_name(tmp_path: Path) -> None:
    path = write_layout(tmp_path, [b"layer"])
    layout.name(path, ["localhost/thing:1", "localhost/thing:dev"])
    manifests = json.loads((path / "index.json").read_text())["manifests"]
    names = [manifest["annotations"]["io.containerd.image.name"] for manifest in manifests]
    assert names == ["localhost/thing:1", "localhost/thing:dev"]
    assert len({manifest["digest"] for manifest in manifests}) == 1


def test_the_size_is_the_sum_of_the_blobs(tmp_path: Path) -> None:
    path = write_layout(tmp_path, [b"x" * 1000])
    assert 1000 < layout.size(path) < 2000
