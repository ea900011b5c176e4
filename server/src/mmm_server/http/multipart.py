"""multipart/form-data from memory: the body is already read and bounded, so nothing is spooled to disk."""

from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from mmm_server.errors import Malformed, Unprocessable


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a form."""

    name: str
    content: bytes


@dataclass(slots=True)
class _Collector:
    """Turns the parser's callbacks into parts."""

    max_parts: int
    parts: list[Part] = field(default_factory=list)
    complete: bool = False
    _header: bytearray = field(default_factory=bytearray)
    _value: bytearray = field(default_factory=bytearray)
    _name: str | None = None
    _chunks: list[bytes] = field(default_factory=list)

    def on_part_begin(self) -> None:
        if len(self.parts) >= self.max_parts:
            raise Unprocessable(f"The form has more than {self.max_parts} fields.")
        self._name = None
        self._chunks = []

    def on_header_field(self, chunk: bytes, start: int, end: int) -> None:
        self._header += chunk[start:end]

    def on_header_value(self, chunk: bytes, start: int, end: int) -> None:
        self._value += chunk[start:end]

    def on_header_end(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            name = parse_options_header(bytes(self._value))[1].get(b"name", b"")
            self._name = name.decode("utf-8", "replace")
        self._header.clear()
        self._value.clear()

    def on_part_data(self, chunk: bytes, start: int, end: int) -> None:
        self._chunks.append(chunk[start:end])

    def on_part_end(self) -> None:
        if not self._name:
            raise Malformed("A part of the form has no name.")
        self.parts.append(Part(self._name, b"".join(self._chunks)))

    def on_end(self) -> None:
        self.complete = True


def parse_multipart(body: bytes, content_type: str, max_parts: int) -> list[Part]:
    """The fields of a form in order; Malformed if it is cut off, Unprocessable if it has too many fields."""
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise Malformed("The multipart content type has no boundary.")
    collector = _Collector(max_parts)
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": collector.on_part_begin,
                "on_header_field": collector.on_header_field,
                "on_header_value": collector.on_header_value,
                "on_header_end": collector.on_header_end,
                "on_part_data": collector.on_part_data,
                "on_part_end": collector.on_part_end,
                "on_end": collector.on_end,
            },
        )
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise Malformed("The form cannot be read.") from None
    if not collector.complete:
        raise Malformed("The form is cut off.")
    return collector.parts
