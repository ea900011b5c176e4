"""`mmm validate` and a real API server give the same verdict, over the known cases and over random mixtures of them."""

import copy
import itertools
import os
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from mmm_cli.schema import completed, mistakes
from mmm_operator.api.crd import root_schema
from mmm_operator.api.schema import Schema
from mmm_operator.offline.check import unknown_fields
from tests.integration.test_crd import ACCEPTED, REFUSED, make_mmm, refusal

pytestmark = pytest.mark.integration

MIXTURES = 400
SCHEMA = root_schema()
ODD: tuple[Any, ...] = (None, 0, -1, 1, 2**40, "", "x", "1Gi", "A b", "a/b", "..", "x" * 5000, True, [], {}, [{}], 1.5)


def refused_offline(document: dict[str, Any]) -> list[object]:
    """What the command line says against the object, as far as the API server could say it too."""
    return [*mistakes(SCHEMA, completed(SCHEMA, document)), *unknown_fields(SCHEMA, document)]


def mixtures(source: random.Random) -> Iterator[dict[str, Any]]:
    """Two cases in one object; in half of them one is a mistake, and in half one field is set to something odd."""
    good = list(ACCEPTED.values())
    bad = [spec for spec, _ in REFUSED.values() if spec != {"model": None}]
    while True:
        one, other = source.choice(source.choice((good, bad))), source.choice(good)
        document = make_mmm(**merge(copy.deepcopy(one), copy.deepcopy(other)))
        if source.random() < 0.5:
            set_something_odd(document["spec"], SCHEMA["properties"]["spec"], source)
        yield document


def merge(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Both, field by field."""
    for key, value in other.items():
        ours = one.get(key)
        one[key] = merge(ours, value) if isinstance(ours, dict) and isinstance(value, dict) else value
    return one


def set_something_odd(value: dict[str, Any], schema: Schema, source: random.Random) -> None:
    """Somewhere in the object a field gets a value that may not suit it."""
    name = source.choice(sorted(schema["properties"]))
    part, inside = schema["properties"][name], value.get(name)
    if "properties" in part and source.random() < 0.8:
        value[name] = inside = inside if isinstance(inside, dict) else {}
        set_something_odd(inside, part, source)
    else:
        value[name] = copy.deepcopy(source.choice(ODD))


def test_the_verdicts_are_the_same(api: httpx.Client) -> None:
    seed = int(os.environ.get("MMM_TEST_SEED") or random.SystemRandom().randrange(2**32))
    drawn = list(itertools.islice(mixtures(random.Random(seed)), MIXTURES))
    known = [make_mmm(**spec) for spec in (*ACCEPTED.values(), *(spec for spec, _ in REFUSED.values()))]
    verdicts = [(refusal(api, document), refused_offline(document), document) for document in (*known, *drawn)]
    different = [item for item in verdicts if bool(item[0]) is not bool(item[1])]
    assert not different, f"seed {seed}: {len(different)}, first {different[0]}"
    refused = sum(bool(said) for said, _, _ in verdicts[len(known) :])
    assert MIXTURES / 5 < refused < MIXTURES * 0.95, "of both kinds there are enough"
