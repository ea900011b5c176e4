"""What the store believes when its sources overtake each other, repeat themselves or fall silent."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mmm_operator import names
from mmm_operator.kube.store import Id, Seen, Store, seen
from mmm_operator.snapshot import Key, Manifest

CLIP = Key("default", "clip")
SERVICE = Id("Service", "default", "clip")


def make(kind: str = "Service", version: int = 1, name: str = "clip", model: str = "clip", **more: Any) -> Seen:
    labels = {names.LABEL_MODEL: model} if model else {}
    meta = {"name": name, "namespace": "default", "uid": "u", "resourceVersion": str(version), "labels": labels}
    return seen(kind, {"metadata": {**meta, **more}, "spec": {"version": version}})


def versions(store: Store) -> list[int]:
    return [child["spec"]["version"] for child in store.around(CLIP).children]


def test_an_object_is_kept_whole_but_for_its_field_managers() -> None:
    store = Store()
    assert store.put(make(managedFields=[{"manager": "somebody"}])) == {CLIP}
    (child,) = store.around(CLIP).children
    assert (child["apiVersion"], child["kind"], child["spec"]) == ("v1", "Service", {"version": 1})
    assert "managedFields" not in child["metadata"]


def test_echoes_and_older_news_are_no_news() -> None:
    store = Store()
    store.put(make(version=5))
    before = store.changes(CLIP)
    assert store.put(make(version=5)) == set()
    assert store.put(make(version=4)) == set()
    assert store.changes(CLIP) == before
    assert versions(store) == [5]


def test_what_is_known_to_the_version_is_told_from_news() -> None:
    store = Store()
    store.put(make(version=5))
    metas = {
        version: {"name": "clip", "namespace": "default", "resourceVersion": version} for version in ("4", "5", "6")
    }
    assert [store.knows("Service", meta) for meta in metas.values()] == [False, True, False]
    assert not store.knows("Deployment", metas["5"])
    store.remove(SERVICE, 7)
    assert not store.knows("Service", metas["5"])


def test_a_late_echo_does_not_raise_the_dead() -> None:
    store = Store()
    store.put(make(version=5))
    assert store.remove(SERVICE, 9) == {CLIP}
    assert store.put(make(version=8)) == set()
    assert versions(store) == []
    assert store.put(make(version=10)) == {CLIP}


def test_an_object_that_only_left_its_watch_can_be_put_back_as_it_is() -> None:
    store = Store()
    store.put(make(version=5))
    store.remove(SERVICE, 6)
    assert store.put(make(version=6)) == {CLIP}


def test_a_deletion_older_than_what_is_known_is_no_news() -> None:
    store = Store()
    store.put(make(version=5))
    assert store.remove(SERVICE, 4) == set()
    assert versions(store) == [5]


def test_what_is_forgotten_stays_so_until_there_is_news_of_it() -> None:
    store = Store()
    store.put(make(version=5))
    store.forget(SERVICE)
    assert (versions(store), store.put(make(version=4)), versions(store)) == ([], set(), [])
    store.put(make(version=6))
    assert versions(store) == [6]
    store.forget(Id("Service", "default", "nobody"))


def test_a_child_that_changes_hands_concerns_both() -> None:
    store = Store()
    store.put(make(version=1))
    assert store.put(make(version=2, model="blip")) == {CLIP, Key("default", "blip")}
    assert versions(store) == []


def test_a_list_brings_what_was_missed_and_takes_what_is_gone() -> None:
    store = Store()
    for item in (make(version=3), make(name="old", version=2), make(name="newer", version=9)):
        store.put(item)
    assert store.replace("Service", None, [make(version=4)], version=8) == {CLIP}
    assert sorted(versions(store)) == [4, 9]  # what is newer than the list stays
    assert store.replace("Service", None, [make(version=4)], version=8) == set()


def test_a_list_of_one_namespace_or_kind_says_nothing_of_others() -> None:
    store = Store()
    store.put(make(version=3))
    assert store.replace("Service", "elsewhere", [], version=9) == set()
    assert store.replace("Deployment", None, [], version=9) == set()
    assert versions(store) == [3]


def test_a_comparison_names_what_the_watch_missed_and_nothing_else() -> None:
    store = Store()
    store.put(make(version=3))
    assert store.missed("Service", None, {SERVICE: 3}, 9) == set()
    assert store.missed("Service", None, {SERVICE: 4}, 9) == {SERVICE}
    assert store.missed("Service", None, {}, 9) == {SERVICE}
    assert store.missed("Service", None, {}, 2) == set()
    other = Id("Service", "default", "other")
    assert store.missed("Service", None, {SERVICE: 3, other: 1}, 9) == {other}


def test_surroundings_are_sorted_out_by_kind() -> None:
    store = Store()
    for item in (make("Pod", name="b"), make("Pod", name="a"), make(), make(names.KIND), make(name="x", model="")):
        store.put(item)
    found = store.around(CLIP)
    assert found.mmm is not None
    assert [pod["metadata"]["name"] for pod in found.pods] == ["a", "b"]
    assert [child["kind"] for child in found.children] == ["Service"]
    assert store.around(Key("default", "nobody")) == (None, (), ())


HISTORY = st.lists(st.tuples(st.sampled_from(["a", "b"]), st.booleans()), min_size=1, max_size=12)


@given(HISTORY, st.randoms(use_true_random=False))
def test_whatever_the_order_the_store_ends_at_the_truth(history: list[tuple[str, bool]], rng: Any) -> None:
    truth: dict[str, int] = {}
    events: list[tuple[Seen, bool]] = []
    for version, (name, deleted) in enumerate(history, start=1):
        events.append((make(name=name, version=version), deleted))
        if deleted:
            truth.pop(name, None)
        else:
            truth[name] = version
    rng.shuffle(events)
    store = Store()
    for item, deleted in events + events[:3]:
        if deleted:
            store.remove(item.id, item.version)
        else:
            store.put(item)
    found: dict[str, Manifest] = {item["metadata"]["name"]: item for item in store.around(CLIP).children}
    assert {name: item["spec"]["version"] for name, item in found.items()} == truth


def mmm(version: int = 1) -> Seen:
    return make(names.KIND, version, model="")


def test_who_is_known_from_a_list_only_is_doubted_until_a_watch_tells() -> None:
    store = Store()
    store.replace(names.KIND, None, [mmm(5)], 9)
    assert store.doubts(CLIP)
    assert store.put(mmm(5)) == set()  # no news, but somebody watches it now
    assert not store.doubts(CLIP)


def test_who_loses_a_child_is_doubted_until_it_is_heard_of_again() -> None:
    store = Store()
    store.put(mmm(5))
    store.put(make(version=6))
    assert not store.doubts(CLIP)
    store.remove(SERVICE, 7)
    assert store.doubts(CLIP)
    store.put(mmm(4))  # an echo from before
    assert store.doubts(CLIP)
    store.put(mmm(8))
    assert not store.doubts(CLIP)


def test_who_is_gone_is_doubted_no_more() -> None:
    store = Store()
    store.put(mmm(5))
    store.put(make(version=6))
    store.remove(SERVICE, 7)
    store.remove(Id(names.KIND, "default", "clip"), 8)
    assert not store.doubts(CLIP)
    store.put(make(version=9))
    store.remove(SERVICE, 10)
    assert not store.doubts(CLIP)


def test_a_pod_that_goes_raises_no_doubt() -> None:
    store = Store()
    store.put(mmm(5))
    store.put(make("Pod", 6))
    store.remove(Id("Pod", "default", "clip"), 7)
    assert not store.doubts(CLIP)
