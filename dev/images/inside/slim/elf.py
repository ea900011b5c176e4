"""A shared object that can forget libraries it would load and bytes that it never reads.

Only what the dynamic loader looks at is kept right: program headers, the dynamic section, version needs and symbol
bindings, all as in the System V ABI and the GNU extensions to it. Addresses in memory never change, so no code and no
relocation has to be touched; only file offsets move, by whole pages. Section headers (for debuggers) are dropped.
"""

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Self

PAGE = 0x1000
PT_NULL, PT_LOAD, PT_DYNAMIC, PT_NOTE = 0, 1, 2, 4
DT_NULL, DT_NEEDED, DT_STRTAB = 0, 1, 5
DT_VERNEED, DT_VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
SHT_DYNSYM, STB_GLOBAL, STB_WEAK = 11, 1, 2

HEADER = struct.Struct("<16xHHIQQQIHHHHHH")
SEGMENT = struct.Struct("<IIQQQQQQ")
SECTION = struct.Struct("<IIQQQQIIQQ")
DYNAMIC = struct.Struct("<qQ")
SYMBOL = struct.Struct("<IBBHQQ")
VERSION_NEED = struct.Struct("<HHIII")

Range = tuple[int, int]  # offsets in the file: first byte, byte after the last


class UnknownLayout(Exception):
    """The file is not built the way this module understands; it must be used as it is."""


@dataclass(frozen=True)
class Segment:
    """One program header: what the loader maps, where from and where to."""

    kind: int
    flags: int
    offset: int
    address: int
    physical: int
    file_size: int
    memory_size: int
    align: int

    @property
    def end(self) -> int:
        return self.offset + self.file_size


@dataclass(frozen=True)
class Section:
    name: str
    kind: int
    offset: int
    size: int


