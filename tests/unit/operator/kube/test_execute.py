"""The order of writes, and what a failure of one means for the others."""

import asyncio
from dataclasses import replace

import pytest

from mmm_operator import names
from mmm_operator.api.status import Status
from mmm_operator.api.v1alpha1 import ObjectMeta
from mmm_operator.errors import Conflict, Forbidden, KubeError, Refused, Transient
from mmm_operator.kube.execute import Doubtful, Executor, Outdated
from mmm_operator.kube.port import Listed, Versions
from mmm_operator.kube.store import Id, Store, seen
from mmm_operator.plan import Apply, Delete, Event, Plan
from mmm_operator.snapshot import Key, Manifest, Ref, Snapshot

SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "clip", "namespace": "default"}}
DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "clip-1", "namespace": "default"}}
OLD = Ref("apps/v1", "Deployment", "default", "clip-0")


class ApiServer:
    """Notes what is written; refuses what it is told to."""

    def __init__(self, **refusals: KubeError) -> None:
        self.refusals = refusals
        self.there = True
        self.writes: list[str] = []
        self.bodies: list[Manifest] = []

    def write(self, what: str, body: Manifest | None = None) -> None:
        self.writes.append(what)
        self.bodies.append(body or {})
        refusal = self.refusals.get(what.split()[1])
        if refusal is not None:
            raise refusal

    async def create(self, manifest: Manifest) -> Manifest:
        self.write(f"create {manifest['kind']}", manifest)
        return written(manifest)

    async def apply(self, manifest: Manifest) -> Manifest:
        self.write(f"apply {manifest['kind']}", manifest)
        return written(manifest)

    async def overwrite(self, manifest: Manifest) -> Manifest:
        self.write(f"overwrite {manifest['kind']}", manifest)
        return written(manifest)

    async def apply_status(self, manifest: Manifest) -> Manifest | None:
        self.write("status MultimodalModel", manifest)
        return written(manifest)

    async def delete(self, ref: Ref, uid: str, version: str) -> bool:
        self.write(f"delete {ref.kind} {uid} {version}")
        return self.there

    async def create_event(self, manifest: Manifest) -> None:
        self.write("create Event", manifest)

    async def get(self, ref: Ref) -> Manifest | None:
        raise AssertionError("execute only writes")

    async def list(self, kind: str, namespace: str | None, name: str = "") -> Listed:
        raise AssertionError("execute only writes")

    async def versions(self, kind: str, namespace: str | None) -> Versions:
        raise AssertionError("execute only writes")

    async def warnings_about(self, namespace: str, uid: str) -> tuple[Manifest, ...]:
        raise AssertionError("execute only writes")

    async def read(self, kind: str, namespace: str, name: str) -> Manifest | None:
        raise AssertionError("execute only writes")


def written(manifest: Manifest) -> Manifest:
    return {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": "7"}}


PLAN = Plan(
    apply=(Apply(SERVICE, True, ""), Apply(DEPLOYMENT, False, "")),
    delete=(Delete(OLD, "uid-0", ""),),
    status=Status(url="http://clip"),
    events=(Event("Normal", "Serving", "it serves"),),
)
LIVE: Manifest = {**DEPLOYMENT, "metadata": {"name": "clip-1", "namespace": "default", "uid": "uid-1"}}
SURPLUS: Manifest = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "clip-0", "namespace": "default", "uid": "uid-0", "resourceVersion": "5"},
}
SNAPSHOT = Snapshot(
    key=Key("default", "clip"),
    meta=ObjectMeta(name="clip", namespace="default", uid="uid-m", resource_version="3"),
    mmm=None,
    children={Ref.of(LIVE): LIVE, OLD: SURPLUS},
)
ALL = [
    "create Service",
    "apply Deployment",
    "delete Deployment uid-0 5",
    "status MultimodalModel",
    "create Event",
]


def run(server: ApiServer, plan: Plan = PLAN, *, defer_status: bool = False, known: tuple[Manifest, ...] = ()) -> Store:
    store = Store()
    for manifest in known:
        store.put(seen(manifest["kind"], manifest))
    asyncio.run(Executor(server, store).execute(plan, SNAPSHOT, defer_status=defer_status))
    return store


def test_children_come_first_then_deletions_status_and_events() -> None:
    server = ApiServer()
    run(server)
    assert server.writes == ALL


def test_nothing_is_written_for_an_empty_plan() -> None:
    server = ApiServer()
    run(server, Plan())
    assert server.writes == []


