"""The whole document."""

from mmm_server.engine.engine import Engine
from mmm_server.http.openapi import friendly, oip, openai, probes
from mmm_server.http.openapi.parts import PARAMETERS, RESPONSE_HEADERS, Schema

SURFACES = (friendly, openai, oip, probes)


def describe(title: str, version: str, engine: Engine) -> Schema:
    """The document for the model that is served: its name, its limits and, once it is loaded, its dimensions."""
    paths: Schema = {}
    schemas: Schema = {}
    for surface in SURFACES:
        paths |= surface.paths(engine)
        schemas |= surface.schemas(engine)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": schemas, "parameters": PARAMETERS, "headers": RESPONSE_HEADERS},
    }
