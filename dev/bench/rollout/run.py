"""Plays the plans on the stage of the demo, one after the other."""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from dev.bench.rollout.plans import Plan
from dev.bench.rollout.timeline import Answers, Mark, Pods, Timeline
from dev.bench.rollout.watch import Watch
from dev.demo.phases import PREPARATION, Demo, wait_ready, wait_version
from dev.demo.stage import Stage, wait_for
from dev.demo.traffic import Score, steady_load
from dev.models import ensure_models
from e2e.models import Models

BEFORE_SECONDS, AFTER_SECONDS = 6.0, 6.0
URI = "s3://models/rollout"
OLD, NEW = "1", "2"


def measure_all(plans: Sequence[Plan], say: Callable[[str], None]) -> Iterator[Timeline]:
    """A timeline for each plan."""
    demo = Demo(say=say)
    try:
        for phase in PREPARATION:
            phase(demo)
        for version in (OLD, NEW):
            demo.stage.publish(ensure_models() / "clip" / version, URI, version)
        for plan in plans:
            yield measure(demo.stage, plan)
    finally:
        demo.stage.down()


def measure(stage: Stage, plan: Plan) -> Timeline:
    """The timeline of one plan, in a namespace of its own."""
    models = Models(stage, f"rollout-{plan.policy.lower()}")
    stage.cluster.set_gpus(plan.gpus)
    stage.ensure_model_namespace(models.namespace)
    try:
        spec = {"rollout": dict(plan.rollout), "replicas": plan.replicas, **plan.spec}
        models.apply("clip", OLD, model={"uri": URI, "version": OLD}, **spec)
        wait_ready(stage, models.namespace, "clip", seconds=300)
        return play(models, plan)
    finally:
        stage.kubectl("delete", "namespace", models.namespace, "--wait", "--timeout=180s")
        stage.cluster.set_gpus(0)


def play(models: Models, plan: Plan) -> Timeline:
    """Changes the version of what serves, and looks on."""
    stage = models.stage
    with steady_load(stage, models.namespace, "clip") as load, Watch(stage, models.namespace, "clip") as watch:
        time.sleep(BEFORE_SECONDS)
        zero = watch.mark(f"version {NEW} asked for")
        models.patch("clip", {"model": {"version": NEW}})
        wait_version(stage, models.namespace, "clip", NEW, seconds=300)
        wait_ready(stage, models.namespace, "clip", seconds=300)
        watch.mark("Ready")
        load.wait_for_version(NEW, 20)
        wait_for("the last old pod's end", lambda: not any(pods_ending(watch)), 180)
        time.sleep(AFTER_SECONDS)
    load.stop()
    return Timeline(
        policy=plan.policy,
        setting=plan.setting,
        old=OLD,
        new=NEW,
        replicas=plan.replicas,
        pods=tuple(Pods(round(pods.at - zero, 2), pods.versions) for pods in watch.pods),
        answers=tuple(seconds_of(load.history, zero)),
        marks=tuple(Mark(round(mark.at - zero, 2), mark.text) for mark in watch.marks),
    )


def pods_ending(watch: Watch) -> list[int]:
    """Pods of the last look that are on their way out."""
    return [watch.pods[-1].count("ending")]


def seconds_of(history: Sequence[tuple[float, Score]], zero: float) -> Iterator[Answers]:
    """What was counted between two looks."""
    for (_, before), (at, after) in pairwise(history):
        versions = {name: count - before.requests.get(name, 0) for name, count in after.requests.items()}
        answered = {name: count for name, count in versions.items() if count}
        yield Answers(round(at - zero, 2), answered, after.failed - before.failed)
