"""A shared object that was made smaller still loads and works."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors

from dev.images.inside.slim.elf import PT_LOAD, SharedObject, UnknownLayout

USES_IT = """
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("_safetensors_rust", {path!r})
module = module_from_spec(spec)
spec.loader.exec_module(module)
header = b'{{"t":{{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}}}'
[(name, tensor)] = module.deserialize(len(header).to_bytes(8, "little") + header + b"ab")
assert (name, bytes(tensor["data"])) == ("t", b"ab")
"""


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A copy of a real extension module: ours to damage."""
    original = next(Path(safetensors.__file__).parent.glob("_safetensors_rust*.so"))
    return Path(shutil.copy(original, tmp_path))


def works(library: Path) -> bool:
    """Whether a fresh Python can import the module and have it do its work."""
    command = [sys.executable, "-c", USES_IT.format(path=str(library))]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_library_that_is_not_installed_can_be_forgotten(library: Path) -> None:
    # As if the packages of one dependency, which is needed by name and by version, had been left out.
    library.write_bytes(library.read_bytes().replace(b"libpthread.so.0", b"libabsents.so.0"))
    assert not works(library)
    shared = SharedObject.read(library)
    assert shared.forget({"libabsents.so.0"})
    shared.write(library)
    assert "libabsents.so.0" not in SharedObject.read(library).needed()
    assert works(library)


def test_forgetting_what_is_not_needed_changes_nothing(library: Path) -> None:
    before = library.read_bytes()
    shared = SharedObject.read(library)
    assert not shared.forget({"libabsent.so.1"})
    shared.write(library)
    assert library.read_bytes() == before


def test_bytes_that_are_never_mapped_can_be_cut(library: Path) -> None:
    before = library.stat().st_size
    shared = SharedObject.read(library)
    saved = shared.cut(())
    shared.write(library)
    assert library.stat().st_size == before - saved < before
    assert works(library)


def test_a_section_that_is_never_read_can_be_cut_out_of_a_mapped_segment(library: Path) -> None:
    # Unwinding tables: mapped, but read only after a panic. They stand in for GPU machine code.
    shared = SharedObject.read(library)
    segments = [segment for segment in shared.segments if segment.kind == PT_LOAD]
    size = next(section.size for section in shared.sections if section.name == ".eh_frame")
    saved = shared.cut({".eh_frame"})
    shared.write(library)
    assert saved > size - 2 * 4096
    assert len([segment for segment in shared.segments if segment.kind == PT_LOAD]) == len(segments) + 1
    assert works(library)


def test_a_hard_link_elsewhere_keeps_the_whole_library(library: Path) -> None:
    other = library.with_suffix(".other")
    other.hardlink_to(library)
    before = other.read_bytes()
    shared = SharedObject.read(library)
    shared.cut(())
    shared.write(library)
    assert other.read_bytes() == before


def test_a_file_of_another_kind_is_refused() -> None:
    with pytest.raises(UnknownLayout):
        SharedObject(b"#!/bin/sh\n")
