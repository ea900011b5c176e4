"""What the resolver answers: never late, never forgetful, and not stubborn about what has not served yet."""

import asyncio
import base64
from collections.abc import Coroutine
from typing import Any

import pytest

from mmm_operator.api.conditions import Reason
from mmm_operator.api.status import ModelState, ModelStatus, Status
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.errors import Forbidden
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Key, Manifest, Resolution
from mmm_operator.sources.access import Access
from mmm_operator.sources.endpoints import Endpoints
from mmm_operator.sources.resolver import PATIENCE_SECONDS, Resolver
from mmm_repository.errors import AccessDenied, EndpointUnreachable, VersionNotFound
from mmm_repository.resolve import ResolvedVersion
from mmm_repository.storage import StorageOptions
from tests.unit.operator.runtime.virtual_time import run

KEY = Key("default", "clip")
ONE, TWO = (f"sha256:{digit * 64}" for digit in "12")
SETTINGS = Settings(server_image="server:1", resolve_timeout_seconds=20)


class Repository:
    """A repository that holds version 1, answers when told to, and counts how often it is asked."""

    def __init__(self) -> None:
        self.says: str | Exception = ONE
        self.delay = 0.0
        self.asked: list[StorageOptions] = []

    async def look_up(self, uri: str, version: str, storage: StorageOptions) -> ResolvedVersion:
        self.asked.append(storage)
        await asyncio.sleep(self.delay)
        if isinstance(self.says, Exception):
            raise self.says
        return ResolvedVersion(version, self.says, 10, (), {})


class Scene:
    """A resolver with everything around it."""

    def __init__(self) -> None:
        self.repository = Repository()
        self.secret: Manifest | None = make_secret("1", AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b")
        self.woken: list[Key] = []
        self.resolver = Resolver(Access(self.read, Endpoints(())), self.woken.append, SETTINGS, self.repository.look_up)

    async def read(self, kind: str, namespace: str, name: str) -> Manifest | None:
        return self.secret

    async def ask(self, mmm: MultimodalModel | None = None, status: Status | None = None) -> Resolution:
        return await self.resolver.resolution(KEY, mmm or make_mmm(), status or Status())


def make_secret(version: str, **values: str) -> Manifest:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"metadata": {"resourceVersion": version}, "data": data}


def make_mmm(*, digest: str | None = None, storage: dict[str, Any] | None = None, **model: Any) -> MultimodalModel:
    source = {"uri": "s3://models/clip", "version": "1", "pollIntervalSeconds": 60, "digest": digest, **model}
    spec = {"model": source, "storage": storage or {"credentialsSecretRef": {"name": "s3"}}}
    return MultimodalModel.model_validate({"metadata": {"name": "clip", "namespace": "default"}, "spec": spec})


def make_state(digest: str, uri: str = "s3://models/clip", endpoint: str = "") -> ModelState:
    return ModelState(
        version="1", digest=digest, short_digest="", revision="abcd1234", since="", uri=uri, endpoint=endpoint
    )


def told(scenario: Coroutine[Any, Any, None]) -> None:
    run(scenario)


def test_a_healthy_repository_answers_within_one_reconcile() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.repository.delay = PATIENCE_SECONDS / 2
        found = await scene.ask()
        assert (found.digest, found.reason, found.total_bytes) == (ONE, Reason.RESOLVED, 10)
        assert scene.repository.asked[0].access_key_id is not None

    told(scenario())


def test_a_slow_repository_holds_nobody_up_and_wakes_the_object_when_it_answers() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.repository.delay = 15
        loop = asyncio.get_running_loop()
        assert (await scene.ask()).reason is Reason.RESOLVING
        assert loop.time() <= PATIENCE_SECONDS
        assert scene.woken == []
        await asyncio.sleep(15)
        assert scene.woken == [KEY]
        assert (await scene.ask()).digest == ONE
        assert len(scene.repository.asked) == 1

    told(scenario())


def test_a_repository_that_never_answers_is_unreachable() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.repository.delay = 10_000
        await scene.ask()
        await asyncio.sleep(21)
        found = await scene.ask()
        assert found.reason is Reason.ENDPOINT_UNREACHABLE
        assert "within 20 seconds" in found.message

    told(scenario())


def test_many_objects_with_the_same_question_ask_once() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.repository.delay = 5
        await asyncio.gather(*(scene.ask() for _ in range(50)))
        await asyncio.sleep(10)
        assert (await scene.ask()).digest == ONE
        assert len(scene.repository.asked) == 1

    told(scenario())


def test_a_failure_is_asked_again_after_the_poll_interval_and_not_before() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.repository.says = VersionNotFound("versions found: 2.")
        found = await scene.ask()
        assert (found.digest, found.reason, found.message) == (None, Reason.VERSION_NOT_FOUND, "versions found: 2.")
        scene.repository.says = ONE
        await asyncio.sleep(30)
        assert (await scene.ask()).reason is Reason.VERSION_NOT_FOUND
        await asyncio.sleep(30)
        assert (await scene.ask()).digest == ONE

    told(scenario())


