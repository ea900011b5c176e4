"""The children of each sample, byte for byte.

A change of a golden file is a change that every user's cluster sees. After reading the difference, write them anew with

    GOLDEN=update pytest tests/unit/operator/core/test_golden.py
"""

import os
from pathlib import Path

import pytest
import yaml

from mmm_operator import names
from tests.unit.operator.core.children import DRAFTS, children_of

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", DRAFTS)
def test_children_are_as_they_were(name: str) -> None:
    path = GOLDEN / f"{name}.yaml"
    children = children_of(DRAFTS[name])
    # The template once more, packed into bytes that depend on the zlib in use.
    for packed in (names.ANNOTATION_BUILT, names.ANNOTATION_TEMPLATE):
        assert children["Deployment"]["metadata"]["annotations"].pop(packed)
    made = yaml.safe_dump_all(children.values(), sort_keys=False, width=120)
    if os.environ.get("GOLDEN") == "update":
        path.write_text(made)
    assert made == path.read_text()


def test_every_golden_file_belongs_to_a_sample() -> None:
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == DRAFTS.keys()
