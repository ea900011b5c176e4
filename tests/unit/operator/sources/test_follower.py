"""How repositories are followed: in time, once for all who ask, and gently when a store is down."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import pytest

from mmm_operator.api.conditions import Reason
from mmm_operator.api.status import ModelState
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Key, Manifest
from mmm_operator.sources.access import Access
from mmm_operator.sources.endpoints import Endpoints
from mmm_operator.sources.follower import Follower, Heard
from mmm_operator.sources.gate import LONGEST_PAUSE_SECONDS
from mmm_repository.errors import AccessDenied, EndpointUnreachable, ModelNotFound
from mmm_repository.follow import Seen, Sight
from mmm_repository.storage import StorageOptions
from mmm_repository.unverified import Plain
from tests.unit.operator.runtime.virtual_time import run

KEY = Key("default", "clip")
SETTINGS = Settings(server_image="server:1", resolve_timeout_seconds=20)
POLL = 60.0


class Scene:
    """A follower and a repository that holds what the test says."""

    def __init__(self) -> None:
        self.newest = "1"
        self.fails: Exception | None = None
        self.fails_at: dict[str, Exception] = {}
        self.leads = True
        self.delay = 0.0
        self.asked: list[float] = []
        self.pinned: list[Collection[str]] = []
        self.keys: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.woken: list[Key] = []
        self.secret_reads = 0
        self.key = "a"
        self.accepted = {"a", "b"}
        self.follower = Follower(
            Access(self.read, Endpoints(())), self.woken.append, SETTINGS, self.look, leads=lambda: self.leads
        )

    async def read(self, kind: str, namespace: str, name: str) -> Manifest | None:
        self.secret_reads += 1
        data = {
            name: base64.b64encode(self.key.encode()).decode()
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        }
        return {"metadata": {"resourceVersion": self.key}, "data": data}

    async def look(self, uri: str, storage: StorageOptions, pinned: Collection[str], before: Sight | None) -> Sight:
        self.asked.append(asyncio.get_running_loop().time())
        self.pinned.append(set(pinned))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.delay)
        finally:
            self.at_once -= 1
        if storage.access_key_id is not None and storage.access_key_id.get_secret_value() not in self.accepted:
            raise AccessDenied("no")
        if (failure := self.fails_at.get(uri, self.fails)) is not None:
            raise failure
        return Sight(newest=Seen(self.newest, f"sha256:{self.newest * 64}"))

    async def ask(self, key: Key = KEY, patience: float = 0.5, version: str = "", **model: Any) -> Heard:
        return await self.follower.heard(key, make_mmm(key, **model), version, patience)


def make_mmm(key: Key = KEY, **model: Any) -> MultimodalModel:
    source = {"uri": "s3://models/clip", "updatePolicy": "Auto", "pollIntervalSeconds": POLL, **model}
    spec = {"model": source, "storage": {"endpoint": "http://127.0.0.1:9", "credentialsSecretRef": {"name": "s3"}}}
    meta = {"name": key.name, "namespace": key.namespace}
    return MultimodalModel.model_validate({"metadata": meta, "spec": spec})


def newest(heard: Heard) -> str:
    assert heard.sight is not None
    assert heard.sight.newest is not None
    return heard.sight.newest.version


Scenario = Callable[[Scene], Awaitable[None]]


def played(scenario: Scenario) -> None:
    async def play() -> None:
        scene = Scene()
        try:
            await scenario(scene)
        finally:
            await scene.follower.close()

    run(play())


def test_the_first_look_is_taken_at_once_for_who_has_patience() -> None:
    async def scenario(scene: Scene) -> None:
        assert newest(await scene.ask()) == "1"
        assert scene.asked == [0.0]

    played(scenario)


def test_the_first_look_without_patience_comes_within_the_interval() -> None:
    async def scenario(scene: Scene) -> None:
        assert await scene.ask(patience=0.0) == Heard()
        await asyncio.sleep(POLL)
        assert newest(await scene.ask(patience=0.0)) == "1"
        assert len(scene.asked) in (1, 2)

    played(scenario)


def test_a_look_that_had_time_is_taken_at_once_when_somebody_waits() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.ask(patience=0.0)
        await asyncio.sleep(0.001)
        assert newest(await scene.ask()) == "1"
        assert asyncio.get_running_loop().time() < 0.5

    played(scenario)


def test_a_slow_store_holds_nobody_up() -> None:
    async def scenario(scene: Scene) -> None:
        scene.delay = 15.0
        assert await scene.ask() == Heard()
        assert asyncio.get_running_loop().time() <= 0.5
        await asyncio.sleep(15)
        assert scene.woken == [KEY]

    played(scenario)


def test_a_new_version_is_noticed_within_the_interval_and_nothing_else_wakes_anybody() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.ask()
        await asyncio.sleep(10 * POLL)
        assert scene.woken == [KEY]
        scene.newest = "2"
        await asyncio.sleep(POLL + 5)
        assert scene.woken == [KEY, KEY]
        assert newest(await scene.ask()) == "2"
        pauses = [b - a for a, b in zip(scene.asked, scene.asked[1:], strict=False)]
        assert all(0.9 * POLL <= pause <= POLL for pause in pauses)

    played(scenario)


def test_who_shares_a_place_shares_its_looks_and_the_shortest_interval_counts() -> None:
    async def scenario(scene: Scene) -> None:
        keys = [Key("default", f"clip-{number}") for number in range(50)]
        await asyncio.gather(*(scene.ask(key, version="7") for key in keys))
        await scene.ask(Key("default", "hasty"), version="8", pollIntervalSeconds=10)
        await asyncio.sleep(POLL + 10 * POLL)
        assert scene.pinned[-1] == {"7", "8"}
        assert 10 * POLL / 10 <= len(scene.asked) <= 11 * POLL / 9 + 2
        assert scene.secret_reads <= 4

    played(scenario)


def test_who_is_gone_or_moved_is_followed_no_more() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.ask()
        await scene.ask(uri="s3://models/other")
        scene.follower.forget(KEY)
        scene.follower.forget(KEY)
        count = len(scene.asked)
        await asyncio.sleep(10 * POLL)
        assert len(scene.asked) == count == 2

    played(scenario)


def test_one_failure_is_no_news_and_two_are_told_beside_what_was_seen() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.ask()
        scene.fails, scene.woken[:] = EndpointUnreachable("down"), []
        await asyncio.sleep(POLL + 1)
        assert scene.woken == []
        await asyncio.sleep(2 * POLL)
        heard = await scene.ask()
        assert scene.woken == [KEY]
        assert newest(heard) == "1"
        assert heard.trouble is not None
        assert (heard.trouble.reason, heard.trouble.message) == (Reason.ENDPOINT_UNREACHABLE, "down")
        scene.fails = None
        await asyncio.sleep(2 * POLL)
        assert (await scene.ask()).trouble is None

    played(scenario)


def test_a_store_that_is_down_is_asked_by_one_at_a_time_and_found_well_again_soon() -> None:
    async def scenario(scene: Scene) -> None:
        scene.fails = EndpointUnreachable("down")
        keys = [Key("default", f"clip-{number}") for number in range(100)]
        await asyncio.gather(*(scene.ask(key, uri=f"s3://models/{key.name}") for key in keys))
        await asyncio.sleep(5 * POLL)
        before = len(scene.asked)
        scene.most_at_once = 0
        await asyncio.sleep(10 * POLL)
        assert (len(scene.asked) - before) <= 10 * POLL
        assert scene.most_at_once == 1
        scene.fails = None
        await asyncio.sleep(LONGEST_PAUSE_SECONDS + POLL)
        heard = [await scene.ask(key, uri=f"s3://models/{key.name}") for key in keys]
        assert all(one.trouble is None for one in heard)

    played(scenario)


def test_a_refusal_is_an_answer_and_is_told_once() -> None:
    async def scenario(scene: Scene) -> None:
        scene.fails = EndpointUnreachable("down")
        await scene.ask()
        scene.fails = ModelNotFound("nothing there")
        await asyncio.sleep(3 * POLL)
        scene.woken[:] = []
        await asyncio.sleep(10 * POLL)
        assert scene.woken == []
        heard = await scene.ask()
        assert heard.trouble is not None
        assert heard.trouble.reason is Reason.MODEL_NOT_FOUND

    played(scenario)


def test_a_mistake_of_one_is_nobody_elses_business() -> None:
    async def scenario(scene: Scene) -> None:
        scene.fails_at["s3://secret/clip"] = EndpointUnreachable("bucket secret is elsewhere", retryable=False)
        heard = await scene.ask(Key("other", "clip"), uri="s3://secret/clip")
        assert heard.trouble is not None
        assert "secret" in heard.trouble.message
        assert newest(await scene.ask()) == "1"

    played(scenario)


def test_what_one_place_hears_in_an_outage_is_not_told_to_another() -> None:
    async def scenario(scene: Scene) -> None:
        scene.fails = EndpointUnreachable("no answer about bucket secret")
        await scene.ask(Key("other", "clip"), uri="s3://secret/clip")
        heard = await scene.ask()
        assert heard.trouble is not None
        assert "secret" not in heard.trouble.message

    played(scenario)


def test_who_comes_with_a_shorter_interval_is_not_kept_waiting() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.ask(pollIntervalSeconds=86400)
        scene.newest = "2"
        await scene.ask(Key("default", "hasty"), pollIntervalSeconds=10)
        await asyncio.sleep(10)
        assert newest(await scene.ask(pollIntervalSeconds=86400)) == "2"

    played(scenario)


def test_a_standby_asks_nobody() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.ask()
        scene.leads = False
        await asyncio.sleep(10 * POLL)
        assert len(scene.asked) == 1
        scene.leads = True
        await asyncio.sleep(POLL)
        assert len(scene.asked) == 2

    played(scenario)


def test_no_more_than_a_few_ask_one_store_at_the_same_time() -> None:
    async def scenario(scene: Scene) -> None:
        scene.delay = 1.0
        keys = [Key("default", f"clip-{number}") for number in range(40)]
        await asyncio.gather(*(scene.ask(key, uri=f"s3://models/{key.name}") for key in keys))
        await asyncio.sleep(20)
        assert scene.most_at_once == 4
        assert len(scene.asked) == 40

    played(scenario)


def test_new_credentials_count_as_soon_as_the_old_ones_do_not() -> None:
    async def scenario(scene: Scene) -> None:
        await scene.ask()
        scene.key, scene.accepted, scene.newest = "b", {"b"}, "2"
        await asyncio.sleep(POLL + 1)
        heard = await scene.ask()
        assert heard.trouble is None
        assert newest(heard) == "2"

    played(scenario)


@pytest.mark.parametrize("mistake", [RuntimeError("bug"), KeyError("bug")])
def test_a_mistake_of_ours_ends_nothing(mistake: Exception, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(scene: Scene) -> None:
        scene.fails = mistake
        heard = await scene.ask()
        assert heard.trouble is not None
        assert heard.trouble.reason is Reason.INTERNAL_ERROR
        assert "bug" not in heard.trouble.message
        scene.fails = None
        await asyncio.sleep(POLL)
        assert newest(await scene.ask()) == "1"

    played(scenario)
    assert "look into s3://models/clip failed" in caplog.text


class Listing(Scene):
    """A repository without manifests, in which version 1 has this digest."""

    letter = "a"

    async def look(self, uri: str, storage: StorageOptions, pinned: Collection[str], before: Sight | None) -> Sight:
        await super().look(uri, storage, pinned, before)
        return Sight(plain=(Plain("1", f"sha256:{self.letter * 64}", 7, 2),), incomplete=("1",))

    async def believed(self, *states: ModelState) -> str:
        """The newest version that is believed, after a look."""
        heard = await self.follower.heard(KEY, make_mmm(), "", 0.5, states)
        assert heard.sight is not None
        return heard.sight.newest.version if heard.sight.newest else ""


def test_a_listing_is_believed_when_the_next_look_agrees_and_who_asked_is_woken() -> None:
    async def scenario() -> None:
        scene = Listing()
        assert await scene.believed() == ""
        await asyncio.sleep(POLL - 1)
        assert await scene.believed() == ""
        woken = len(scene.woken)
        await asyncio.sleep(2)
        assert await scene.believed() == "1"
        assert len(scene.woken) == woken + 1
        assert scene.asked == [0.0, POLL]
        scene.letter = "b"
        await asyncio.sleep(POLL)
        assert await scene.believed() == "", "what lies there now must stand anew"
        await asyncio.sleep(POLL)
        assert await scene.believed() == "1"
        await scene.follower.close()

    run(scenario())


def test_after_a_restart_the_stored_digest_needs_no_second_look() -> None:
    async def scenario() -> None:
        scene = Listing()
        stored = ModelState(version="1", digest=f"sha256:{'a' * 64}", short_digest="", revision="a", since="")
        assert await scene.believed(stored) == "1"
        await scene.follower.close()

    run(scenario())


def test_looks_that_fail_while_a_listing_is_waited_for_are_not_repeated_faster() -> None:
    async def scenario() -> None:
        scene = Listing()
        await scene.believed()
        scene.fails = ModelNotFound("no")
        await asyncio.sleep(10 * POLL)
        assert len(scene.asked) <= 13
        await scene.follower.close()

    run(scenario())