def test_corrected_credentials_are_tried_at_once() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.repository.says = AccessDenied("no")
        assert (await scene.ask()).reason is Reason.ACCESS_DENIED
        scene.repository.says = ONE
        assert (await scene.ask()).reason is Reason.ACCESS_DENIED
        scene.secret = make_secret("2", AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="right")
        assert (await scene.ask()).digest == ONE

    told(scenario())


def test_what_serves_is_never_asked_for_again() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.repository.says = EndpointUnreachable("dead")
        status = Status(model=ModelStatus(current=make_state(TWO)))
        assert (await scene.ask(status=status)).digest == TWO
        await asyncio.sleep(1000)
        assert (await scene.ask(status=status)).digest == TWO
        assert scene.repository.asked == []

    told(scenario())


def test_a_stored_digest_stands_while_the_repository_is_dead() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.repository.says = EndpointUnreachable("dead")
        status = Status(model=ModelStatus(target=make_state(TWO)))
        for _ in range(3):
            assert (await scene.ask(status=status)).digest == TWO
            await asyncio.sleep(100)

    told(scenario())


@pytest.mark.parametrize("says", [TWO, EndpointUnreachable("dead")], ids=["the same", "nothing"])
def test_nobody_is_woken_for_what_he_goes_by_already(says: str | Exception) -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.repository.says = says
        assert (await scene.ask(status=Status(model=ModelStatus(target=make_state(TWO))))).digest == TWO
        await asyncio.sleep(1)
        assert scene.repository.asked
        assert scene.woken == []

    told(scenario())


def test_a_broken_upload_that_was_corrected_replaces_a_digest_that_never_served() -> None:
    async def scenario() -> None:
        scene = Scene()
        status = Status(model=ModelStatus(target=make_state(TWO)))
        assert (await scene.ask(status=status)).digest == TWO
        await asyncio.sleep(1)
        assert scene.woken == [KEY]
        assert (await scene.ask(status=status)).digest == ONE

    told(scenario())


@pytest.mark.parametrize(
    "state",
    [make_state(TWO, uri="s3://models/other"), make_state(TWO, endpoint="http://other:9000")],
    ids=["another uri", "another endpoint"],
)
def test_a_digest_from_elsewhere_does_not_count(state: ModelState) -> None:
    async def scenario() -> None:
        scene = Scene()
        status = Status(model=ModelStatus(current=state, target=state))
        assert (await scene.ask(status=status)).digest == ONE

    told(scenario())


def test_a_version_that_was_found_is_not_unsaid_by_a_failure() -> None:
    async def scenario() -> None:
        scene = Scene()
        assert (await scene.ask()).digest == ONE
        scene.repository.says = EndpointUnreachable("dead")
        for _ in range(3):
            await asyncio.sleep(100)
            assert (await scene.ask()).digest == ONE

    told(scenario())


def test_a_pin_accepts_only_its_own_digest() -> None:
    async def scenario() -> None:
        scene = Scene()
        assert (await scene.ask(make_mmm(digest=ONE))).digest == ONE
        refused = await scene.ask(make_mmm(digest=TWO))
        assert (refused.digest, refused.reason) == (None, Reason.DIGEST_MISMATCH)
        serving = Status(model=ModelStatus(current=make_state(TWO)))
        assert (await scene.ask(make_mmm(digest=ONE), serving)).digest == ONE

    told(scenario())


def test_credentials_that_are_not_there_are_named() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.secret = None
        assert (await scene.ask()).message == "There is no Secret s3."
        scene.secret = make_secret("2", AWS_ACCESS_KEY_ID="a")
        found = await scene.ask()
        assert found.reason is Reason.CREDENTIALS_NOT_FOUND
        assert found.message == "Secret s3 has no key AWS_SECRET_ACCESS_KEY."

    told(scenario())


def test_a_secret_that_may_not_be_read_is_said_so() -> None:
    async def refuse(kind: str, namespace: str, name: str) -> Manifest | None:
        raise Forbidden("secrets is forbidden", status=403)

    async def scenario() -> None:
        scene = Scene()
        scene.resolver = Resolver(Access(refuse, Endpoints(())), scene.woken.append, SETTINGS, scene.repository.look_up)
        found = await scene.ask()
        assert found.reason is Reason.CREDENTIALS_NOT_FOUND
        assert "secrets is forbidden" in found.message

    told(scenario())


def test_secrets_do_not_reach_messages() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.secret = make_secret("1", AWS_ACCESS_KEY_ID="canary-id", AWS_SECRET_ACCESS_KEY="")
        assert "canary" not in repr(await scene.ask())

    told(scenario())


def test_a_mistake_of_ours_is_logged_and_not_blamed_on_the_user(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.repository.says = ZeroDivisionError("bug")
        found = await scene.ask()
        assert found.reason is Reason.INTERNAL_ERROR

    told(scenario())
    assert caplog.records[-1].exc_info is not None
