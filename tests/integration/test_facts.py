"""What the operator relies on, as the API server does it."""

from collections.abc import Callable

import httpx
import pytest

from mmm_operator import names
from mmm_operator.snapshot import Manifest
from tests.integration.objects import Objects

pytestmark = pytest.mark.integration


def test_a_status_is_refused_by_resource_version_and_not_by_uid(
    objects: Objects, make_mmm: Callable[..., Manifest]
) -> None:
    """Should the last assertion ever fail: a uid has become enough, see ADR 11."""
    gone = objects.create(make_mmm())["metadata"]
    objects.delete(names.KIND, "clip")
    objects.create(make_mmm())

    def say(**pins: str) -> int:
        metadata = {"name": "clip", "namespace": objects.namespace, **pins}
        said = {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": metadata,
            "status": {"url": "http://c"},
        }
        where = f"/apis/{names.API_VERSION}/namespaces/{objects.namespace}/{names.PLURAL}/clip/status"
        query = {"fieldManager": names.STATUS_FIELD_MANAGER, "force": "true"}
        answer = objects.api.patch(
            where, params=query, json=said, headers={"Content-Type": "application/apply-patch+yaml"}
        )
        return answer.status_code

    assert say(resourceVersion=gone["resourceVersion"]) == httpx.codes.CONFLICT
    assert say(uid=gone["uid"]) == httpx.codes.OK
