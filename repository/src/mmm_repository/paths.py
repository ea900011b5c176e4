"""Which names a file of a model version may have.

A name is a relative path of plain components. It is refused, never repaired: a name that needs repair was not
written by a publisher of ours, and what a repair turns it into differs between file systems.
"""

import unicodedata
from collections.abc import Iterable

from mmm_repository.errors import InvalidManifest

MANIFEST_NAME = "manifest.json"
MAX_COMPONENT_BYTES = 255
# S3 ends at 1024 bytes of key; the rest is for prefix and version.
MAX_PATH_BYTES = 768
# Separators and wildcards of other systems, drive letters and streams (":"), and "%" that somebody may decode again.
FORBIDDEN_CHARACTERS = frozenset('\\:*?"<>|%')


def refusal_of_path(path: str) -> str | None:
    """Why a file may not have this name, as words that follow "it"; None when the name is fine."""
    if not path:
        return "is empty"
    if path.startswith("/"):
        return "is absolute"
    if not path.isprintable():
        return "holds characters that cannot be printed"
    if unicodedata.normalize("NFC", path) != path:
        return "is not in Unicode normal form C"
    if len(path.encode()) > MAX_PATH_BYTES:
        return f"is longer than {MAX_PATH_BYTES} bytes"
    if path.casefold() == MANIFEST_NAME:
        return "is the manifest's own name"
    refusals = (refusal_of_component(component) for component in path.split("/"))
    return next((refusal for refusal in refusals if refusal), None)


def refusal_of_component(component: str) -> str | None:
    """Why a path may not have this component; None when it may."""
    if not component:
        return "has an empty component"
    if component in (".", ".."):
        return f'has the component "{component}"'
    if component.startswith("."):
        return "has a hidden component"
    if component != component.strip() or component.endswith("."):
        return "has a component that begins or ends with a space or ends with a dot"
    if len(component.encode()) > MAX_COMPONENT_BYTES:
        return f"has a component longer than {MAX_COMPONENT_BYTES} bytes"
    found = sorted(FORBIDDEN_CHARACTERS.intersection(component))
    return f"holds the character {found[0]}" if found else None


def check_paths(paths: Iterable[str]) -> None:
    """Raise InvalidManifest unless every name is fine and no two of them meet on any file system."""
    seen: dict[str, str] = {}
    for path in paths:
        refusal = refusal_of_path(path)
        if refusal:
            raise InvalidManifest(f"The file name {shown(path)} is refused: it {refusal}.")
        other = seen.get(folded(path))
        if other is not None:
            raise InvalidManifest(f"The file names {shown(other)} and {shown(path)} mean the same file.")
        seen[folded(path)] = path
    check_no_file_is_directory(seen)


def check_no_file_is_directory(names: dict[str, str]) -> None:
    """Raise InvalidManifest where one folded name is a parent directory of another."""
    for name, path in names.items():
        components = name.split("/")
        for depth in range(1, len(components)):
            if "/".join(components[:depth]) in names:
                raise InvalidManifest(f"The file {shown(path)} lies inside another file.")


def folded(path: str) -> str:
    """The name as a file system sees it that ignores case and Unicode form."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


def shown(text: str) -> str:
    """The text, safe for one line of a log or a status: quoted, escaped, at most 80 characters."""
    safe = text if len(text) <= 80 else text[:77] + "…"
    return ascii(safe) if not safe.isprintable() else f'"{safe}"'
