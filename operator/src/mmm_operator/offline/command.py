"""`mmm-operator plan`: from arguments to forecasts on standard output."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import yaml

from mmm_operator import names
from mmm_operator.offline.arguments import CHANGES, NOTHING
from mmm_operator.offline.check import mistakes
from mmm_operator.offline.documents import Document, Unusable, read_documents
from mmm_operator.offline.forecast import Forecast, forecast
from mmm_operator.offline.state import State
from mmm_operator.offline.text import to_text, to_value
from mmm_operator.settings import Settings, load_settings
from mmm_operator.snapshot import Key, Manifest

# Only ever printed: nobody can pull it.
UNKNOWN_IMAGE = "server-image-of-the-operator:unknown"


def run_plan(chosen: argparse.Namespace) -> int:
    """Print the forecasts; the answer is the exit code. Raises Unusable and SettingsError with what is wrong."""
    if not chosen.filename and not chosen.state:
        raise Unusable(["say what to plan: -f FILE, --state PATH, or both"])
    settings, notes = take_settings()
    state = State.of(read_documents(chosen.state))
    wanted = take_wanted(read_documents(chosen.filename), chosen.namespace) if chosen.filename else _stored(state)
    now = datetime.now(UTC)
    found = [forecast(key, raw, state, chosen.digest, settings, now) for key, raw in wanted]
    for note in notes:
        sys.stderr.write(f"note: {note}\n")
    sys.stdout.write(PRINTERS[chosen.output](found) + "\n")
    return CHANGES if any(item.plan.writes for item in found) else NOTHING


def take_settings() -> tuple[Settings, list[str]]:
    """The operator's settings from the environment, and what the reader should know of them."""
    if os.environ.get("MMM_OPERATOR_SERVER_IMAGE"):
        return load_settings(), []
    note = f"MMM_OPERATOR_SERVER_IMAGE is not set: pods without runtime.image are shown with {UNKNOWN_IMAGE}"
    return load_settings(server_image=UNKNOWN_IMAGE), [note]


def _stored(state: State) -> list[tuple[Key, Manifest]]:
    if not state.models:
        raise Unusable([f"the state holds no {names.KIND}"])
    return [(key, state.models[key].content) for key in sorted(state.models)]


def take_wanted(documents: Sequence[Document], namespace: str) -> list[tuple[Key, Manifest]]:
    """The MultimodalModels among the documents; what else stands in the files is none of ours. Raises Unusable."""
    models = [document for document in documents if document.content["kind"] == names.KIND]
    if not models:
        files = ", ".join(sorted({document.file for document in documents})) or "the files"
        raise Unusable([f"{files}: no {names.KIND} in it"])
    wanted: dict[Key, Manifest] = {}
    if wrong := [line for document in models for line in _take(document, namespace, wanted)]:
        raise Unusable(wrong)
    return list(wanted.items())


def _take(document: Document, namespace: str, wanted: dict[Key, Manifest]) -> Iterator[str]:
    """Adds the object of a document to `wanted`; what is wrong with it."""
    raw = document.content
    meta = raw.get("metadata")
    if not isinstance(meta, dict) or not isinstance(meta.get("name"), str):
        yield f"{document.place(('metadata',))}: metadata.name: is missing"
        return
    raw = {**raw, "metadata": {**meta, "namespace": meta.get("namespace") or namespace}}
    key = Key(raw["metadata"]["namespace"], meta["name"])
    if key in wanted:
        yield f"{document.place(('metadata', 'name'))}: metadata.name: {key} is there twice"
    yield from mistakes(document, raw)
    wanted[key] = raw


def _as_text(found: Sequence[Forecast]) -> str:
    return "\n\n".join(map(to_text, found))


def _as_json(found: Sequence[Forecast]) -> str:
    return json.dumps([to_value(item) for item in found], indent=2, ensure_ascii=False)


def _as_yaml(found: Sequence[Forecast]) -> str:
    values = [to_value(item) for item in found]
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120).rstrip()


PRINTERS: dict[str, Callable[[Sequence[Forecast]], str]] = {"text": _as_text, "yaml": _as_yaml, "json": _as_json}
