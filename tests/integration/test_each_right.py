"""Every right is needed: where one is missing, something that users rely on does not happen.

One operator looks after a namespace with all rights, and after more of them in which rights are missing. The same
happens in all of them. Then the rights are given, and everything comes right, so nothing else was missing. What
cannot be watched is found by comparison some day: late, and the log says so. An operator that cannot list, or cannot
get at its Lease, does not begin at all, so each of these is a process of its own.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest

from dev.localcluster import LocalCluster
from mmm_operator import names
from mmm_operator.rbac import LEASE, OPERATOR
from mmm_operator.snapshot import Manifest
from tests.integration.bucket import Bucket
from tests.integration.limited import (
    ACCOUNT,
    CHILDREN,
    FULL,
    MODELS,
    TAKEN,
    Right,
    Seen,
    all_rights,
    begin,
    bind,
    by_namespace,
    copies,
    facts,
    fake_node,
    go_on,
    look,
    messages,
    of_stuck,
    play_kubelet,
    ready,
    set_role,
    without,
)
from tests.integration.objects import Objects, eventually, new_namespace
from tests.integration.operator_process import (
    GRANTED,
    LEASE_NAME,
    NAMESPACE,
    Audit,
    Operator,
    forbidden,
    rules,
    used_rights,
    write_kubeconfig,
)

pytestmark = pytest.mark.integration

TO_BEGIN = [right for right in all_rights(OPERATOR) if right.verb == "list" and right.kind != "Event"]
LATER = [right for right in all_rights(OPERATOR) if right not in TO_BEGIN]
MISSING = by_namespace(LATER)
WATCHES = [right for right in LATER if right.verb == "watch"]
(EVENTS,) = (right for right in LATER if (right.kind, right.verb) == ("Event", "list"))
LEADING = all_rights(LEASE)
# What was not told when it happened is not told later.
UNTOLD = "there are events"
CONSEQUENCES = {
    "get": "is known to be taken",
    "watch": "is mended",
    "patch": "is made",
    "create": "is made",
    "delete": "is gone",
}
OTHER_CONSEQUENCES = {
    (names.KIND, "watch"): "clip is ready",
    (names.KIND, "patch"): "clip is ready",
    ("Pod", "watch"): "clip is ready",
    ("Secret", "get"): "clip is ready",
    ("ConfigMap", "get"): "clip is ready",
    ("Event", "list"): "stuck tells why",
    ("ConfigMap", "create"): "swapped is told",
    ("ConfigMap", "patch"): "swapped is told",
    ("Pod", "patch"): "swapped listens",
    ("Event", "create"): UNTOLD,
}
EVERY_RULE = rules((*OPERATOR, *LEASE))


def consequence(right: Right) -> str:
    """What does not become true without the right."""
    return OTHER_CONSEQUENCES.get((right.kind, right.verb)) or f"{right.kind} {CONSEQUENCES[right.verb]}"


def named(right: Right) -> str:
    return f"{right.verb} {right.grant.resource}"


@dataclass(frozen=True)
class Story:
    """What was true at the end in each namespace, first without the rights and then with them.

    `said` is what the operator told without them, in its log and in the conditions of the models.
    """

    before: dict[str, dict[str, bool]]
    after: dict[str, dict[str, bool]]
    said: str


@pytest.fixture(scope="module")
def kubeconfig(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    metadata = {"name": ACCOUNT, "namespace": NAMESPACE}
    home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    for item in (home, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}):
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(item))
    return write_kubeconfig(cluster, tmp_path_factory.mktemp("limited"), ACCOUNT)


@pytest.fixture(scope="module")
def namespace(api: httpx.Client, bucket: Bucket, kubeconfig: Path) -> Iterator[Callable[..., Objects]]:
    """Makes namespaces in which the account may do what it is told."""
    with fake_node(api), ExitStack() as made:

        def make(name: str, granted: list[Manifest] = EVERY_RULE) -> Objects:
            objects = made.enter_context(new_namespace(api, bucket.credentials, name))
            set_role(api, name, granted)
            bind(api, name)
            return objects

        yield make


class Stage:
    """Where the story happens: all namespaces at once."""

    def __init__(self, api: httpx.Client, namespaces: list[Objects]) -> None:
        self.api = api
        self.namespaces = namespaces

    def play(self) -> Mapping[str, Seen]:
        """What is there, after the kubelet did its part."""
        seen = look(self.api)
        for objects in self.namespaces:
            play_kubelet(objects, seen[objects.namespace])
        return seen

    def facts(self, *namespaces: str) -> dict[str, dict[str, bool]]:
        seen = self.play()
        return {name: facts(seen[name]) for name in namespaces or [objects.namespace for objects in self.namespaces]}

    def told(self) -> str:
        """What the conditions of all models say."""
        return "\n".join(message for seen in look(self.api).values() for message in messages(seen))

    def meddle(self) -> bool:
        """Somebody meddles everywhere; where an object went meanwhile, that is done again."""
        seen = look(self.api)
        for objects in self.namespaces:
            go_on(objects, seen[objects.namespace])
        return True

    def complete(self, *namespaces: str) -> bool:
        found = self.facts(*namespaces).items()
        missing = {name: [fact for fact, true in each.items() if not (true or fact == UNTOLD)] for name, each in found}
        assert {name: what for name, what in missing.items() if what} == {}
        return True


@pytest.fixture(scope="module")
def story(
    api: httpx.Client,
    kubeconfig: Path,
    namespace: Callable[..., Objects],
    bucket: Bucket,
    make_mmm: Callable[..., Manifest],
    tmp_path_factory: pytest.TempPathFactory,
) -> Story:
    for version in ("1", "2"):
        bucket.publish("limited", version)
    rehearsal = namespace("rehearsal")
    stage = Stage(api, [namespace(FULL), *(namespace(name, without(rights)) for name, rights in MISSING.items())])
    watched = ",".join(objects.namespace for objects in (rehearsal, *stage.namespaces))
    environment = {"MMM_OPERATOR_NAMESPACES": watched, "MMM_OPERATOR_LEASE_NAMESPACE": FULL}
    operator = Operator(kubeconfig, tmp_path_factory.mktemp("limited") / "log", environment)
    operator.start()
    try:
        # The lists that precede the watches must not show what is made later.
        slowly(lambda: unsaid(WATCHES, log_of(operator)) == [])
        first_part(stage, rehearsal, make_mmm)
        second_part(stage, operator)
        with suppress(AssertionError):  # each has a test of its own
            slowly(lambda: unsaid(LATER, stage.told() + log_of(operator)) == [])
            slowly(lambda: stage.facts(EVENTS.namespace)[EVENTS.namespace]["stuck grows"])
        before, said = slowly(stage.facts), stage.told() + log_of(operator)
    finally:
        operator.end()
    for objects in stage.namespaces:
        set_role(api, objects.namespace, EVERY_RULE)
    operator.start()
    try:
        slowly(stage.complete)
    finally:
        operator.end()
    return Story(before, slowly(stage.facts), said)


def first_part(stage: Stage, rehearsal: Objects, make_mmm: Callable[..., Manifest]) -> None:
    """Until all is well where no right is missing."""
    for name in TAKEN:
        begin(rehearsal, make_mmm, name, [])
    taken = slowly(lambda: theirs if len(theirs := copies(look(stage.api)["rehearsal"])) == len(CHILDREN) else [])
    full, *others = stage.namespaces
    for name in MODELS:
        begin(full, make_mmm, name, taken)
    for objects in others:
        begin(objects, make_mmm, MISSING[objects.namespace][0].model, taken)

    def all_done() -> bool:
        seen = stage.play()[FULL]
        assert of_stuck(seen)["stuck tells why"]
        return all(ready(seen, name).get("status") == "True" for name in ("clip", "small"))

    slowly(all_done)


def second_part(stage: Stage, operator: Operator) -> None:
    """Until what somebody did is undone, and what somebody wanted is done, where no right is missing."""
    with suppress(AssertionError):  # that it says so has a test of its own
        slowly(lambda: unsaid([EVENTS], log_of(operator)) == [])
    slowly(stage.meddle)
    slowly(lambda: stage.complete(FULL))


# All namespaces are looked at each time.
slowly = partial(eventually, seconds=120, pause=0.5)


def log_of(operator: Operator) -> str:
    return operator.log.read_text().replace("\\", "")


def unsaid(rights: list[Right], text: str) -> list[Right]:
    """Those of the rights that a text does not complain of."""
    return [right for right in rights if right.refusal not in text]


def test_with_all_rights_all_of_it_happens(story: Story) -> None:
    assert [fact for fact, true in story.before[FULL].items() if not true] == []


def test_with_all_rights_each_is_used_and_none_is_missed(story: Story, cluster: LocalCluster) -> None:
    entries = list(Audit(cluster.audit_log, (f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}",)).requests(namespace=FULL))
    assert [entry["requestURI"] for entry in entries if forbidden(entry)] == []
    assert used_rights(entries) == GRANTED


@pytest.mark.parametrize("right", LATER, ids=named)
def test_without_it_something_does_not_happen(story: Story, right: Right) -> None:
    happened = story.before[right.namespace][consequence(right)]
    late = right in WATCHES and f"the watch of {right.kind} in {right.namespace} missed" in story.said
    assert not happened or late
    assert [fact for fact, true in story.after[right.namespace].items() if not (true or fact == UNTOLD)] == []


@pytest.mark.parametrize("right", LATER, ids=named)
def test_without_it_the_operator_says_so(story: Story, right: Right) -> None:
    assert right.refusal in story.said


def test_without_the_events_of_pods_the_model_is_looked_after(story: Story) -> None:
    assert story.before[EVENTS.namespace] == {"stuck tells why": False, "stuck grows": True}
    assert story.said.count(EVENTS.refusal) == 1, "not at every look"


@pytest.fixture
def hopeless(
    kubeconfig: Path, namespace: Callable[..., Objects], tmp_path: Path
) -> Iterator[Callable[[Right], Operator]]:
    """Starts an operator that lacks one right."""
    with ExitStack() as running:

        def start(right: Right) -> Operator:
            objects = namespace(right.namespace, without([right]))
            if right.verb == "update":  # taking a Lease that nobody holds
                lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": LEASE_NAME}}
                objects.create(lease)
            here = objects.namespace
            environment = {"MMM_OPERATOR_NAMESPACES": here, "MMM_OPERATOR_LEASE_NAMESPACE": here}
            operator = Operator(kubeconfig, tmp_path / "log", environment)
            operator.start()
            running.callback(operator.end)
            return operator

        yield start


@pytest.mark.parametrize("right", TO_BEGIN, ids=named)
def test_without_a_list_it_does_not_begin(hopeless: Callable[[Right], Operator], right: Right) -> None:
    operator = hopeless(right)
    eventually(lambda: right.refusal in log_of(operator))
    assert operator.status_of("/readyz") == 503


@pytest.mark.parametrize("right", LEADING, ids=named)
def test_without_its_lease_it_does_no_work(hopeless: Callable[[Right], Operator], right: Right) -> None:
    operator = hopeless(right)
    eventually(lambda: right.refusal in log_of(operator))
    assert operator.metric("mmm_operator_leader") == 0
