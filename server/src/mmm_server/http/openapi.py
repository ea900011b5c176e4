"""The OpenAPI document of the inference port.

The hot routes are no FastAPI operations, so their part is written here.
"""

from typing import Any

IMAGES = {
    "type": "array",
    "items": {"type": "string", "contentEncoding": "base64"},
    "description": "JPEG, PNG, WebP, GIF or BMP, as base64 or data URI.",
}
TEXTS = {"type": "array", "items": {"type": "string", "minLength": 1}}
PROBABILITY = {"type": "number", "minimum": 0, "maximum": 1}
PREDICTIONS = {
    "type": "object",
    "required": ["predictions"],
    "properties": {
        "predictions": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["label", "score", "scores"],
                "properties": {
                    "label": {"type": "string"},
                    "score": PROBABILITY,
                    "scores": {"type": "object", "additionalProperties": PROBABILITY},
                },
            },
        }
    },
}
EMBEDDINGS = {
    "type": "object",
    "required": ["embeddings", "dimensions"],
    "properties": {
        "dimensions": {"type": "integer"},
        "embeddings": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type", "index", "embedding"],
                "properties": {
                    "type": {"enum": ["image", "text"]},
                    "index": {"type": "integer"},
                    "embedding": {"type": "array", "items": {"type": "number"}},
                },
            },
        },
    },
}
PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "request_id": {"type": "string"},
    },
}

Schema = dict[str, Any]  # JSON Schema has no useful static type


def describe(title: str, version: str) -> Schema:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": {
            "/predict": _post("Classify images by texts of your own", _body("texts"), PREDICTIONS),
            "/v1/classify": _post("Classify images by labels of your own", _body("labels", template=True), PREDICTIONS),
            "/v1/embed": _post("Embed images and texts into one space", _body("texts", required=[]), EMBEDDINGS),
            "/livez": _probe("Whether a restart would not help"),
            "/readyz": _probe("Whether traffic is wanted"),
            "/startupz": _probe("Whether the model was loaded and warmed up"),
        },
        "components": {"schemas": {"Problem": PROBLEM}},
    }


def _body(texts: str, *, template: bool = False, required: list[str] | None = None) -> Schema:
    needed = ["images", texts] if required is None else required
    extra: Schema = {"template": {"type": "string", "examples": ["a photo of a {}"]}} if template else {}
    as_json = {"type": "object", "required": needed, "properties": {"images": IMAGES, texts: TEXTS, **extra}}
    files = {"type": "array", "items": {"type": "string", "contentMediaType": "application/octet-stream"}}
    as_form = {"type": "object", "properties": {"image": files, texts: TEXTS, **extra}}
    return {"application/json": {"schema": as_json}, "multipart/form-data": {"schema": as_form}}


def _post(summary: str, body: Schema, answer: Schema) -> Schema:
    failures = {
        str(status): {
            "description": words,
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, words in (
            (400, "The request cannot be read"),
            (413, "The body is too large"),
            (415, "Unsupported media type or image format"),
            (422, "Beyond a limit, or a task that the model does not offer"),
            (429, "The server is full; see Retry-After"),
            (503, "The model is not ready; see Retry-After"),
            (504, "The deadline passed"),
        )
    }
    success = {"description": "The answer", "content": {"application/json": {"schema": answer}}}
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": body},
            "responses": {"200": success, **failures},
        }
    }


def _probe(summary: str) -> Schema:
    text = {"text/plain": {"schema": {"type": "string"}}}
    verbose = {
        "name": "verbose",
        "in": "query",
        "required": False,
        "schema": {"type": "string"},
        "allowEmptyValue": True,
    }
    answers = {"200": {"description": "Yes", "content": text}, "503": {"description": "No", "content": text}}
    return {"get": {"summary": summary, "parameters": [verbose], "responses": answers}}
