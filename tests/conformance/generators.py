"""Valid values for what a JSON schema cannot say: images, and requests whose parts must fit together.

Loaded by schemathesis as its hooks.
"""

import json
from math import prod
from typing import Any

import schemathesis
from hypothesis import strategies as st

from tests.conformance.samples import ENCODED
from tests.server.pictures import base64_of, encode, picture

FILES = [*ENCODED, encode(picture(7, 5)), encode(picture(5, 9), "WEBP"), encode(picture(1, 1), "GIF")]
BASE64 = [f"{head}{base64_of(one)}" for one in FILES for head in ("", "data:image/x;base64,")]
TEXT = {"name": "text", "datatype": "BYTES", "shape": [2], "data": ["a cat", "a dog"]}
PIXELS = [1, 2, 3, 3]
NEEDS = {"image_embeds": {"image"}, "text_embeds": {"text"}, "probabilities": {"image", "text"}}

Document = dict[str, Any]  # what a JSON schema made

schemathesis.openapi.format("image", st.sampled_from(FILES))
schemathesis.openapi.format("base64-image", st.sampled_from(BASE64))
schemathesis.openapi.media_type("image/*", st.sampled_from(FILES))
schemathesis.openapi.media_type("application/octet-stream", st.just(json.dumps({"inputs": [TEXT]}).encode()))


def filter_case(context: Any, case: Any) -> bool:
    """Leaves out forms that shall be wrong: all in a form is a string, so most of what is wrong with them gets lost."""
    return case.meta is None or case.meta.generation.mode.is_positive or case.media_type != "multipart/form-data"


def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """With a millisecond to live every answer is a timeout, and parts that do not fit together are no request."""
    if case.headers.get("X-Request-Timeout-Ms", "").isdigit():
        case.headers["X-Request-Timeout-Ms"] = "20000"
    if not case.meta.generation.mode.is_positive:
        return
    if isinstance(case.body, dict) and case.media_type == "application/json":
        case.body = bounded(case.body)
    if str(case.media_type).startswith("image/"):
        case.query = {"labels" if case.path == "/v1/classify" else "texts": ["a", "b"], "template": "this is {}"}
    if case.path.endswith("/infer"):
        case.headers.pop("Inference-Header-Content-Length", None)
        if isinstance(case.body, dict):
            case.body = consistent(case.body)


def bounded(value: Any) -> Any:
    """The same JSON with integers of no more than 64 bits: beyond that, readers of JSON differ."""
    match value:
        case bool():
            return value
        case int():
            return max(-(2**63), min(value, 2**63 - 1))
        case dict():
            return {name: bounded(one) for name, one in value.items()}
        case list():
            return [bounded(one) for one in value]
    return value


def consistent(body: Document) -> Document:
    """The same request, with shapes that its data fills, every input once, and outputs that its inputs make."""
    inputs = {one["name"]: filled(one) for one in body["inputs"]}
    asked = {one["name"]: one for one in body.get("outputs") or [] if inputs.keys() >= NEEDS[one["name"]]}
    parameters = {name: value for name, value in (body.get("parameters") or {}).items() if "shared" not in name}
    return {**body, "inputs": [*inputs.values()], "outputs": [*asked.values()], "parameters": parameters}


def filled(tensor: Document) -> Document:
    if tensor["datatype"] == "BYTES":
        return {**tensor, "shape": [len(tensor["data"])], "parameters": None}
    return {**tensor, "shape": PIXELS, "data": [7] * prod(PIXELS), "parameters": None}


schemathesis.hook(filter_case)
schemathesis.hook(before_call)
