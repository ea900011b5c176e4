"""One stage for the whole session: cluster, images, object store, models, operator; made by the demo's own phases."""

import json
import os
import re
import time
from collections.abc import Generator, Iterator

import pytest

from dev.demo.phases import PREPARATION, Demo, title
from dev.demo.stage import OPERATOR_NAMESPACE, Stage
from e2e.models import Models


@pytest.fixture(scope="session")
def demo() -> Iterator[Demo]:
    """The demo, prepared: everything stands but the story."""
    demo = Demo(say=_say)
    for phase in PREPARATION:
        started = time.monotonic()
        print(f"\n── {title(phase)}", flush=True)
        phase(demo)
        print(f"   {time.monotonic() - started:.1f} s", flush=True)
    yield demo
    if "E2E_KEEP" not in os.environ:  # for whoever writes tests: the next session begins with what is there
        demo.stage.down()


@pytest.fixture(scope="session")
def stage(demo: Demo) -> Stage:
    """The stage of the demo."""
    return demo.stage


@pytest.fixture
def models(stage: Stage, request: pytest.FixtureRequest) -> Iterator[Models]:
    """An empty namespace for one test; what happened in it is printed when the test fails."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_"))
    name = words[:48].strip("-")
    models = Models(stage, name)
    stage.ensure_model_namespace(name)
    yield models
    if getattr(request.node, "failed", False):
        _explain(stage, name)
    stage.kubectl("delete", "namespace", name, "--wait=false")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.failed = report.failed  # type: ignore[attr-defined]
    return report


def _explain(stage: Stage, namespace: str) -> None:
    for mmm in stage.get_list("mmm", "-n", namespace):
        print(json.dumps(mmm.get("status"), indent=1))
    print(stage.kubectl("get", "all,events", "-n", namespace, "-o", "wide"))
    print(stage.kubectl("logs", "deployment/multimodal-operator", "-n", OPERATOR_NAMESPACE, "--tail=40"))


def _say(text: str) -> None:
    print(text.rstrip(), flush=True)
