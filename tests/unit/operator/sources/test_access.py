"""As whom a repository is asked: what the Secret and the CA bundle hold, and what is said when they do not."""

import asyncio
import base64
from typing import Any

import pytest

from mmm_operator.api.conditions import Reason
from mmm_operator.api.storage import Storage
from mmm_operator.snapshot import Manifest
from mmm_operator.sources.access import Access, NoAccess, Pass
from mmm_operator.sources.endpoints import Endpoints

PEM = "-----BEGIN CERTIFICATE-----"
CODED = base64.b64encode(PEM.encode()).decode()
OBJECTS: dict[tuple[str, str], Manifest] = {
    ("ConfigMap", "plain"): {"data": {"ca.crt": PEM}},
    ("ConfigMap", "binary"): {"binaryData": {"ca.crt": CODED}},
    ("Secret", "ca"): {"metadata": {"resourceVersion": "7"}, "data": {"tls.crt": CODED}},
}


def access(storage: dict[str, Any], *allowed: str) -> Pass:
    async def read(kind: str, namespace: str, name: str) -> Manifest | None:
        assert namespace == "shop"
        return OBJECTS.get((kind, name))

    return asyncio.run(
        Access(read, Endpoints(allowed, {})).get("shop", "s3://meta/clip", Storage.model_validate(storage))
    )


@pytest.mark.parametrize(
    "bundle",
    [
        {"configMapKeyRef": {"name": "plain"}},
        {"configMapKeyRef": {"name": "binary"}},
        {"secretKeyRef": {"name": "ca", "key": "tls.crt"}},
    ],
)
def test_the_certificates_are_read_from_where_they_are(bundle: dict[str, Any]) -> None:
    assert access({"caBundle": bundle}).options.ca_pem == PEM.encode()


@pytest.mark.parametrize(
    ("bundle", "message"),
    [
        ({"configMapKeyRef": {"name": "none"}}, "There is no ConfigMap none, which spec.storage.caBundle names."),
        ({"configMapKeyRef": {"name": "plain", "key": "other"}}, "ConfigMap plain has no key other."),
        ({"secretKeyRef": {"name": "ca"}}, "Secret ca has no key ca.crt."),
        ({}, "spec.storage.caBundle names neither a ConfigMap nor a Secret."),
    ],
)
def test_what_is_missing_is_named(bundle: dict[str, Any], message: str) -> None:
    with pytest.raises(NoAccess, match=message) as failure:
        access({"caBundle": bundle})
    assert failure.value.reason is Reason.CREDENTIALS_NOT_FOUND


def test_an_endpoint_that_is_not_allowed_is_never_asked() -> None:
    with pytest.raises(NoAccess, match="list of allowed endpoints") as failure:
        access({"endpoint": "http://10.0.0.7:9000"}, "minio.storage")
    assert failure.value.reason is Reason.ENDPOINT_FORBIDDEN


def test_our_own_identity_goes_to_aws_only() -> None:
    assert access({"endpoint": "http://10.0.0.7:9000"}).options.anonymous
    assert not access({}).options.anonymous


def test_the_host_that_is_asked_is_the_one_that_is_looked_at() -> None:
    """The bucket's name goes before it."""
    storage = {"endpoint": "https://default.svc", "addressingStyle": "Virtual"}

    async def read(kind: str, namespace: str, name: str) -> Manifest | None:
        return None

    access = Access(read, Endpoints((), {}))
    with pytest.raises(NoAccess, match="API server"):
        asyncio.run(access.check("s3://kubernetes/clip", Storage.model_validate(storage)))


@pytest.mark.parametrize("endpoint", ["http://minio:99999", "http://minio:abc", "http://[x"])
def test_an_endpoint_that_is_none_is_said_to_be_none(endpoint: str) -> None:
    with pytest.raises(NoAccess, match="is no address") as failure:
        access({"endpoint": endpoint})
    assert failure.value.reason is Reason.ENDPOINT_UNREACHABLE
