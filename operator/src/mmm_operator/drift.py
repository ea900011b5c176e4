"""The first difference between what an object should be and what it is, as a sentence.

Only fields that we set are compared: what the API server defaults or others add is theirs. Fields
that we set once and no longer want are found by the hash in the `applied` annotation instead.
"""

from typing import Any

from mmm_operator import names
from mmm_operator.quantity import parse_quantity
from mmm_operator.revision import content_hash
from mmm_operator.snapshot import Manifest

# The API server writes these back in its own form: 1000m as 1, 1024Mi as 1Gi.
_AMOUNTS = (".requests.", ".limits.", ".sizeLimit")
# What tells the items of a list apart, as server-side apply does it: whatever others add beside ours stays there, and
# would be a difference for ever. A volume may be mounted twice, so its name is no key there.
_KEYS = (("mountPath",), ("topologyKey", "whenUnsatisfiable"), ("ip",), ("name",))
# It has names, but an apply replaces it as a whole.
_ATOMIC = (".dnsConfig.options",)


def with_applied_hash(manifest: Manifest) -> Manifest:
    """`manifest` with the hash of itself in an annotation."""
    meta = manifest["metadata"]
    annotations = meta.get("annotations", {})
    # What is packed is there unpacked as well, and other bytes may mean the same.
    packed = (names.ANNOTATION_BUILT, names.ANNOTATION_TEMPLATE)
    hashed = {key: value for key, value in annotations.items() if key not in packed}
    applied = content_hash({**_changeable(manifest), "metadata": {**meta, "annotations": hashed}})
    return {**manifest, "metadata": {**meta, "annotations": {**annotations, names.ANNOTATION_APPLIED: applied}}}


def _changeable(manifest: Manifest) -> Manifest:
    if manifest["kind"] != "Job":
        return manifest
    # The API server adds to a Job's template when it is made, and lets nobody change it afterwards.
    return {**manifest, "spec": {key: value for key, value in manifest["spec"].items() if key != "template"}}


def first_difference(desired: Any, live: Any, path: str = "") -> str | None:
    """Where `live` departs from `desired`, or None. Absent and empty are the same to Kubernetes."""
    if desired == live:  # at once for whole trees: nearly always nothing differs
        return None
    if isinstance(desired, dict) and isinstance(live, dict):
        return _dict_difference(desired, live, path)
    if isinstance(desired, list) and isinstance(live, list):
        return _list_difference(desired, live, path)
    if (live is None and _is_empty(desired)) or _same_amount(desired, live, path):
        return None
    return f"{path.lstrip('.')} is {_brief(live)} instead of {_brief(desired)}"


def _dict_difference(desired: dict[str, Any], live: dict[str, Any], path: str) -> str | None:
    changed = ((key, value, live.get(key)) for key, value in desired.items() if value != live.get(key))
    found = (first_difference(value, other, f"{path}.{key}") for key, value, other in changed)
    return next(filter(None, found), None)


def _list_difference(desired: list[Any], live: list[Any], path: str) -> str | None:
    keys = () if path.endswith(_ATOMIC) else _list_keys(desired, live)
    if keys:
        return _dict_difference(_by(keys, desired), _by(keys, live), path)
    if len(desired) != len(live):
        return f"{path.lstrip('.')} has {len(live)} items instead of {len(desired)}"
    found = (first_difference(a, b, f"{path}[{i}]") for i, (a, b) in enumerate(zip(desired, live, strict=True)))
    return next(filter(None, found), None)


def _is_empty(desired: object) -> bool:
    # A false is written where absent means true: a token that must not be mounted, privileges that must not grow.
    return not desired and desired is not False


def _list_keys(desired: list[Any], live: list[Any]) -> tuple[str, ...]:
    items = [*desired, *live]
    fitting = (keys for keys in _KEYS if all(isinstance(item, dict) and item.keys() >= set(keys) for item in items))
    return next(fitting, ()) if desired else ()


def _by(keys: tuple[str, ...], items: list[Any]) -> dict[str, Any]:
    return {"/".join(str(item[key]) for key in keys): item for item in items}


def _same_amount(desired: object, live: object, path: str) -> bool:
    # Only amounts of resources: everywhere else "1" and "1.0" are different words.
    number = parse_quantity(desired) if any(part in path for part in _AMOUNTS) else None
    return number is not None and number == parse_quantity(live)


def _brief(value: object) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "…"
