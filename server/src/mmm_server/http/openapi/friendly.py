"""Descriptions of /predict, /v1/classify, /v1/embed and /v1/similarity."""

from mmm_server.engine.engine import Engine
from mmm_server.http.openapi.parts import (
    COMPUTING,
    IMAGE,
    IMAGE_FILE,
    NUMBERS,
    TEXT,
    Schema,
    answer,
    content,
    failures,
    post,
    ref,
    shaped,
)

PROBABILITY: Schema = {"type": "number", "minimum": 0, "maximum": 1}
TEMPLATE: Schema = {
    "type": ["string", "null"],
    "pattern": r"^[^{}\x00]*\{\}[^{}\x00]*$",
    "examples": ["a photo of a {}"],
    "description": "Every text is put into it, in the place of {}.",
}
STRING: Schema = {"type": "string"}
FORM_TEXT: Schema = {
    **TEXT,
    "pattern": r"^[^\x00\[,]*[^\s\x00\x1c-\x1f\x85\[,][^\x00\[,]*$",
    "description": "One field alone may also hold a list: as JSON or, where labels are wanted, with commas.",
}


def paths(engine: Engine) -> Schema:
    """The paths of this surface."""
    return {
        "/predict": _post("predict", "Classify images by texts of your own", "texts", "Predictions"),
        "/v1/classify": _post("classify", "Classify images by labels of your own", "labels", "Predictions"),
        "/v1/embed": _post("embed", "Embed images and texts into one space", "texts", "Embeddings"),
        "/v1/similarity": _post("similarity", "Compare images with texts: cosines", "texts", "Similarities"),
    }


def schemas(engine: Engine) -> Schema:
    """The schemas of this surface."""
    limits = engine.limits
    images = _one_or_many(IMAGE, limits.items)
    labels = _one_or_many(TEXT, limits.labels, uniqueItems=True)
    texts = _one_or_many(TEXT, max(limits.items, limits.labels))
    files = {"type": "array", "items": IMAGE_FILE, "maxItems": limits.items}
    return {
        "PredictBody": {**_body(images, texts=labels), **_both("images", "texts")},
        "ClassifyBody": {**_body(images, labels=labels), **_both("images", "labels")},
        "EmbedBody": {**_body(images, texts=texts), "anyOf": [_needs("images"), _needs("texts")]},
        "SimilarityBody": {**_body(images, texts=texts), **_both("images", "texts")},
        "PredictForm": {**_form(files, texts=labels), **_both("image", "texts")},
        "ClassifyForm": {**_form(files, labels=labels), **_both("image", "labels")},
        "EmbedForm": {**_form(files, texts=texts), "anyOf": [_needs("image"), _needs("texts")]},
        "SimilarityForm": {**_form(files, texts=texts), **_both("image", "texts")},
        "Predictions": shaped({"predictions": {"type": "array", "items": _prediction()}}),
        "Embeddings": shaped({"dimensions": {"type": "integer"}, "embeddings": {"type": "array", "items": _vector()}}),
        "Similarities": shaped({"similarities": {"type": "array", "items": NUMBERS}}),
        "Problem": shaped(
            dict.fromkeys(("type", "title", "detail", "code", "request_id"), STRING) | {"status": {"type": "integer"}}
        ),
    }


def _post(identity: str, summary: str, texts: str, result: str) -> Schema:
    title = identity.capitalize()
    body = {
        **content("application/json", ref(f"{title}Body")),
        **content("multipart/form-data", ref(f"{title}Form")),
        "image/*": {},
    }
    responses = {
        "200": answer("The answer", content("application/json", ref(result))),
        **failures(COMPUTING, content("application/problem+json", ref("Problem"))),
    }
    return post(identity, summary, _query(texts), body, responses)


def _query(texts: str) -> list[Schema]:
    """What the query may hold; it is read where the body is the bytes of an image."""
    words = "Only where the body is the bytes of one image."
    return [
        {"name": texts, "in": "query", "description": words, "schema": {"type": "array", "items": STRING}},
        {"name": "template", "in": "query", "description": words, "schema": STRING},
    ]


def _body(images: Schema, **texts: Schema) -> Schema:
    fields = {"images": images, **texts, "template": TEMPLATE}
    return {"type": "object", "additionalProperties": False, "properties": fields}


def _both(*fields: str) -> Schema:
    return {"required": [*fields], "allOf": [_needs(field) for field in fields]}


def _needs(field: str) -> Schema:
    return {"required": [field], "properties": {field: {"minItems": 1}}}


def _one_or_many(item: Schema, most: int, **extra: bool) -> Schema:
    return {"anyOf": [item, {"type": "array", "items": item, "maxItems": most, **extra}]}


def _form(files: Schema, **texts: Schema) -> Schema:
    ((name, many),) = texts.items()
    fields = {
        "image": files,
        name: {**many["anyOf"][1], "items": FORM_TEXT},
        "template": {**TEMPLATE, "type": "string"},
    }
    return {"type": "object", "additionalProperties": False, "properties": fields}


def _prediction() -> Schema:
    scores = {"type": "object", "additionalProperties": PROBABILITY}
    return shaped({"label": STRING, "score": PROBABILITY, "scores": scores})


def _vector() -> Schema:
    return shaped({"type": {"enum": ["image", "text"]}, "index": {"type": "integer"}, "embedding": NUMBERS})
