"""Objects in YAML files, each with the file and the line in which it and its fields stand."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mmm_operator.errors import OperatorError
from mmm_operator.snapshot import Manifest

# The C parser reads a dump of a thousand objects in a second; it is there on every common platform.
try:
    from yaml import CSafeLoader as _Base
except ImportError:
    from yaml import SafeLoader as _Base  # type: ignore[assignment]

STDIN = "-"
SUFFIXES = (".yaml", ".yml", ".json")
_TIMESTAMP = "tag:yaml.org,2002:timestamp"

Field = tuple[str | int, ...]


class Unusable(OperatorError):
    """The files cannot be used; one line per mistake, each with its place."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))


@dataclass(frozen=True, slots=True)
class Document:
    """One object, where it came from, and the line of each of its fields."""

    file: str
    content: Manifest
    lines: Mapping[Field, int]
    within: Field = ()

    def place(self, field: Field = ()) -> str:
        """`file:line` of a field, or of the nearest thing around it that is there."""
        path = (*self.within, *field)
        known = (path[:length] for length in range(len(path), -1, -1))
        return f"{self.file}:{next(self.lines[part] for part in known if part in self.lines)}"


class _Loader(_Base):
    """YAML as the API server reads it: a date is a text."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (PyYAML's own way)
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in _Base.yaml_implicit_resolvers.items()
    }


def read_documents(sources: Sequence[str]) -> list[Document]:
    """The objects in files, in directories and on standard input ("-"); the items of a List count one by one.

    Raises Unusable for what cannot be read.
    """
    return [item for file, text in _texts(sources) for item in documents_in(file, text)]


def _texts(sources: Sequence[str]) -> Iterator[tuple[str, str]]:
    for source in sources:
        if source == STDIN:
            yield "<stdin>", sys.stdin.read()
        else:
            yield from ((str(path), _read(path)) for path in _files(Path(source)))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    if not found:
        raise Unusable([f"{path}: holds no {', '.join(SUFFIXES)} files"])
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Unusable([f"{path}: {getattr(error, 'strerror', None) or error}"]) from error


def documents_in(file: str, text: str) -> Iterator[Document]:
    """The objects in a text, which is called `file` in what is said about it; raises Unusable."""
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is not None:
                yield from _objects(Document(file, loader.construct_document(node), dict(_lines(node))))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Unusable([f"{file}:{line}: no YAML: {error.problem or error.context}"]) from error
    except yaml.YAMLError as error:
        raise Unusable([f"{file}: no YAML: {error}"]) from error
    finally:
        loader.dispose()


def _lines(node: yaml.Node, path: Field = ()) -> Iterator[tuple[Field, int]]:
    if not path:
        yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*path, key.value), key.start_mark.line + 1
            yield from _lines(value, (*path, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*path, index), value.start_mark.line + 1
            yield from _lines(value, (*path, index))


def _objects(document: Document) -> Iterator[Document]:
    """The document itself, or the items of the List that it is; nothing for an empty one."""
    content: Any = document.content
    if content is None:
        return
    if not isinstance(content, dict) or not isinstance(content.get("kind"), str):
        raise Unusable([f"{document.place()}: no Kubernetes object: it needs apiVersion, kind and metadata"])
    items = content.get("items")
    if not (content["kind"].endswith("List") and isinstance(items, list)):
        yield document
        return
    for index, item in enumerate(items):
        # In the API server's own lists the items do not say what they are.
        identity = {"apiVersion": content.get("apiVersion"), "kind": content["kind"].removesuffix("List")}
        whole = {**(identity if content["kind"] != "List" else {}), **item} if isinstance(item, dict) else item
        yield from _objects(Document(document.file, whole, document.lines, (*document.within, "items", index)))
