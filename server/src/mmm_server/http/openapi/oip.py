"""Descriptions of the Open Inference Protocol under /v2."""

from mmm_server.engine.engine import Engine
from mmm_server.http.oip.call import OUTPUTS
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
STRINGS: Schema = {"type": "array", "items": STRING}
SIZE: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
PARAMETERS: Schema = {
    "type": ["object", "null"],
    "properties": {"binary_data_output": FLAG},
    "description": "Unknown parameters are ignored.",
}
BINARY: Schema = {
    "type": "string",
    "format": "binary",
    "description": "The same JSON, then the tensors whose parameters say binary_data_size, little-endian, in order.",
}
HEADER_LENGTH: Schema = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "description": "The bytes of JSON before the binary tensors; without it, all of the body is JSON.",
    "schema": SIZE,
}
COUNTED = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss")
ERRORS = content("application/json", {"$ref": "#/components/schemas/OipError"})


def paths(engine: Engine) -> Schema:
    """The paths of this surface."""
    settings, served = engine.settings, engine.version
    model = path_parameter("model", settings.model_name, "The name of the model.")
    version = path_parameter("version", served.name, "The version of the model.")
    return {
        "/v2": _look("serverMetadata", "The server and its extensions", "OipServer", []),
        "/v2/health/live": _look("serverLive", "Whether a restart would not help", "OipLive", [], 503),
        "/v2/health/ready": _look("serverReady", "Whether traffic is wanted", "OipReady", [], 503),
        "/v2/models": _look("modelNames", "The names of the models", "OipModels", []),
        "/v2/models/stats": _look("allStatistics", "Statistics of all models", "OipStatistics", []),
        **_of_model("/v2/models/{model}", "", [model]),
        **_of_model("/v2/models/{model}/versions/{version}", "OfVersion", [model, version]),
    }


def schemas(engine: Engine) -> Schema:
    """The schemas of this surface."""
    described = {"type": "array", "items": shaped({"name": STRING, "datatype": STRING, "shape": _sizes(-1)})}
    output = shaped({"name": {"enum": [*OUTPUTS]}, "datatype": {"const": "FP32"}, "shape": _sizes(0)}, data=NUMBERS)
    return {
        "OipError": shaped({"error": STRING}),
        "OipLive": shaped({"live": {"const": True}}),
        "OipReady": shaped({"ready": {"const": True}}),
        "OipModelReady": shaped({"name": STRING, "ready": {"const": True}}),
        "OipServer": shaped({"name": STRING, "version": STRING, "extensions": STRINGS}),
        "OipModels": shaped({"models": STRINGS}),
        "OipModel": shaped(
            {"name": STRING, "versions": STRINGS, "platform": STRING, "inputs": described, "outputs": described}
        ),
        "OipRequest": _request(engine),
        "OipAnswer": shaped(
            {"model_name": STRING, "model_version": STRING, "outputs": {"type": "array", "items": output}}, id=STRING
        ),
        "OipStatistics": _statistics(),
    }


def _of_model(root: str, suffix: str, parameters: list[Schema]) -> Schema:
    body = {**content("application/json", ref("OipRequest")), **content("application/octet-stream", BINARY)}
    good = {**content("application/json", ref("OipAnswer")), **content("application/octet-stream", BINARY)}
    infer = post(
        f"infer{suffix}",
        "Embed images and texts, and compare them",
        [*parameters, HEADER_LENGTH],
        body,
        {"200": answer("The outputs", good)} | failures([404, *COMPUTING], ERRORS),
    )
    return {
        root: _look(f"modelMetadata{suffix}", "Inputs and outputs", "OipModel", parameters, 404, 503),
        f"{root}/ready": _look(f"modelReady{suffix}", "Whether it is ready", "OipModelReady", parameters, 404, 503),
        f"{root}/stats": _look(f"modelStatistics{suffix}", "Statistics", "OipStatistics", parameters, 404),
        f"{root}/infer": infer,
    }


def _look(identity: str, summary: str, result: str, parameters: list[Schema], *statuses: int) -> Schema:
    good = {"200": answer("The answer", content("application/json", ref(result)))}
    return get(identity, summary, parameters, good | failures([*statuses, 500], ERRORS))


def _request(engine: Engine) -> Schema:
    items, texts = engine.limits.items, max(engine.limits.items, engine.limits.labels)
    inputs = {"anyOf": [_tensor("image", IMAGE, items), _tensor("text", TEXT, texts), _pixels(items)]}
    wanted = {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"enum": [*OUTPUTS]},
            "parameters": {"type": ["object", "null"], "properties": {"binary_data": FLAG}},
        },
    }
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": ["string", "null"]},
            "parameters": PARAMETERS,
            "inputs": {"type": "array", "items": inputs, "minItems": 1, "maxItems": 2},
            "outputs": {"type": ["array", "null"], "items": wanted},
        },
    }


def _tensor(name: str, item: Schema, most: int) -> Schema:
    count = {"type": "integer", "minimum": 1, "maximum": most}
    return _input(
        name,
        "BYTES",
        {"type": "array", "items": count, "minItems": 1, "maxItems": 1},
        {"type": "array", "items": item, "minItems": 1, "maxItems": most},
    )


def _pixels(most: int) -> Schema:
    sizes = [{"type": "integer", "minimum": 1, "maximum": most}, *[{"type": "integer", "minimum": 1}] * 2, {"const": 3}]
    shape = {"type": "array", "prefixItems": sizes, "minItems": 4, "maxItems": 4}
    values = {"type": "array", "minItems": 1, "description": "Whole numbers from 0 to 255, flat or nested."}
    return _input("image", "UINT8", shape, values)


def _input(name: str, datatype: str, shape: Schema, values: Schema) -> Schema:
    fields = {"name": {"const": name}, "datatype": {"const": datatype}, "shape": shape, "data": values}
    return {"type": "object", "required": [*fields], "properties": fields}


def _sizes(least: int) -> Schema:
    return {"type": "array", "items": {"type": "integer", "minimum": least}}


def _statistics() -> Schema:
    duration = shaped({"count": SIZE, "ns": SIZE})
    model = shaped(
        {
            "name": STRING,
            "version": STRING,
            "last_inference": SIZE,
            "inference_count": SIZE,
            "execution_count": SIZE,
            "inference_stats": shaped(dict.fromkeys(COUNTED, duration)),
            "batch_stats": {"type": "array"},
        }
    )
    return shaped({"model_stats": {"type": "array", "items": model}})