class SharedObject:
    """A 64-bit little-endian ELF file, held in memory and edited there."""

    def __init__(self, content: bytes) -> None:
        self._bytes = bytearray(content)
        if content[:6] != b"\x7fELF\x02\x01":
            raise UnknownLayout("not a 64-bit little-endian ELF file")
        header = HEADER.unpack_from(content)
        self._segments_at, sections_at = header[4], header[5]
        self._segment_count, self._section_count, names_index = header[9], header[11], header[12]
        self.segments = [
            Segment(*SEGMENT.unpack_from(content, self._segments_at + i * SEGMENT.size))
            for i in range(self._segment_count)
        ]
        self.sections = list(self._read_sections(sections_at, names_index))

    @classmethod
    def read(cls, path: Path) -> Self:
        return cls(path.read_bytes())

    def write(self, path: Path) -> None:
        """Puts the edited bytes in a new file at `path`: a hard link elsewhere keeps the old ones."""
        mode = path.stat().st_mode
        path.unlink()
        path.write_bytes(self._bytes)
        path.chmod(mode & 0o7777)

    def needed(self) -> list[str]:
        return [self._text(value) for _, tag, value in self._dynamic() if tag == DT_NEEDED]

    def forget(self, libraries: Collection[str]) -> bool:
        """True if the loader will no longer look for `libraries`; what they would have provided becomes optional."""
        gone = {name for name in self.needed() if name in libraries}
        if not gone:
            return False
        self._forget_versions(gone)
        entries = [
            (tag, value) for _, tag, value in self._dynamic() if not (tag == DT_NEEDED and self._text(value) in gone)
        ]
        positions = [position for position, _, _ in self._dynamic()]
        for position, entry in zip(positions, [*entries, *[(DT_NULL, 0)] * len(gone)], strict=True):
            DYNAMIC.pack_into(self._bytes, position, *entry)
        self._make_undefined_symbols_weak()
        return True

    def cut(self, unread_sections: Collection[str]) -> int:
        """Bytes saved by taking out what is never mapped, and the sections that are mapped but never read."""
        self._split_around(unread_sections)
        loads = sorted((s.offset, s.end) for s in self.segments if s.kind == PT_LOAD)
        gaps = [_inner_pages(end, start) for (_, end), (start, _) in pairwise(loads)]
        gaps = [gap for gap in gaps if gap[0] < gap[1]] + [(loads[-1][1], len(self._bytes))]
        for segment in self.segments:
            if segment.file_size and any(a < segment.end and segment.offset < b for a, b in gaps):
                raise UnknownLayout("a program header points at bytes that no load maps")
        self.segments = [replace(s, offset=s.offset - _length_before(gaps, s.offset)) for s in self.segments]
        for start, end in reversed(gaps):
            del self._bytes[start:end]
        self._write_headers()
        return sum(end - start for start, end in gaps)

    def _split_around(self, names: Collection[str]) -> None:
        """Ends a load before each named section, as zeroed memory, and starts another one behind it."""
        for section in (s for s in self.sections if s.name in names):
            start, end = _inner_pages(section.offset, section.offset + section.size)
            if start >= end:
                continue
            index = next(
                i for i, s in enumerate(self.segments) if s.kind == PT_LOAD and s.offset < start and end < s.end
            )
            whole = self.segments[index]
            head, tail = start - whole.offset, end - whole.offset
            before = replace(whole, file_size=head, memory_size=tail)
            behind = replace(
                whole,
                offset=end,
                address=whole.address + tail,
                physical=whole.physical + tail,
                file_size=whole.file_size - tail,
                memory_size=whole.memory_size - tail,
            )
            self.segments[index : index + 1] = [before, behind]

    def _write_headers(self) -> None:
        # A note (the build id) is the one program header that the loader can do without: it makes room for a split.
        room = self._segment_count
        kept = [s for s in self.segments if s.kind != PT_NOTE]
        if len(kept) > room:
            raise UnknownLayout("no room for another program header")
        padding = [Segment(PT_NULL, 0, 0, 0, 0, 0, 0, 0)] * (room - len(kept))
        for index, s in enumerate([*kept, *padding]):
            fields = (s.kind, s.flags, s.offset, s.address, s.physical, s.file_size, s.memory_size, s.align)
            SEGMENT.pack_into(self._bytes, self._segments_at + index * SEGMENT.size, *fields)
        self.segments, self.sections, self._section_count = kept, [], 0
        struct.pack_into("<Q", self._bytes, 40, 0)  # where the section headers were
        struct.pack_into("<HH", self._bytes, 60, 0, 0)  # how many, and which holds their names

    def _forget_versions(self, gone: Collection[str]) -> None:
        """Takes `gone` out of the chain of version needs: the loader dies of a need on a library that is not there."""
        table = self._value(DT_VERNEED)
        if table is None:
            return
        chain = list(self._version_needs(self._offset(table)))
        kept = [position for position, library in chain if library not in gone]
        if not kept:
            raise UnknownLayout("every version need belongs to a library to forget")
        for here, after in zip(kept, [*kept[1:], None], strict=True):
            struct.pack_into("<I", self._bytes, here + 12, after - here if after else 0)
        changed = {DT_VERNEED: table + kept[0] - chain[0][0], DT_VERNEEDNUM: len(kept)}
        for position, tag, value in list(self._dynamic()):
            DYNAMIC.pack_into(self._bytes, position, tag, changed.get(tag, value))

    def _version_needs(self, position: int) -> Iterator[tuple[int, str]]:
        while True:
            _, _, library, _, following = VERSION_NEED.unpack_from(self._bytes, position)
            yield position, self._text(library)
            if not following:
                return
            position += following

    def _make_undefined_symbols_weak(self) -> None:
        for section in (s for s in self.sections if s.kind == SHT_DYNSYM):
            for position in range(section.offset, section.offset + section.size, SYMBOL.size):
                _, info, _, defined_in, _, _ = SYMBOL.unpack_from(self._bytes, position)
                if defined_in == 0 and info >> 4 == STB_GLOBAL:
                    self._bytes[position + 4] = STB_WEAK << 4 | info & 0xF

    def _dynamic(self) -> Iterator[tuple[int, int, int]]:
        segment = next((s for s in self.segments if s.kind == PT_DYNAMIC), None)
        if segment is None:
            raise UnknownLayout("no dynamic section")
        for position in range(segment.offset, segment.end, DYNAMIC.size):
            tag, value = DYNAMIC.unpack_from(self._bytes, position)
            if tag == DT_NULL:
                return
            yield position, tag, value

    def _value(self, wanted: int) -> int | None:
        return next((value for _, tag, value in self._dynamic() if tag == wanted), None)

    def _text(self, index: int) -> str:
        return self._string(self._offset(self._value(DT_STRTAB) or 0) + index)

    def _string(self, start: int) -> str:
        return self._bytes[start : self._bytes.index(0, start)].decode()

    def _offset(self, address: int) -> int:
        for s in self.segments:
            if s.kind == PT_LOAD and s.address <= address < s.address + s.file_size:
                return s.offset + address - s.address
        raise UnknownLayout(f"address {address:#x} is not in the file")

    def _read_sections(self, at: int, names_index: int) -> Iterator[Section]:
        if not self._section_count:
            return
        headers = [SECTION.unpack_from(self._bytes, at + i * SECTION.size) for i in range(self._section_count)]
        names_at = headers[names_index][4]
        for name, kind, _, _, offset, size, *_ in headers:
            yield Section(self._string(names_at + name), kind, offset, size)


def _inner_pages(start: int, end: int) -> Range:
    """The whole pages between two offsets: a page that is mapped for one byte has to stay."""
    return -(-start // PAGE) * PAGE, end // PAGE * PAGE


def _length_before(gaps: list[Range], offset: int) -> int:
    return sum(end - start for start, end in gaps if end <= offset)
