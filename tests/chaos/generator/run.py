"""Plays chains against a real API server and judges what becomes of every operation."""

import asyncio
import copy
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from mmm_operator import names
from mmm_operator.kube.resources import path
from mmm_operator.snapshot import Manifest
from tests.chaos.essence import Children, children, conditions, falsehoods, wanted_children
from tests.chaos.generator.became import Became
from tests.chaos.generator.chains import Chain, Operation
from tests.chaos.generator.moves import Verdict, brief
from tests.chaos.generator.offer import (
    OTHER_KEYS,
    PRIORITY_CLASS,
    SECRETS,
    SERVICE_ACCOUNT,
    SESSION_TOKEN,
    TRUST,
    TRUST_KEYS,
    Offer,
)
from tests.chaos.generator.propagation import unshown
from tests.chaos.generator.refusal import complaint
from tests.chaos.generator.schema import Schema, Spec, messages
from tests.chaos.trail import Trail
from tests.chaos.world import World
from tests.secure import self_signed

NAME = "clip"
# Eight chains at once on a busy machine.
PATIENCE_SECONDS = 150.0
QUIET_SECONDS = 0.8
# So many of the last writes are named when there is no end of them.
NAMED_WRITES = 12
LAG_SECONDS = 10.0
# A write is known from the audit log, which is read a little later than the watch tells of it.
TRAIL_SECONDS = 0.4
PATCH = "application/json-patch+json"
# One change of a spec changes each of these at most so often: away, and back again.
WRITES_PER_CHILD = 1


@dataclass(frozen=True)
class Place:
    """Where the chains are played."""

    world: World
    trail: Trail
    api: httpx.Client
    offer: Offer
    schema: Schema


class Space:
    """One namespace with one MultimodalModel."""

    def __init__(self, place: Place, namespace: str) -> None:
        self.place = place
        self.namespace = namespace
        self.generation = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, place: Place, namespace: str) -> AsyncIterator["Space"]:
        """The namespace with everything in it that the offer promises, for as long as the block runs."""
        api = place.world.api
        await api.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
        for secret in SECRETS:
            await api.create(namespace, _secret(secret, place.offer))
        for name in TRUST:
            await api.create(namespace, _trust("Secret", name))
            await api.post(f"/api/v1/namespaces/{namespace}/configmaps", _trust("ConfigMap", name))
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": SERVICE_ACCOUNT}}
        await api.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", account)
        try:
            yield cls(place, namespace)
        finally:
            await api.remove(f"/api/v1/namespaces/{namespace}")

    async def create(self, spec: Spec) -> None:
        """The MultimodalModel."""
        kind = {"apiVersion": names.API_VERSION, "kind": names.KIND}
        made = await self.place.world.api.create(
            self.namespace, {**kind, "metadata": {"name": NAME}, "spec": copy.deepcopy(spec)}
        )
        self.generation = made["metadata"]["generation"]

    async def write(self, spec: Spec) -> httpx.Response:
        """The API server's answer to a whole new spec."""
        where = path(names.KIND, self.namespace, NAME) + "?fieldValidation=Strict"
        change = [{"op": "replace", "path": "/spec", "value": spec}]
        answer = await asyncio.to_thread(self.place.api.patch, where, json=change, headers={"Content-Type": PATCH})
        if answer.is_success:
            self.generation = answer.json()["metadata"]["generation"]
        return answer

    async def live(self) -> Manifest:
        """The MultimodalModel as it is stored now."""
        answer = await asyncio.to_thread(self.place.api.get, path(names.KIND, self.namespace, NAME))
        found: Manifest = answer.raise_for_status().json()
        return found

    def mmm(self) -> Manifest:
        """The same as the watch saw it last."""
        return self.place.world.get(names.KIND, self.namespace, NAME) or {}

    def children(self) -> list[Manifest]:
        """What it controls."""
        return children(self.place.world, self.mmm())

    def pods(self) -> list[Manifest]:
        """All pods of the namespace."""
        return list(self.place.world.of("Pod", self.namespace))

    async def at_rest(self, ready: bool) -> None:
        """Return once the status speaks of what was written last, is (or is not) Ready, and no more is written."""
        deadline, arrived = time.monotonic() + PATIENCE_SECONDS, 0.0
        while True:
            await self.until(lambda: self._arrived(ready), deadline, f"Ready={ready}")
            arrived = arrived or time.monotonic() + TRAIL_SECONDS
            quiet = max(arrived, self.place.trail.quiet_since(self.namespace) + QUIET_SECONDS) - time.monotonic()
            if quiet <= 0:
                return
            await asyncio.sleep(quiet)
            late = [str(write) for write in self.place.trail.writes(self.namespace)[-NAMED_WRITES:]]
            assert time.monotonic() < deadline, f"no end of writes, {late} at last; {self.describe()}"

    async def until(self, look: Callable[[], object], deadline: float, what: str) -> None:
        """Return once `look` is true."""
        try:
            await self.place.world.until(look, max(0.1, deadline - time.monotonic()), what)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.describe()}") from None

    def _arrived(self, ready: bool) -> bool:
        mmm = self.mmm()
        found = conditions(mmm).get("Ready")
        if found is None or mmm["metadata"]["generation"] < self.generation:
            return False
        if found["observedGeneration"] != mmm["metadata"]["generation"]:
            return False
        if not ready:
            return found["status"] == "False" and _blamed(mmm)
        scaling, replicas = mmm["spec"].get("autoscaling"), mmm["spec"]["replicas"]
        in_range = not scaling or not replicas or scaling["minReplicas"] <= replicas <= scaling["maxReplicas"]
        return found["status"] == "True" and in_range

    def describe(self) -> str:
        """What the status says, for a failure's message."""
        said = [f"{item['type']}={item['status']} {item['reason']}: {item['message'][:200]}" for item in self._said()]
        meta = self.mmm().get("metadata", {})
        return f"generation {meta.get('generation')}, asked for {self.generation}; " + "; ".join(said)

    def _said(self) -> list[Manifest]:
        return list(conditions(self.mmm()).values())


