"""The body of POST /v1/embeddings as one object.

    input      "a text", ["many", "texts"], {"text": "…"}, {"image": "<base64 or data URI>"}, or a list of all of these
    messages   [{"role": "user", "content": [{"type": "text", "text": "…"}, {"type": "image_url", "image_url": …}]}]

Every text and every image gets a vector of its own, in the order in which they come. Fields that the API knows and a
model of this kind has no use for, such as `user`, are accepted and ignored.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mmm_server.errors import Invalid
from mmm_server.http.payload import image_bytes
from mmm_server.http.strict_json import DEFAULT, JsonLimits, parse_json

FORMATS = ("float", "base64")
REMOTE = ("http:", "https:")

Item = str | bytes  # a text or an encoded image


@dataclass(slots=True)
class EmbeddingsCall:
    """What shall be embedded, and how the vectors shall be written."""

    model: str
    base64: bool = False
    dimensions: int | None = None
    images: list[bytes] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    order: list[tuple[bool, int]] = field(default_factory=list)  # (whether it is an image, its index among its kind)

    def add(self, item: Item) -> None:
        """Takes one more item."""
        if isinstance(item, bytes):
            self.order.append((True, len(self.images)))
            self.images.append(item)
        else:
            self.order.append((False, len(self.texts)))
            self.texts.append(item)


def parse_embeddings(body: bytes, limits: JsonLimits = DEFAULT) -> EmbeddingsCall:
    """The call; Malformed or Invalid, naming the field, otherwise."""
    document = parse_json(body, limits)
    if not isinstance(document, dict):
        raise Invalid("The request must be a JSON object.")
    model = document.get("model")
    if not isinstance(model, str):
        raise Invalid("The name of the model is needed.", field="model")
    call = EmbeddingsCall(model, base64=_format(document) == "base64", dimensions=_dimensions(document))
    for item in _items(document):
        call.add(item)
    return call


def _format(document: Mapping[str, object]) -> str:
    found = document.get("encoding_format")
    if found is None:
        return "float"
    if not isinstance(found, str) or found not in FORMATS:
        raise Invalid("The encoding_format must be float or base64.", field="encoding_format")
    return found


def _dimensions(document: Mapping[str, object]) -> int | None:
    found = document.get("dimensions")
    if found is not None and type(found) is not int:
        raise Invalid("The field dimensions must be a whole number.", field="dimensions")
    return found


def _items(document: Mapping[str, object]) -> Iterator[Item]:
    given, messages = document.get("input"), document.get("messages")
    if (given is None) == (messages is None):
        raise Invalid("Either input or messages is needed, and not both.", field="input")
    if messages is not None:
        yield from _from_messages(messages)
        return
    values = given if isinstance(given, list) else [given]
    if not values:
        raise Invalid("The input is empty.", field="input")
    for value in values:
        yield _from_input(value)


def _from_input(value: object) -> Item:
    if isinstance(value, str):
        return value
    if isinstance(value, int | list):
        raise Invalid("Token numbers are not read here; send texts.", field="input")
    if isinstance(value, dict) and len(value) == 1:
        text, image = value.get("text"), value.get("image")
        if isinstance(text, str):
            return text
        if isinstance(image, str):
            return _image(image, "input")
    raise Invalid('The input must be texts, {"text": "…"} or {"image": "…"}.', field="input")


def _from_messages(messages: object) -> Iterator[Item]:
    if not isinstance(messages, list) or not messages:
        raise Invalid("The field messages must be a list of messages.", field="messages")
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, str):
            yield content
        elif isinstance(content, list) and content:
            for part in content:
                yield _from_part(part)
        else:
            raise Invalid("Every message needs a content: a text or a list of parts.", field="messages")


def _from_part(part: object) -> Item:
    if isinstance(part, dict):
        match part.get("type"), part.get("text"), part.get("image_url"):
            case "text", str(text), _:
                return text
            case "image_url", _, str(url):
                return _image(url, "messages")
            case "image_url", _, {"url": str(url)}:
                return _image(url, "messages")
    raise Invalid('A part of a content must be of type "text" or "image_url".', field="messages")


def _image(source: str, where: str) -> bytes:
    if source.lower().startswith(REMOTE):
        raise Invalid("Fetching by URL is off; send the image as a data URI.", field=where)
    return image_bytes(source)
