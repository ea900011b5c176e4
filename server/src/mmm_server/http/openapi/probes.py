"""Descriptions of the probes, and of this document itself."""

from mmm_server.engine.engine import Engine
from mmm_server.http.openapi.parts import Schema, answer, content, get

VERBOSE: Schema = {
    "name": "verbose",
    "in": "query",
    "description": "Say why.",
    "allowEmptyValue": True,
    "schema": {"type": "string"},
}


def paths(engine: Engine) -> Schema:
    """The paths of the probes."""
    document = {"200": answer("The document", content("application/json", {"type": "object"}))}
    page = content("text/html", {"type": "string"})
    return {
        "/livez": _probe("livez", "Whether a restart would not help"),
        "/readyz": _probe("readyz", "Whether traffic is wanted"),
        "/startupz": _probe("startupz", "Whether the model was loaded and warmed up"),
        "/openapi.json": get("openapi", "This document", [], document),
        "/docs": get("docs", "This document as a page", [], {"200": answer("The page", page)}),
    }


def schemas(engine: Engine) -> Schema:
    """None."""
    return {}


def _probe(identity: str, summary: str) -> Schema:
    text = content("text/plain", {"type": "string"})
    return get(identity, summary, [VERBOSE], {"200": answer("Yes", text), "503": answer("No", text)})
