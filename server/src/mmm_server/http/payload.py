"""What the friendly routes accept, in all its spellings, as one object.

application/json      {"images": ["<base64>"], "texts": ["a", "b"]}   strict: no duplicate keys, NaN, unknown fields
multipart/form-data   image=@cat.jpg, texts=a, texts=b                 one field alone may hold a list
image/*               the bytes of one image, texts in the query
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from mmm_server.errors import Malformed, Unprocessable, UnsupportedType
from mmm_server.http.multipart import Part, parse_multipart
from mmm_server.http.strict_json import DEFAULT, JsonLimits, decode_base64, parse_json

LARGE = 256 * 1024  # bytes that take so long to parse that the event loop should not do it
FIELDS = {
    "image": "images",
    "images": "images",
    "file": "images",
    "text": "texts",
    "texts": "texts",
    "label": "texts",
    "labels": "texts",
    "template": "template",
}
SLOT = "{}"
MAX_TEMPLATE = 4096  # characters


@dataclass(slots=True)
class Payload:
    """The images and texts of a request; texts of a zero-shot request are its labels."""

    images: list[bytes] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    template: str | None = None

    def prompts(self) -> list[str]:
        """The texts as the model shall read them: every label put into the template."""
        if self.template is None:
            return self.texts
        if self.template.count(SLOT) != 1:
            raise Unprocessable("The template must contain {} exactly once.")
        if not all(text.strip() for text in self.texts):
            raise Unprocessable("A text is empty.")  # the template around it would hide that
        return [self.template.replace(SLOT, text) for text in self.texts]


@dataclass(frozen=True, slots=True)
class Source:
    """The raw request."""

    body: bytes
    content_type: str
    query: bytes = b""
    max_parts: int = 1024
    split_commas: bool = True  # whether one field alone may hold a list of labels
    json: JsonLimits = DEFAULT


async def read_payload(source: Source) -> Payload:
    """The payload; large bodies are parsed in a thread."""
    if len(source.body) > LARGE:
        return await asyncio.to_thread(parse_payload, source)
    return parse_payload(source)


def parse_payload(source: Source) -> Payload:
    """The payload of any accepted content type; Malformed, UnsupportedType or Unprocessable otherwise."""
    kind = source.content_type.partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return _from_json(source)
    if kind == "multipart/form-data":
        return _from_multipart(source)
    if kind.startswith("image/") or kind == "application/octet-stream":
        return _from_query(source)
    raise UnsupportedType("Send application/json, multipart/form-data or the bytes of one image as image/*.")


def _from_json(source: Source) -> Payload:
    document = parse_json(source.body, source.json)
    if not isinstance(document, dict):
        raise Unprocessable("The JSON document must be an object.")
    payload = Payload()
    for name, value in document.items():
        match FIELDS.get(name):
            case "images":
                images = _strings(name, value)
                _check_count(len(images), source)
                payload.images += [image_bytes(one) for one in images]
            case "texts":
                payload.texts += _strings(name, value)
            case "template" if value is None:
                payload.template = None
            case "template" if isinstance(value, str):
                payload.template = _template(value)
            case "template":
                raise Unprocessable("The template must be a string.")
            case _:
                raise Unprocessable("An unknown field; known are images, texts, labels and template.")
    return payload


def _strings(name: str, value: object) -> list[str]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise Unprocessable(f"The field {name} must be a list of strings.")
    return values


def image_bytes(text: str) -> bytes:
    """The bytes of a base64 string or of a data URI."""
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        if not head.endswith(";base64"):
            raise Malformed("A data URI must be base64.")
    try:
        return decode_base64(text)
    except ValueError:
        raise Malformed("An image is not valid base64.") from None


def _from_multipart(source: Source) -> Payload:
    payload = Payload()
    texts: list[str] = []
    for part in parse_multipart(source.body, source.content_type, source.max_parts):
        match FIELDS.get(part.name):
            case "images":
                payload.images.append(part.content)
            case "texts":
                texts.append(_text_of(part))
            case "template":
                payload.template = _template(_text_of(part))
            case _:
                raise Unprocessable("The form has an unknown field; known are image, texts, labels and template.")
    payload.texts = _split(texts, source)
    return payload


def _from_query(source: Source) -> Payload:
    payload = Payload(images=[source.body])
    try:
        pairs = parse_qsl(
            source.query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=source.max_parts
        )
    except ValueError:
        raise Malformed("The query cannot be read.") from None
    texts = []
    for name, value in pairs:
        match FIELDS.get(name):
            case "texts":
                texts.append(value)
            case "template":
                payload.template = _template(value)
            case _:
                raise Unprocessable("The query has an unknown field; known are texts, labels and template.")
    payload.texts = _split(texts, source)
    return payload


def _split(texts: Sequence[str], source: Source) -> list[str]:
    """Several fields are taken as they are; one alone may be a JSON list or, for labels, a comma list."""
    if len(texts) != 1:
        return list(texts)
    if texts[0].lstrip().startswith("["):
        return _strings("texts", parse_json(texts[0].encode("utf-8", "surrogatepass"), source.json))
    if not source.split_commas:
        return list(texts)
    _check_count(texts[0].count(",") + 1, source)
    return [text.strip() for text in texts[0].split(",")]


def _check_count(count: int, source: Source) -> None:
    """Refuses more of a thing than any request may hold, before time is spent on each."""
    if count > source.max_parts:
        raise Unprocessable(f"The request holds {count} items, the limit is {source.max_parts}.")


def _template(value: str) -> str:
    """The same template, if it is short: every label is put into it."""
    if len(value) > MAX_TEMPLATE:
        raise Unprocessable(f"The template has {len(value)} characters, the limit is {MAX_TEMPLATE}.")
    return value


def _text_of(part: Part) -> str:
    try:
        return part.content.decode()
    except UnicodeDecodeError:
        raise Malformed("A text field is not UTF-8.") from None
