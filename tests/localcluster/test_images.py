"""Images made by hand are what the OCI image layout asks for."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from dev.localcluster import images
from dev.localcluster.images import Image, ImageError


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An image of one program with a second name."""
    (tmp_path / "program").write_bytes(b"\x7fELF")
    image = Image("localhost/one:1", {"/bin/one": tmp_path / "program"}, ["/bin/one"], {"/bin/two": "one"})
    return image.save(tmp_path / "one.tar")


def contents(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar if entry.isfile()}  # type: ignore[union-attr]


def test_every_blob_is_named_by_its_digest(archive: Path) -> None:
    blobs = {name: content for name, content in contents(archive).items() if name.startswith("blobs/")}
    assert len(blobs) == 3
    assert all(name == f"blobs/sha256/{hashlib.sha256(content).hexdigest()}" for name, content in blobs.items())


def test_image_is_found_by_its_name_and_holds_the_program(archive: Path) -> None:
    files = contents(archive)
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == "localhost/one:1"
    manifest = json.loads(files[f"blobs/sha256/{entry['digest'].removeprefix('sha256:')}"])
    layer = files[f"blobs/sha256/{manifest['layers'][0]['digest'].removeprefix('sha256:')}"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        assert tar.getmember("bin/one").mode == 0o755
        assert tar.getmember("bin/two").linkname == "one"


def test_same_files_give_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    image = Image("localhost/one:1", {"/bin/one": tmp_path / "program"}, ["/bin/one"], {"/bin/two": "one"})
    assert image.save(tmp_path / "again.tar").read_bytes() == archive.read_bytes()


def test_archive_is_streamed_to_the_importer(archive: Path, tmp_path: Path) -> None:
    images.load(archive, ["sh", "-c", f"cat > {tmp_path}/received"])
    assert (tmp_path / "received").read_bytes() == archive.read_bytes()


def test_layout_folder_is_packed_for_the_importer(archive: Path, tmp_path: Path) -> None:
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "layout", filter="data")
    images.load(tmp_path / "layout", ["sh", "-c", f"cat > {tmp_path}/received"])
    assert contents(tmp_path / "received") == contents(archive)


def test_blobs_that_the_reader_holds_stay_behind(archive: Path, tmp_path: Path) -> None:
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "layout", filter="data")
    held = sorted(path.name for path in (tmp_path / "layout" / "blobs" / "sha256").iterdir())[0]
    images.load(tmp_path / "layout", ["sh", "-c", f"cat > {tmp_path}/received"], frozenset({held}))
    assert contents(archive).keys() - contents(tmp_path / "received").keys() == {f"blobs/sha256/{held}"}


def test_importer_that_fails_is_quoted(archive: Path) -> None:
    with pytest.raises(ImageError, match=r"one\.tar could not be loaded: disk on fire"):
        images.load(archive, ["sh", "-c", "cat > /dev/null; echo disk on fire >&2; exit 1"])


@pytest.mark.parametrize("name", ["missing.tar", ""])
def test_what_is_no_image_is_refused_before_anything_runs(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match=r"there is no image at|is no OCI layout"):
        images.load(tmp_path / name, ["false"])
