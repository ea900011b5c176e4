"""The page for people says what the document for programs says, and needs nothing from elsewhere."""

import base64
import hashlib
import re
import shlex
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from mmm_server.http.docs_page import render_page
from tests.server.pictures import jpeg

VOID = {"meta", "br", "hr", "img", "link", "input"}
EVIL = "<script>alert('x')</script>\"'&"


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on tags that are not closed in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self._open):
            self.texts[tag][-1] += data


def test_every_path_and_method_of_the_document_is_on_the_page(clip: httpx.Client) -> None:
    document = clip.get("/openapi.json").json()
    page = Page(clip.get("/docs").text)
    wanted = {f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item}
    assert set(page.texts["h2"]) == wanted
    anchors = {value for name, value in page.attributes if name == "id"}
    links = {value.removeprefix("#") for name, value in page.attributes if name == "href" and value[:1] == "#"}
    assert links == anchors
    assert len(anchors) == len(wanted)


def test_every_property_of_every_body_and_answer_is_on_the_page(clip: httpx.Client) -> None:
    named = set(re.findall(r"'properties': \{'(\w+)'", str(clip.get("/openapi.json").json())))
    assert {"images", "predictions", "type"} <= named
    assert named <= set(Page(clip.get("/docs").text).texts["code"])


def test_the_page_needs_nothing_from_elsewhere(clip: httpx.Client) -> None:
    answer = clip.get("/docs")
    page = Page(answer.text)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert {"script", "link", "img", "iframe", "object", "form"}.isdisjoint(page.tags)
    assert [name for name, _ in page.attributes if name == "src" or name == "style" or name.startswith("on")] == []
    assert {value for name, value in page.attributes if name == "href" and value[:1] != "#"} == {"/openapi.json"}
    address = f"{clip.base_url.scheme}://{clip.base_url.netloc.decode()}"
    assert set(re.findall(r"\w+://[^\s<&\"']+", answer.text)) == {address}
    assert "url(" not in answer.text
    assert "@import" not in answer.text


def test_the_policy_allows_the_style_sheet_of_the_page_and_nothing_else(clip: httpx.Client) -> None:
    answer = clip.get("/docs")
    (style,) = Page(answer.text).texts["style"]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy.pop("style-src") == f"'sha256-{digest}'"
    assert set(policy.values()) == {"'none'"}
    assert {"default-src", "base-uri", "form-action", "frame-ancestors"} == set(policy)


def test_the_command_lines_work_as_they_stand(clip: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "picture.jpg").write_bytes(jpeg())
    url, *commands = Page(clip.get("/docs").text).texts["pre"]
    tried = [command for command in commands if "-F" in command or command.startswith('curl "$URL"')]
    assert len(tried) >= 4
    for command in tried:
        named = command.replace("/MODEL", "/clip").replace("/VERSION", "/2")
        script = f"{url}\n{named} -s -o /dev/null -w '%{{http_code}}'"
        ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
        assert ended.stdout == "200", command
    for command in commands:
        assert shlex.split(command)[0] == "curl"


@pytest.mark.parametrize("host", [EVIL, "a b", "x/../y", "", "a:99999999", "$(id)", "`id`", "[::1"])
def test_a_strange_host_is_not_repeated(clip: httpx.Client, host: str) -> None:
    answer = clip.get("/docs", headers={"Host": host})
    assert answer.status_code == 400 or "URL=http://localhost:8080" in answer.text


def test_what_the_document_says_is_text() -> None:
    schema = {"type": "object", "description": EVIL, "properties": {EVIL: {"enum": [EVIL], "description": EVIL}}}
    operation = {
        "summary": EVIL,
        "description": EVIL,
        "parameters": [{"name": EVIL, "in": "query", "description": EVIL, "schema": {"type": "string"}}],
        "requestBody": {"content": {EVIL: {"schema": schema}, "application/json": {"schema": schema}}},
        "responses": {"200": {"description": EVIL, "content": {EVIL: {"schema": schema}}}},
    }
    document = {
        "info": {"title": EVIL, "version": EVIL, "description": EVIL},
        "paths": {f"/{EVIL}": {"get": operation}},
    }
    page = Page(render_page(document, "http://x"))
    assert "script" not in page.tags
    assert [name for name, _ in page.attributes if name.startswith("on")] == []


def test_a_schema_that_holds_itself_ends() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Node"}}, "required": ["next"]}
    content = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Node"}}}}
    document = {
        "info": {"title": "t", "version": "1"},
        "paths": {"/n": {"post": {"requestBody": content, "responses": {}}}},
        "components": {"schemas": {"Node": node, "Loop": {"$ref": "#/components/schemas/Loop"}}},
    }
    assert Page(render_page(document, "http://x")).texts["h2"] == ["POST /n"]
