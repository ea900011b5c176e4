"""`GET /docs`: the OpenAPI document as one page for people.

It is rendered here and holds no script, so it needs neither the internet nor a CDN, and its content security policy
can forbid everything but its own style sheet. Everything out of the document is escaped.
"""

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from html import escape
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mmm_server.http.docs_schema import Schema, Schemas

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?|\[[0-9a-fA-F:.]+\](:[0-9]{1,5})?")
SLOT = re.compile(r"\{(\w+)\}")
PICTURE = "@picture.jpg"
STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --mark: #0a6; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
nav ul { columns: 18rem; padding: 0; list-style: none; }
a { color: inherit; }
section { border-top: 1px solid var(--line); padding: 0.5rem 0 1.5rem; }
h2 { font: 600 1.1rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
h2 b { color: var(--mark); }
h3 { font-size: 1rem; margin: 1rem 0 0.25rem; }
pre { background: var(--soft); padding: 0.75rem; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
code, pre { font-family: ui-monospace, monospace; font-size: 0.9rem; }
ul.outline { list-style: none; margin: 0; padding-left: 1.25rem; border-left: 1px solid var(--line); }
summary { cursor: pointer; }
em { opacity: 0.75; font-style: normal; }
"""
POLICY = "; ".join(
    [
        "default-src 'none'",
        f"style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def docs_route(describe: Callable[[], Mapping[str, Any]]) -> Route:
    """The route of the page for the document that `describe` gives."""

    async def docs(request: Request) -> Response:
        host = request.headers.get("host", "")
        base = f"{request.url.scheme}://{host if HOST.fullmatch(host) else 'localhost:8080'}"
        return Response(render_page(describe(), base), media_type="text/html", headers=HEADERS)

    return Route("/docs", docs, methods=["GET"], include_in_schema=False)


def render_page(document: Schema, base: str) -> str:
    """The page, with `base` as the address in its examples."""
    schemas = Schemas(document)
    operations = list(_operations(document))
    title = escape(f"{document['info']['title']} {document['info']['version']}")
    links = "".join(f'<li><a href="#{_anchor(*one[:2])}">{_name(*one[:2])}</a></li>' for one in operations)
    sections = "".join(_section(schemas, *one) for one in operations)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body><h1>{title}</h1>'
        f"<p>{escape(str(document['info'].get('description', '')))}</p>"
        '<p>The same as a document for programs: <a href="/openapi.json">/openapi.json</a>. '
        f"The examples need a shell, and say where the server is:</p><pre>URL={escape(shlex.quote(base))}</pre>"
        f"<nav><ul>{links}</ul></nav><main>{sections}</main></body></html>"
    )


def _operations(document: Schema) -> Iterator[tuple[str, str, Schema, list[Schema]]]:
    """(path, method, operation, parameters) of everything that can be asked."""
    schemas = Schemas(document)
    for path, item in document.get("paths", {}).items():
        shared = item.get("parameters", [])
        for method in METHODS:
            if method in item:
                operation = item[method]
                yield (
                    path,
                    method,
                    operation,
                    [schemas.resolve(one) for one in (*shared, *operation.get("parameters", ()))],
                )


def _section(schemas: Schemas, path: str, method: str, operation: Schema, parameters: list[Schema]) -> str:
    body = schemas.resolve(operation.get("requestBody", {})).get("content", {})
    parts = [
        f'<section id="{_anchor(path, method)}"><h2>{_name(path, method)}</h2>',
        *(f"<p>{escape(str(operation[word]))}</p>" for word in ("summary", "description") if operation.get(word)),
    ]
    if parameters:
        parts.append(f"<h3>Parameters</h3>{_parameters(schemas, parameters)}")
    for kind, content in body.items():
        parts.append(f"<h3>Body: <code>{escape(kind)}</code></h3>{_outline(schemas, content.get('schema', {}))}")
    parts.append("<h3>Try it</h3>")
    for kind in body or [""]:
        line = curl(schemas, path, method, kind, body.get(kind, {}).get("schema", {}))
        parts.append(f"<pre>{escape(line)}</pre>")
    parts.append("<h3>Answers</h3>")
    parts += [_answer(schemas, status, answer) for status, answer in operation.get("responses", {}).items()]
    return "".join([*parts, "</section>"])


def _parameters(schemas: Schemas, parameters: list[Schema]) -> str:
    """The outline of an object that has them as its properties."""
    required = [one["name"] for one in parameters if one.get("required")]
    described = {
        one["name"]: {
            **schemas.resolve(one.get("schema", {})),
            "description": f"in {one['in']}. {one.get('description', '')}".strip(),
        }
        for one in parameters
    }
    return _outline(schemas, {"type": "object", "properties": described, "required": required})


def _answer(schemas: Schemas, status: str, answer: object) -> str:
    resolved = schemas.resolve(answer)
    head = f"<code>{escape(status)}</code> {escape(str(resolved.get('description', '')))}"
    inside = "".join(
        f"<p><code>{escape(kind)}</code></p>{_outline(schemas, content.get('schema', {}))}"
        for kind, content in resolved.get("content", {}).items()
    )
    return f"<details><summary>{head}</summary>{inside}</details>" if inside else f"<p>{head}</p>"


def _outline(schemas: Schemas, schema: object) -> str:
    """Nested lists."""
    text, depth = f"<p>{escape(schemas.kind(schema))}</p>", 0
    for line in schemas.outline(schema):
        wanted = line.depth + 1
        text += '<ul class="outline">' * max(0, wanted - depth) + "</ul>" * max(0, depth - wanted)
        must = " (required)" if line.required else ""
        notes = f" – {escape(line.notes)}" if line.notes else ""
        text += f"<li><code>{escape(line.name)}</code> <em>{escape(line.kind)}{must}</em>{notes}</li>"
        depth = wanted
    return text + "</ul>" * depth


def curl(schemas: Schemas, path: str, method: str, kind: str, schema: object) -> str:
    """A command line that asks this."""
    words = ["curl"] if method == "get" else ["curl", "-X", method.upper()]
    if kind == "multipart/form-data":
        for name, part in schemas.resolve(schema).get("properties", {}).items():
            words += ["-F", shlex.quote(f"{name}={_field(schemas, part)}")]
    elif kind.endswith("json"):
        example = json.dumps(schemas.example(schema), ensure_ascii=False)
        words += ["-H", shlex.quote(f"Content-Type: {kind}"), "-d", shlex.quote(example)]
    elif kind:
        words += ["-H", shlex.quote(f"Content-Type: {kind.replace('*', 'jpeg')}"), "--data-binary", PICTURE]
    return f'{" ".join(words)} "$URL"{shlex.quote(SLOT.sub(lambda slot: slot[1].upper(), path))}'


def _field(schemas: Schemas, part: object) -> str:
    """The value of one form field: a file where bytes are wanted."""
    resolved = schemas.resolve(part)
    inner = schemas.resolve(resolved.get("items", resolved))
    if "contentMediaType" in inner or inner.get("format") == "binary":
        return PICTURE
    example = schemas.example(inner)
    return example if isinstance(example, str) else json.dumps(example)


def _name(path: str, method: str) -> str:
    return f"<b>{method.upper()}</b> {escape(path)}"


def _anchor(path: str, method: str) -> str:
    return escape(f"{method}-{path.strip('/')}".replace("/", "-"))
