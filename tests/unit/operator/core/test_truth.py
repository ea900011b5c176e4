"""Whatever is seen, the status says what is true of it, says it in bounds, says it once, and keeps secrets.

Random snapshots: also those that no cluster would show, since objects are read at different moments.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_operator.api.conditions import CAUSES, Condition, Reason
from mmm_operator.api.status import Status
from mmm_operator.api.text import one_line
from mmm_operator.plan import Plan
from mmm_operator.planner import plan
from mmm_operator.snapshot import Manifest, Ref, Resolution, Snapshot, is_living, is_ready, pod_revision, revision_id
from tests.unit.operator.core.build import (
    BORN,
    NAMESPACE,
    NOW,
    SETTINGS,
    Draft,
    PodDraft,
    digest_of,
    exited,
    last_words,
    make_deployment,
    make_hpa,
    make_pod,
    make_snapshot,
    serving_pods,
)
from tests.unit.operator.core.troubles import (
    CASES,
    CLIP,
    LOADING,
    POD,
    SERVER,
    VARIANTS,
    Case,
    looping,
    make_claim,
    make_event,
    with_condition,
    with_refusal,
)
from tests.unit.operator.examples import examples

MOST_BYTES = 32 * 1024
TROUBLES = {reason.value for _, reasons in CAUSES for reason in reasons}
ALL_CASES = (*CASES, *VARIANTS)
VERSIONS = ("1", "2", "3")
# Words of others: also what is no text, what no terminal should see, and what is far too long.
WORDS = st.one_of(
    st.text(st.characters(), max_size=40),
    st.sampled_from(["\ud800", "\x00\x1b[31m", "ü" * 5000, "\u2028" * 9, "x y" * 3000, "null"]),
)


@dataclass(frozen=True)
class World:
    """A snapshot and every trouble that somebody who looks at it could name."""

    snapshot: Snapshot
    shown: frozenset[str]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Any three revisions, any pods in any state, any events, any blockers."""
    draft = CLIP.version(draw(st.sampled_from(VERSIONS))).replicas(draw(st.integers(0, 3)))
    draft = draw(st.sampled_from([draft, draft.autoscaled(1, 4), draft.on_gpu(1, "CPU")]))
    cases = draw(st.lists(st.sampled_from(ALL_CASES), max_size=3))
    words = draw(st.lists(WORDS, max_size=2))
    pods = [*(case.pod for case in cases), *(talking(text) for text in words), *draw(st.lists(PLAIN_PODS, max_size=4))]
    children = [*draw(deployments(draft, cases)), *(claim for case in cases for claim in case.claims)]
    plain = Resolution(
        "s3://models/clip", draft.pinned, digest_of(draft.pinned), reason=Reason.RESOLVED_WITHOUT_MANIFEST
    )
    resolution = draw(st.one_of(st.none(), st.just(plain), RESOLUTIONS))
    snapshot = make_snapshot(
        draft,
        [*children, *draw(hpas(draft))],
        [draw(placed(pod, number, draft)) for number, pod in enumerate(pods)],
        resolution=resolution,
        foreign=draw(FOREIGN),
        refused=draw(st.one_of(st.just(""), WORDS)),
        pod_events=[event for case in draw(st.lists(st.sampled_from(ALL_CASES), max_size=2)) for event in case.events],
    )
    if draw(st.integers(0, 9)) == 0:
        snapshot = replace(snapshot, mmm=None, invalid=draw(WORDS))
    return World(snapshot, frozenset(named(cases, snapshot)))


PLAIN_PODS = st.sampled_from([POD.ready(), POD.ready(), POD.ready(), LOADING, POD, POD.ready().terminating()])
RESOLUTIONS = st.builds(
    Resolution,
    uri=st.just("s3://models/clip"),
    version=st.just("2"),
    reason=st.sampled_from([Reason.RESOLVING, Reason.VERSION_NOT_FOUND, Reason.ENDPOINT_UNREACHABLE]),
    message=WORDS,
)
FOREIGN = st.frozensets(st.just(Ref("v1", "Service", NAMESPACE, "clip")))


