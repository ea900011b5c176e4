"""What is wrong with the repository reaches the MultimodalModel in words, and never what serves."""

import base64
from collections.abc import Callable, Iterator

import pytest

from mmm_operator import names
from mmm_operator.snapshot import Manifest
from tests.integration.bucket import Bucket
from tests.integration.objects import Objects, eventually
from tests.integration.operator_process import Audit, Operator

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("operator")]

MakeMmm = Callable[..., Manifest]
MODEL = {"uri": "s3://models/reasons"}
NOBODY = "http://127.0.0.1:1"


@pytest.fixture(scope="module", autouse=True)
def digest(bucket: Bucket) -> str:
    """A repository with one whole version and one whose upload never ended."""
    bucket.put("reasons/broken/model.safetensors", b"half of it")
    return bucket.publish("reasons", "1")


def resolved(objects: Objects, reason: str) -> Manifest:
    """The condition ModelResolved, once it has this reason."""

    def look() -> Manifest | None:
        found = objects.condition("ModelResolved")
        assert found["reason"] == reason, found
        return found

    return eventually(look)


def wait_until_ready(objects: Objects) -> None:
    def ready() -> bool:
        objects.make_pods_ready()
        return bool(objects.condition("Ready")["status"] == "True")

    eventually(ready)


@pytest.fixture
def serving(objects: Objects, make_mmm: MakeMmm) -> Manifest:
    """The Deployment of a model that serves, and whose bucket is looked at rarely: what fails twice is told."""
    objects.create(make_mmm(model={**MODEL, "pollIntervalSeconds": 600}))
    wait_until_ready(objects)
    (deployment,) = objects.list("Deployment")
    return deployment


WRONG: dict[str, tuple[Manifest, str, str]] = {
    "a version that is not there": ({"model": {"version": "9"}}, "VersionNotFound", "versions found: broken, 1"),
    "an upload that has not ended": ({"model": {"version": "broken"}}, "IncompleteUpload", "no manifest.json yet"),
    "an empty prefix": ({"model": {"uri": "s3://models/nothing"}}, "ModelNotFound", "s3://models/nothing"),
    "no such bucket": ({"model": {"uri": "s3://no-such-bucket/clip"}}, "ModelNotFound", "no-such-bucket"),
    "a storage that does not answer": ({"storage": {"endpoint": NOBODY}}, "EndpointUnreachable", "127.0.0.1:1"),
    "no such Secret": ({"storage": {"credentialsSecretRef": {"name": "gone"}}}, "CredentialsNotFound", "Secret gone"),
    "no such key": (
        {"storage": {"credentialsSecretRef": {"name": "s3", "accessKeyIDKey": "user"}}},
        "CredentialsNotFound",
        "Secret s3 has no key user",
    ),
    "other bytes than pinned": ({"model": {"digest": f"sha256:{'0' * 64}"}}, "DigestMismatch", "spec.model.digest"),
}


@pytest.mark.parametrize(("change", "reason", "words"), WRONG.values(), ids=WRONG)
def test_a_model_that_cannot_be_resolved_says_why(
    objects: Objects, make_mmm: MakeMmm, change: Manifest, reason: str, words: str
) -> None:
    wanted = make_mmm(model=MODEL)
    for part, fields in change.items():
        wanted["spec"][part] |= fields
    objects.create(wanted)
    condition = resolved(objects, reason)
    assert condition["status"] == "False"
    assert words in condition["message"]
    assert objects.condition("Ready")["reason"] == reason
    assert objects.list("Deployment") == []


# Of a version that serves nothing needs to be asked, so wrong credentials for it are met by new pods only.
WRONG_UPDATES = {what: wrong for what, wrong in WRONG.items() if wrong[1] != "CredentialsNotFound"}


@pytest.mark.parametrize(("change", "reason", "words"), WRONG_UPDATES.values(), ids=WRONG_UPDATES)
def test_what_serves_is_untouched_by_a_version_that_cannot_be_resolved(
    objects: Objects, serving: Manifest, audit: Audit, change: Manifest, reason: str, words: str
) -> None:
    since = audit.now()
    objects.patch(names.KIND, "clip", {"spec": change})
    assert words in resolved(objects, reason)["message"]
    (deployment,) = objects.list("Deployment")
    assert deployment["spec"] == serving["spec"]
    assert objects.condition("Available")["status"] == "True"
    assert {write.split()[1] for write in audit.writes(since, objects.namespace)} <= {
        "multimodalmodels/status",
        "events",
    }


def test_wrong_credentials_are_denied_and_corrected_ones_heal(objects: Objects, make_mmm: MakeMmm) -> None:
    right = objects.need("Secret", "s3")["data"]
    wrong = {**right, "AWS_SECRET_ACCESS_KEY": base64.b64encode(b"wrong").decode()}
    objects.patch("Secret", "s3", {"data": wrong})
    objects.create(make_mmm(model=MODEL))
    assert resolved(objects, "AccessDenied")["status"] == "False"
    objects.patch("Secret", "s3", {"data": right})
    assert resolved(objects, "Resolved")["status"] == "True"


def test_a_version_that_appears_later_is_found(objects: Objects, make_mmm: MakeMmm, bucket: Bucket) -> None:
    objects.create(make_mmm("later", model=MODEL))
    resolved(objects, "VersionNotFound")
    digest = bucket.publish("reasons", "later")
    assert digest in resolved(objects, "Resolved")["message"]


def test_a_pin_of_the_right_bytes_is_accepted(objects: Objects, make_mmm: MakeMmm, digest: str) -> None:
    objects.create(make_mmm(model={**MODEL, "digest": digest}))
    assert resolved(objects, "Resolved")["status"] == "True"


@pytest.fixture
def dead_bucket(bucket: Bucket) -> Iterator[Callable[[], None]]:
    """Ends the S3 server when called; it comes back after the test."""
    port = bucket.server.bound_port
    yield bucket.server.stop
    (bucket.server.directory / "port").write_text(str(port))
    bucket.server.start()


def test_a_dead_bucket_disturbs_nothing_that_serves_not_even_after_a_restart(
    objects: Objects, serving: Manifest, operator: Operator, dead_bucket: Callable[[], None], audit: Audit
) -> None:
    dead_bucket()
    assert operator.end() == 0
    operator.start()
    operator.wait_until_ready()
    with audit.quiet_for(3, objects.namespace):
        pass
    objects.delete("Deployment", serving["metadata"]["name"])
    healed = eventually(lambda: objects.list("Deployment"))[0]
    assert healed["spec"]["template"] == serving["spec"]["template"]
    wait_until_ready(objects)
