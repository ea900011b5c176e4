"""What the descriptions of all surfaces are put together from."""

from collections.abc import Mapping, Sequence
from typing import Any

Schema = dict[str, Any]  # JSON Schema has no useful static type

# Somewhere something that is neither white space, as Python and JavaScript together see it, nor NUL.
TEXT: Schema = {"type": "string", "minLength": 1, "pattern": r"^[^\x00]*[^\s\x00\x1c-\x1f\x85][^\x00]*$"}
IMAGE: Schema = {
    "type": "string",
    "format": "base64-image",
    "contentEncoding": "base64",
    "description": "JPEG, PNG, WebP, GIF or BMP, as base64 or data URI.",
}
IMAGE_FILE: Schema = {"type": "string", "format": "image", "contentMediaType": "image/*"}
NUMBERS: Schema = {"type": "array", "items": {"type": "number"}}

PARAMETERS: Schema = {
    "RequestId": {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Comes back with the answer and stands in the log; a strange one is replaced.",
        "schema": {"type": "string"},
    },
    "Timeout": {
        "name": "X-Request-Timeout-Ms",
        "in": "header",
        "description": "Milliseconds until the client stops to wait; never more than the server's own limit.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    },
}
RESPONSE_HEADERS: Schema = {
    "RequestId": {"required": True, "schema": {"type": "string"}, "description": "The id of the request."},
    "ServerTiming": {"required": True, "schema": {"type": "string"}, "description": "Milliseconds spent per stage."},
    "ModelVersion": {"required": True, "schema": {"type": "string"}, "description": "The version that is served."},
    "ModelDigest": {"schema": {"type": "string"}, "description": "The digest of what is served, where it is known."},
    "RetryAfter": {"schema": {"type": "integer", "minimum": 1}, "description": "Seconds to wait before the next try."},
}
ALWAYS = {
    "X-Request-Id": "RequestId",
    "Server-Timing": "ServerTiming",
    "X-Model-Version": "ModelVersion",
    "X-Model-Digest": "ModelDigest",
}
RETRY = (429, 503)

WORDS = {
    400: "The request cannot be read, or has a value that is not allowed",
    404: "No such model or version",
    408: "The body did not arrive in time",
    413: "The body is too large",
    415: "Unsupported media type, image format or compression",
    422: "Beyond a limit, or a task that the model does not offer",
    429: "The server is full",
    500: "The server failed",
    503: "The model is not ready",
    504: "The deadline passed",
}
COMPUTING = (400, 408, 413, 415, 422, 429, 500, 503, 504)


def ref(name: str) -> Schema:
    """A reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def content(kind: str, schema: Schema) -> Schema:
    """One media type."""
    return {kind: {"schema": schema}}


def answer(words: str, body: Schema) -> Schema:
    """A response with the headers that all have."""
    return {"description": words, "headers": _headers(ALWAYS), "content": body}


def failures(statuses: Sequence[int], body: Schema) -> Schema:
    """The responses of the surface's errors."""
    found = {}
    for status in sorted(statuses):
        found[str(status)] = answer(WORDS[status], body)
        if status in RETRY:
            found[str(status)]["headers"] |= _headers({"Retry-After": "RetryAfter"})
    return found


def get(identity: str, summary: str, parameters: Sequence[Schema], responses: Schema) -> Schema:
    """A path that is looked at."""
    return {"get": _operation(identity, summary, parameters, responses)}


def post(identity: str, summary: str, parameters: Sequence[Schema], body: Schema, responses: Schema) -> Schema:
    """A path that takes a body and computes."""
    parameters = [{"$ref": "#/components/parameters/Timeout"}, *parameters]
    operation = _operation(identity, summary, parameters, responses)
    return {"post": {**operation, "requestBody": {"required": True, "content": body}}}


def path_parameter(name: str, value: str, words: str) -> Schema:
    """A part of the path, of which there is one value."""
    return {"name": name, "in": "path", "required": True, "description": words, "schema": {"enum": [value]}}


def shaped(required: Mapping[str, Schema], **optional: Schema) -> Schema:
    """An object of an answer with these fields."""
    return {"type": "object", "required": list(required), "properties": {**required, **optional}}


def _operation(identity: str, summary: str, parameters: Sequence[Schema], responses: Schema) -> Schema:
    return {
        "operationId": identity,
        "summary": summary,
        "parameters": [{"$ref": "#/components/parameters/RequestId"}, *parameters],
        "responses": responses,
    }


def _headers(named: Mapping[str, str]) -> Schema:
    return {name: {"$ref": f"#/components/headers/{component}"} for name, component in named.items()}