def talking(text: str) -> PodDraft:
    """A pod whose server ended with these words, in a form that it could have written."""
    return looping(SERVER, last_words("InternalError", text))


@st.composite
def deployments(draw: st.DrawFn, draft: Draft, cases: Sequence[Case]) -> list[Manifest]:
    """Some of the revisions, with counts that need not fit the pods."""
    found = []
    for version in draw(st.sets(st.sampled_from(VERSIONS))):
        size, existing, ready = (draw(st.integers(0, 3)) for _ in range(3))
        made = make_deployment(
            draft.version(version), size, existing=existing, ready=min(ready, existing), stuck=draw(st.booleans())
        )
        found.append(with_refusal(made, next((case.refused for case in cases if case.refused), "")))
    return found


@st.composite
def placed(draw: st.DrawFn, pod: PodDraft, number: int, draft: Draft) -> Manifest:
    """The pod as one of some revision, under a name of its own."""
    labels = make_pod(draft.version(draw(st.sampled_from((draft.pinned, *VERSIONS))))).pod
    born = draw(st.sampled_from([BORN, "2026-01-01T00:04:55Z"]))
    meta = {**pod.pod["metadata"], "labels": labels["metadata"]["labels"], "creationTimestamp": born}
    return {**pod.pod, "metadata": {**meta, "name": f"pod-{number}"}}


@st.composite
def hpas(draw: st.DrawFn, draft: Draft) -> list[Manifest]:
    if draft.build().spec.autoscaling is None:
        return []
    answers = st.sampled_from([("True", "Ok"), ("False", "FailedGetResourceMetric"), ("False", "ScalingDisabled")])
    kinds = draw(st.dictionaries(st.sampled_from(["AbleToScale", "ScalingActive"]), answers))
    return [make_hpa(draft, **kinds)]


def named(cases: Sequence[Case], snapshot: Snapshot) -> list[str]:
    """Every reason that anything in the snapshot could stand for: all of its kind, as kinds overlap."""
    told = {str(event["reason"]) for event in snapshot.pod_events}
    witnesses = [*cases, *(case for case in ALL_CASES for event in case.events if event["reason"] in told)]
    groups = [reasons for case in witnesses for _, reasons in CAUSES if case.reason in reasons]
    resolution = [snapshot.resolution.reason] if snapshot.resolution else []
    return [reason.value for reason in [*(r for group in groups for r in group), *resolution, Reason.INTERNAL_ERROR]]


def decide(snapshot: Snapshot) -> Plan:
    return plan(snapshot, SETTINGS, NOW)


def status_of(snapshot: Snapshot) -> Status:
    return decide(snapshot).status or snapshot.status


def conditions(snapshot: Snapshot) -> dict[str, Condition]:
    return {condition.type: condition for condition in status_of(snapshot).conditions}


def stored(status: Status) -> Status:
    """The status as the API server gives it back."""
    return Status.model_validate(json.loads(json.dumps(status.to_json()).encode()))


@examples(60)
@given(worlds())
def test_ready_means_that_the_target_alone_runs_and_every_pod_of_it_serves(world: World) -> None:
    snapshot = world.snapshot
    status = status_of(snapshot)
    ready = next(condition for condition in status.conditions if condition.type == "Ready")
    assert ready.observed_generation == snapshot.meta.generation
    if ready.status != "True":
        return
    assert snapshot.mmm is not None
    target = status.model.target.revision if status.model.target else ""
    known = {revision_id(item) for item in snapshot.of_kind("Deployment")}
    living = [pod for pod in snapshot.pods if is_living(pod) and pod_revision(pod) in known]
    assert len(living) == snapshot.mmm.spec.replicas
    assert all(is_ready(pod) and pod_revision(pod) == target for pod in living)
    assert not any(
        item["spec"]["replicas"] for item in snapshot.of_kind("Deployment") if revision_id(item) not in ("", target)
    )


