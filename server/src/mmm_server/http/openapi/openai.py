"""Descriptions of /v1/models and /v1/embeddings."""

from mmm_server.engine.engine import Engine
from mmm_server.http.openapi.parts import (
    COMPUTING,
    IMAGE,
    NUMBERS,
    TEXT,
    Schema,
    answer,
    content,
    failures,
    get,
    path_parameter,
    post,
    ref,
    shaped,
)

STRING: Schema = {"type": "string"}
NULLABLE: Schema = {"type": ["string", "null"]}
COUNT: Schema = {"type": "integer", "minimum": 0}


def paths(engine: Engine) -> Schema:
    """The paths of this surface."""
    name = engine.settings.model_name
    errors = content("application/json", ref("OpenAIError"))
    of_model = [path_parameter("model", name, "The name of the model.")]
    return {
        "/v1/models": get("listModels", "The model", [], _good("OpenAIModels") | failures([500], errors)),
        "/v1/models/{model}": get(
            "showModel", "One model", of_model, _good("OpenAIModel") | failures([404, 500], errors)
        ),
        "/v1/embeddings": post(
            "createEmbeddings",
            "Embed texts and images",
            [],
            content("application/json", ref("EmbeddingsRequest")),
            _good("EmbeddingsAnswer") | failures([404, *COMPUTING], errors),
        ),
    }


def schemas(engine: Engine) -> Schema:
    """The schemas of this surface."""
    model = shaped({"id": STRING, "object": {"const": "model"}, "created": {"type": "integer"}, "owned_by": STRING})
    error = shaped({"message": STRING, "type": STRING, "param": NULLABLE, "code": NULLABLE})
    vector = shaped(
        {"object": {"const": "embedding"}, "index": COUNT, "embedding": {"anyOf": [NUMBERS, _base64()]}},
    )
    return {
        "OpenAIModel": model,
        "OpenAIModels": shaped({"object": {"const": "list"}, "data": {"type": "array", "items": ref("OpenAIModel")}}),
        "OpenAIError": shaped({"error": error}),
        "EmbeddingsRequest": _request(engine),
        "EmbeddingsItem": {"anyOf": [TEXT, _only("text", TEXT), _only("image", IMAGE)]},
        "EmbeddingsMessage": _message(),
        "EmbeddingsAnswer": shaped(
            {
                "object": {"const": "list"},
                "data": {"type": "array", "items": vector},
                "model": STRING,
                "usage": shaped({"prompt_tokens": COUNT, "total_tokens": COUNT}),
            }
        ),
    }


def _request(engine: Engine) -> Schema:
    item = ref("EmbeddingsItem")
    given = {"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]}
    messages = {"type": "array", "items": ref("EmbeddingsMessage"), "minItems": 1}
    nothing: Schema = {"type": "null"}
    known = engine.capabilities
    dimensions: Schema = {"enum": [known.dimensions, None]} if known else {"type": ["integer", "null"]}
    return {
        "type": "object",
        "required": ["model"],
        "properties": {
            "model": {"enum": [engine.settings.model_name]},
            "input": {"anyOf": [given, nothing]},
            "messages": {"anyOf": [messages, nothing]},
            "encoding_format": {"enum": ["float", "base64", None]},
            "dimensions": dimensions,
            "user": {"description": "Ignored, as every field that is not named here."},
        },
        "anyOf": [
            {"required": ["input"], "properties": {"input": given, "messages": nothing}},
            {"required": ["messages"], "properties": {"input": nothing, "messages": messages}},
        ],
    }


def _message() -> Schema:
    url = {"anyOf": [IMAGE, {"type": "object", "required": ["url"], "properties": {"url": IMAGE}}]}
    parts = {
        "anyOf": [
            {"type": "object", "required": ["type", "text"], "properties": {"type": {"const": "text"}, "text": TEXT}},
            {
                "type": "object",
                "required": ["type", "image_url"],
                "properties": {"type": {"const": "image_url"}, "image_url": url},
            },
        ]
    }
    contents = {"anyOf": [TEXT, {"type": "array", "items": parts, "minItems": 1}]}
    return {"type": "object", "required": ["content"], "properties": {"role": {}, "content": contents}}


def _only(field: str, schema: Schema) -> Schema:
    return {"type": "object", "required": [field], "additionalProperties": False, "properties": {field: schema}}


def _base64() -> Schema:
    return {"type": "string", "contentEncoding": "base64", "description": "Little-endian float32."}


def _good(name: str) -> Schema:
    return {"200": answer("The answer", content("application/json", ref(name)))}
