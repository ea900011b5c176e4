"""Pods get the time to be forgotten by every client and to answer their longest request."""

import pytest

from mmm_operator.api.v1alpha1 import Runtime
from mmm_operator.builders.ending import grace_seconds
from mmm_operator.settings import Settings

USUAL = Settings(server_image="none")


def test_the_usual_pod_gets_what_is_set() -> None:
    assert grace_seconds(Runtime(), USUAL) == USUAL.grace_seconds == 60


@pytest.mark.parametrize(
    ("arguments", "grace"),
    [
        (["--set", "request_timeout_seconds=120"], 20 + 120 + 10),
        (["--set=request_timeout_seconds=120"], 20 + 120 + 10),
        (["--set", "request_timeout_seconds=0.5"], 60),
        (["--set", "request_timeout_seconds=120", "--set", "request_timeout_seconds=90.5"], 20 + 91 + 10),
        (["--set", "request_timeout_seconds=nan"], 60),
        (["--set", "request_timeout_seconds=long"], 60),
        (["--set", "keep_alive_seconds=900"], 60),
    ],
)
def test_a_model_that_allows_longer_requests_gets_more(arguments: list[str], grace: int) -> None:
    assert grace_seconds(Runtime(args=arguments), USUAL) == grace


def test_a_longer_drain_delay_needs_nothing_else_to_be_set() -> None:
    assert grace_seconds(Runtime(), USUAL.model_copy(update={"drain_delay_seconds": 300})) == 340