@examples(60)
@given(worlds())
def test_available_means_that_somebody_serves(world: World) -> None:
    snapshot = world.snapshot
    serves = any(
        min(item["spec"]["replicas"], item["status"].get("availableReplicas", 0)) > 0
        and any(pod_revision(pod) == revision_id(item) and is_ready(pod) and is_living(pod) for pod in snapshot.pods)
        for item in snapshot.of_kind("Deployment")
    )
    assert (conditions(snapshot)["Available"].status == "True") is serves


@examples(80)
@given(worlds())
def test_no_condition_names_a_trouble_that_nothing_shows(world: World) -> None:
    """Whatever is said was seen: in a pod, in an event, in a Deployment, in a claim or in the repository."""
    for condition in conditions(world.snapshot).values():
        if condition.reason in TROUBLES:
            assert condition.reason in world.shown, condition


@examples(60)
@given(worlds(), worlds())
def test_the_status_is_bounded_and_written_once(world: World, before: World) -> None:
    snapshot = replace(world.snapshot, status=stored(status_of(before.snapshot)))
    decided = decide(snapshot)
    status = decided.status or snapshot.status
    document = json.dumps(status.to_json(), ensure_ascii=False).encode()
    assert len(document) <= MOST_BYTES
    assert all(letter.isprintable() for letter in document.decode())
    assert all(len(event.message.encode()) < 1024 for event in decided.events)
    assert len({event.reason for event in decided.events}) == len(decided.events)
    again = decide(replace(snapshot, status=stored(status)))
    wrote, again_wrote = status.to_json(), again.status.to_json() if again.status else {}
    assert {key: value for key, value in again_wrote.items() if value != wrote.get(key)} == {}
    assert again.status is None
    assert again.events == ()


@examples(40)
@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_in_which_things_are_read_does_not_matter(world: World, random: Any) -> None:
    snapshot = world.snapshot
    pods, events, children = list(snapshot.pods), list(snapshot.pod_events), list(snapshot.children.items())
    for things in (pods, events, children):
        random.shuffle(things)
    shuffled = replace(snapshot, pods=tuple(pods), pod_events=tuple(events), children=dict(children))
    assert status_of(shuffled) == status_of(snapshot)


def test_the_largest_status_is_far_from_what_the_api_server_refuses() -> None:
    """Everything at once, and every word of it as long as it may be."""
    words = "\N{SNOWMAN}" * 5000
    sick = [looping(SERVER, last_words("InternalError", f"{n}{words}")) for n in range(9)]
    labels = make_pod(CLIP).pod["metadata"]["labels"]
    pods = [{**pod.pod, "metadata": {**pod.pod["metadata"], "labels": labels}} for pod in sick]
    snapshot = make_snapshot(
        CLIP,
        [make_deployment(CLIP, 2, ready=1)],
        [*serving_pods(CLIP, 1), *pods],
        refused=words,
        foreign=frozenset({Ref("v1", "Service", NAMESPACE, "clip")}),
    )
    status = status_of(snapshot)
    assert len(status.last_failures) == 5
    assert 4096 < len(json.dumps(status.to_json(), ensure_ascii=False).encode()) <= MOST_BYTES


# Secrets