def test_our_fields_are_forced_only_on_the_very_object_that_was_seen() -> None:
    server = ApiServer()
    run(server)
    assert server.bodies[1]["metadata"]["uid"] == "uid-1"
    assert "uid" not in server.bodies[0]["metadata"]
    assert server.bodies[3]["metadata"] == {"name": "clip", "namespace": "default", "resourceVersion": "3"}


def test_what_is_said_of_an_object_that_has_changed_meanwhile_is_not_said() -> None:
    server = ApiServer(MultimodalModel=Conflict("changed", status=409))
    with pytest.raises(Outdated):
        run(server)
    assert server.writes == ALL[:4]


def test_a_size_is_written_only_into_the_very_state_that_it_follows_from() -> None:
    bigger, same = ({**DEPLOYMENT, "spec": {"replicas": size}} for size in (3, 2))
    live: Manifest = {**LIVE, "metadata": {**LIVE["metadata"], "resourceVersion": "5"}, "spec": {"replicas": 2}}
    snapshot = replace(SNAPSHOT, children={Ref.of(live): live})
    server = ApiServer()
    plan = Plan(apply=(Apply(bigger, False, ""), Apply(same, False, "")))
    asyncio.run(Executor(server, Store()).execute(plan, snapshot))
    assert [body["metadata"].get("resourceVersion") for body in server.bodies] == ["5", None]


def test_a_refused_child_does_not_stop_the_others_and_is_named() -> None:
    server = ApiServer(Service=Forbidden("apply Service clip: 403 exceeded quota", status=403))
    with pytest.raises(Refused, match="apply Service clip: 403 exceeded quota"):
        run(server)
    assert server.writes == ALL


def test_a_name_that_turns_out_to_be_taken_is_named_for_a_closer_look() -> None:
    with pytest.raises(Doubtful) as caught:
        run(ApiServer(Service=Conflict("taken", status=409)))
    assert caught.value.refs == {Ref.of(SERVICE)}


def test_what_was_written_is_seen_by_the_next_look() -> None:
    store = run(ApiServer())
    for kind, name in (("Service", "clip"), ("Deployment", "clip-1"), (names.KIND, "clip")):
        assert not store.missed(kind, None, {Id(kind, "default", name): 7}, 7)


def test_what_turns_out_to_be_gone_is_forgotten_for_no_watch_may_tell_of_it() -> None:
    version = int(SURPLUS["metadata"]["resourceVersion"])
    gone = Id("Deployment", "default", "clip-0")
    server = ApiServer()
    assert gone in run(server, known=(SURPLUS,)).missed("Deployment", None, {}, version), "the watch will tell"
    server.there = False
    assert gone not in run(server, known=(SURPLUS,)).missed("Deployment", None, {}, version)


def test_a_status_that_would_be_overtaken_waits_unless_a_child_is_refused() -> None:
    server = ApiServer()
    run(server, defer_status=True)
    assert server.writes == ALL[:3]
    server = ApiServer(Service=Forbidden("quota", status=403))
    with pytest.raises(Refused):
        run(server, defer_status=True)
    assert server.writes == ALL


def test_a_child_that_changed_meanwhile_is_looked_at_again() -> None:
    server = ApiServer(Deployment=Conflict("changed", status=409))
    with pytest.raises(Doubtful) as caught:
        run(server)
    assert caught.value.refs == {Ref.of(DEPLOYMENT), OLD}
    assert server.writes == ALL[:3]


def test_a_child_that_cannot_be_mended_item_by_item_is_overwritten() -> None:
    class Picky(ApiServer):
        async def apply(self, manifest: Manifest) -> Manifest:
            self.write("apply Deployment")
            raise KubeError("two ports of one name", status=422)

    server = Picky()
    run(server)
    assert server.writes == [ALL[0], ALL[1], "overwrite Deployment", *ALL[2:]]


def test_an_api_server_in_trouble_is_not_pestered_but_the_status_is_tried() -> None:
    server = ApiServer(Service=Transient("no answer"))
    with pytest.raises(Transient):
        run(server)
    assert server.writes == [ALL[0], *ALL[3:]]


def test_no_event_tells_of_a_status_that_was_not_written() -> None:
    server = ApiServer(MultimodalModel=Transient("no answer"))
    with pytest.raises(Transient):
        run(server)
    assert server.writes == ALL[:4]


def test_an_event_that_cannot_be_written_is_no_failure() -> None:
    run(ApiServer(Event=Forbidden("no events for you", status=403)))


def test_an_event_is_about_the_model() -> None:
    server = ApiServer()
    run(server)
    event = server.bodies[4]
    assert event["regarding"] == {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "namespace": "default",
        "name": "clip",
        "uid": "uid-m",
    }
    assert (event["type"], event["reason"], event["note"]) == ("Normal", "Serving", "it serves")
