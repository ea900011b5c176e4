"""multipart/form-data from memory: the body is already read and bounded, so nothing is spooled to disk."""

import logging
import re
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from mmm_server.errors import Malformed, Unprocessable, UnsupportedType

MAX_HEADERS = 16  # of one part
MAX_HEADER_BYTES = 4096
MAX_NAME_BYTES = 128
MAX_EPILOGUE = 1024
BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
PLAIN_ENCODINGS = (b"7bit", b"8bit", b"binary")
PLAIN_CHARSETS = (b"utf-8", b"utf8", b"us-ascii")

# It warns of every bad form, with bytes of the client.
logging.getLogger("python_multipart").setLevel(logging.ERROR)


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
        match bytes(self._header).lower():
            case b"content-disposition":
                self._take_name(parse_options_header(bytes(self._value)))
            case b"content-type":
                _check_type(*parse_options_header(bytes(self._value)))
            case b"content-transfer-encoding" if bytes(self._value).strip().lower() not in PLAIN_ENCODINGS:
                raise UnsupportedType("A part of the form is encoded for transfer; send its bytes as they are.")
        self._header.clear()
        self._value.clear()

    def _take_name(self, disposition: tuple[bytes, dict[bytes, bytes]]) -> None:
        kind, options = disposition
        name = options.get(b"name", b"")
        if kind != b"form-data" or self._name is not None or not 0 < len(name) <= MAX_NAME_BYTES:
            raise Malformed("A part of the form needs one content disposition, form-data with a short name.")
        self._name = name.decode("utf-8", "replace")

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
    boundary = _boundary_of(content_type)
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
            max_header_count=MAX_HEADERS,
            max_header_size=MAX_HEADER_BYTES,
        )
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise Malformed("The form cannot be read.") from None
    if not collector.complete:
        raise Malformed("The form is cut off.")
    if body.find(b"--" + boundary + b"--", -MAX_EPILOGUE - len(boundary) - 4) < 0:
        raise Malformed("The form goes on after its end.")
    return collector.parts


def _boundary_of(content_type: str) -> bytes:
    if content_type.lower().count("boundary=") > 1:
        raise Malformed("The multipart content type has two boundaries.")
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise Malformed("The multipart content type has no boundary.")
    if not BOUNDARY.fullmatch(boundary):
        raise Malformed("The boundary of the form must be 1 to 70 characters of those that RFC 2046 allows.")
    return boundary


def _check_type(kind: bytes, options: dict[bytes, bytes]) -> None:
    if kind.startswith(b"multipart/"):
        raise UnsupportedType("A form inside of a form is not read.")
    if kind.startswith(b"text/") and options.get(b"charset", b"utf-8").lower() not in PLAIN_CHARSETS:
        raise UnsupportedType("Texts in a form must be UTF-8.")