CANARY = "c4n4ry-s3cr3t"
LEAKS: dict[str, tuple[PodDraft, tuple[Manifest, ...]]] = {
    "in the last lines of a log": (looping(SERVER, exited(1, message=f"boom\nAWS_SECRET_ACCESS_KEY={CANARY}")), ()),
    "in a log line that is JSON": (looping(SERVER, exited(1, message=json.dumps({"password": CANARY}))), ()),
    "beside our own words": (
        looping(SERVER, exited(3, message=json.dumps({"reason": "AccessDenied", "message": "no", "key": CANARY}))),
        (),
    ),
    "before our own words": (
        looping(SERVER, exited(3, message=f'{CANARY}\n{{"reason": "AccessDenied", "message": "no"}}')),
        (),
    ),
    "as a reason of nobody": (looping(SERVER, exited(3, message=json.dumps({"reason": CANARY, "message": "no"}))), ()),
    "as a message that is no text": (
        looping(SERVER, exited(3, message=json.dumps({"reason": "AccessDenied", "message": {"key": CANARY}}))),
        (),
    ),
    "in the address of a registry": (
        POD.waiting(SERVER, "ErrImagePull", f"failed to do request: https://robot:{CANARY}@registry/v2: denied"),
        (),
    ),
    "in an event about a mount": (
        POD,
        (make_event(POD.build(), "FailedMount", f"mount //robot:{CANARY}@nas/models failed"),),
    ),
    "in an event that explains nothing": (POD, (make_event(POD.build(), "Whatever", CANARY),)),
    "in the environment": (
        PodDraft(
            {**POD.pod, "spec": {**POD.pod["spec"], "containers": [{"name": SERVER, "env": [{"value": CANARY}]}]}}
        ),
        (),
    ),
    "in an annotation": (PodDraft({**POD.pod, "metadata": {**POD.pod["metadata"], "annotations": {"x": CANARY}}}), ()),
    "in a condition that is not ours": (with_condition(POD, "example.com/gate", "False", message=CANARY), ()),
}


@pytest.mark.parametrize("where", LEAKS)
def test_a_secret_goes_nowhere(where: str) -> None:
    pod, events = LEAKS[where]
    snapshot = make_snapshot(CLIP, [make_deployment(CLIP, 2, ready=0)], [pod.build()], pod_events=events)
    assert CANARY in repr(snapshot)
    decided = decide(snapshot)
    assert decided.status is not None
    said = [json.dumps(decided.status.to_json()), decided.because, *(event.message for event in decided.events)]
    assert not [text for text in said if CANARY in text]


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.name)
def test_what_is_over_is_over_in_every_condition(case: Case) -> None:
    """Trouble, then healed: no reason stays, and people are told that it is ready again."""
    pods = [make_pod(CLIP, name).ready().build() for name in ("a", "clip-1")]
    sick = {**case.pod.pod, "metadata": {**pods[1]["metadata"], "uid": case.pod.pod["metadata"]["uid"]}}
    deployment = with_refusal(make_deployment(CLIP, 2, ready=0), case.refused)
    before = make_snapshot(CLIP, [deployment, *case.claims], [sick, *case.leaving], pod_events=case.events)
    status = status_of(before)
    assert case.reason.value in {condition.reason for condition in status.conditions}
    healthy = [make_deployment(CLIP, 2), make_claim("Bound")]
    after = make_snapshot(CLIP, healthy, pods, status=stored(status), pod_events=case.events)
    assert not TROUBLES & {condition.reason for condition in conditions(after).values()}
    assert conditions(after)["Ready"].status == "True"
    assert ("Normal", "Ready") in [(event.type, event.reason) for event in decide(after).events]


# Words


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("two\nlines\tand  spaces ", "two lines and spaces"),
        ("\x1b[31mred\x00", "[31mred"),
        ("half \ud800 pair", "half pair"),
        ("https://user:word@host/x", "https://host/x"),
        ("user@host and a//b", "user@host and a//b"),
        ("x" * 30, "x" * 17 + "…"),
        ("ü" * 30, "ü" * 8 + "…"),
    ],
)
def test_words_of_others_become_one_line(text: str, line: str) -> None:
    assert one_line(text, 20) == line


@examples(100)
@given(WORDS, st.integers(3, 100))
def test_a_line_is_as_it_is_however_often_it_is_made_one(text: str, limit: int) -> None:
    once = one_line(text, limit)
    assert one_line(once, limit) == once
    assert len(once.encode()) <= limit
