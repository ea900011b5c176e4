"""What no server pod is given, also when the API server never checked it: objects outlive the rules of their time."""

from typing import Any

import pytest
from pydantic import ValidationError

from mmm_operator.api.environment import REFUSED
from mmm_operator.api.v1alpha1 import EnvVar, Runtime
from tests.unit.api.smuggled import ALLOWED, NAMES, NO_NAMES, VALUES


def sentence(**fields: Any) -> str:
    """What is said against a variable."""
    with pytest.raises(ValidationError) as caught:
        EnvVar.model_validate(fields)
    return str(caught.value.errors()[0]["msg"])


def test_the_corpus_is_worth_its_name() -> None:
    assert len({*NAMES, *NO_NAMES, *VALUES}) >= 150
    for refusal in REFUSED:
        assert any(map(refusal.matches, NAMES)), refusal
        for prefix in refusal.prefixes:
            assert any(name.startswith(prefix) for name in NAMES), prefix
        assert set(refusal.names) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_changes_more_than_the_server_is_refused(name: str) -> None:
    assert sentence(name=name).startswith("Value error, ")
    assert ": " in sentence(name=name)


@pytest.mark.parametrize("name", NO_NAMES, ids=repr)
def test_what_is_no_name_is_refused(name: str) -> None:
    sentence(name=name)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value[:20])
def test_a_value_that_kubernetes_would_change_is_refused(value: str) -> None:
    sentence(name="A", value=value)
    with pytest.raises(ValidationError):
        Runtime.model_validate({"image": "own", "args": [value]})


@pytest.mark.parametrize("name", ALLOWED)
def test_what_tunes_the_server_is_allowed(name: str) -> None:
    assert EnvVar(name=name, value="100 $ (or less) at $HOME").name == name