def _blamed(mmm: Manifest) -> bool:
    """Whether the status says that something cannot be, or at least that pods are waited for."""
    return any(item["status"] == "False" for item in conditions(mmm).values())


def _secret(name: str, offer: Offer) -> Manifest:
    values = dict(offer.bucket.credentials)
    values |= {
        OTHER_KEYS["accessKeyIDKey"]: values["AWS_ACCESS_KEY_ID"],
        OTHER_KEYS["secretAccessKeyKey"]: values["AWS_SECRET_ACCESS_KEY"],
        SESSION_TOKEN: "session",
    }
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}


def _trust(kind: str, name: str) -> Manifest:
    content = "stringData" if kind == "Secret" else "data"
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, content: dict.fromkeys(TRUST_KEYS, _PEM)}


_PEM = self_signed()


class Player:
    """Plays one chain."""

    def __init__(self, place: Place, chain: Chain) -> None:
        self.place = place
        self.chain = chain
        self.reached: dict[int, Children] = {}
        self._said = frozenset(messages(place.schema))

    async def play(self) -> None:
        """Fails with the first operation of which the wrong thing became."""
        async with Space.open(self.place, self.chain.name) as space:
            for number, operation in enumerate(self.chain.operations):
                try:
                    await self._one(space, number, operation)
                except AssertionError as error:
                    raise AssertionError(f"[{number}] {operation.verdict}: {operation.name}: {error}") from error
            await self._compare_with_a_fresh_one(space)

    async def _one(self, space: Space, number: int, operation: Operation) -> None:
        started = time.monotonic()
        if operation.verdict is Verdict.INVALID:
            await self._refused(space, operation)
            return
        if number == 0:
            await space.create(operation.spec)
        else:
            answer = await space.write(operation.spec)
            assert answer.is_success, f"refused: {answer.text[:500]}"
        await space.at_rest(ready=operation.verdict is Verdict.VALID)
        if operation.verdict is Verdict.VALID:
            await self._check(space, started)
            self._remember(space, number, operation)

    async def _refused(self, space: Space, operation: Operation) -> None:
        before = await space.live()
        answer = await space.write(operation.spec)
        assert answer.status_code in (400, 422), f"taken ({answer.status_code}) although it is invalid"
        problem = complaint(answer.json()["message"], operation.field, self._said)
        assert problem is None, problem
        after = await space.live()
        assert after["spec"] == before["spec"], "a refused change changed the spec"
        assert after["metadata"]["generation"] == before["metadata"]["generation"], "a refused change is a generation"

    async def _check(self, space: Space, started: float) -> None:
        def lies() -> list[str]:
            return falsehoods(space.mmm(), space.children(), space.pods())

        # The controllers' own status lags behind what they did.
        patience = time.monotonic() + LAG_SECONDS
        await space.until(lambda: not lies(), patience, f"Ready, but not true: {lies()}")
        differences = list(unshown(Became.of(space.mmm(), space.children())))
        assert not differences, "; ".join(differences)
        busy = {name: n for name, n in self._writes(space, started).items() if n > WRITES_PER_CHILD}
        assert not busy, f"written too often: {busy}"

    def _writes(self, space: Space, started: float) -> Counter[str]:
        """Writes by child and verb, without Deployments: a rollout sizes those step by step."""
        # One that is refused, because the child has changed meanwhile, is none.
        found = (write for write in self.place.trail.writes(space.namespace, started) if write.code < 300)
        return Counter(f"{w.verb} {w.resource}" for w in found if w.on_child and w.resource != "deployments")

    def _remember(self, space: Space, number: int, operation: Operation) -> None:
        now = self.reached[number] = wanted_children(space.mmm(), space.children())
        resized = space.mmm()["spec"]["replicas"] != operation.spec.get("replicas", 1)
        if (
            operation.same_as is not None and not resized
        ):  # the autoscaler may have looked just before it was taken away
            before = self.reached[operation.same_as]
            assert now == before, f"the way back leads elsewhere: {differing(before, now)}"

    async def _compare_with_a_fresh_one(self, space: Space) -> None:
        rest = time.monotonic()
        mmm = await space.live()
        # What serves is not asked for again, but to who is new nobody issued a token: that one cannot become ready.
        has_token = "sessionTokenKey" in mmm["spec"]["storage"].get("credentialsSecretRef", {})
        async with Space.open(self.place, f"{self.chain.name}-fresh") as fresh:
            await fresh.create(mmm["spec"])
            await fresh.at_rest(ready=not has_token)
            old, new = (wanted_children(s.mmm(), s.children()) for s in (space, fresh))
            assert has_token or old == new, f"its history shows: {differing(new, old)}"
        late = [str(write) for write in self.place.trail.writes(space.namespace, rest) if write.on_child]
        assert not late, f"written at rest: {late}"


def differing(wanted: object, found: object, where: str = "") -> str:
    """The first place in which two JSON values differ."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key in sorted(wanted.keys() | found.keys()):
            if wanted.get(key) != found.get(key):
                return differing(wanted.get(key), found.get(key), f"{where}.{key}")
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for i, (one, other) in enumerate(zip(wanted, found, strict=True)):
            if one != other:
                return differing(one, other, f"{where}[{i}]")
    return f"{where} is {brief(found)} instead of {brief(wanted)}"


__all__ = ["PRIORITY_CLASS", "Place", "Player", "Space", "differing"]
