"""Whom the operator talks to."""

import asyncio

import pytest

from mmm_operator.sources.endpoints import EndpointForbidden, Endpoints

IN_CLUSTER = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}


def check(endpoint: str | None, *allowed: str) -> None:
    asyncio.run(Endpoints(allowed, IN_CLUSTER).check(endpoint))


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://169.254.169.254",
        "http://169.254.170.2:80",
        "http://[fe80::1]:9000",
        "http://[::ffff:169.254.169.254]",
        "http://[fd00:ec2::254]",
        "http://0.0.0.0:9000",
        "http://224.0.0.1",
        "https://10.96.0.1",
        "https://10.96.0.1:443",
        "https://kubernetes",
        "https://kubernetes.default.svc",
        "https://kubernetes.default.svc.cluster.local:443",
    ],
)
def test_no_object_store_is_there(endpoint: str) -> None:
    with pytest.raises(EndpointForbidden):
        check(endpoint)


@pytest.mark.parametrize(
    "endpoint", [None, "http://127.0.0.1:9000", "http://10.0.0.7:9000", "https://no-such-host.invalid"]
)
def test_everything_else_may_be_asked(endpoint: str | None) -> None:
    check(endpoint)


@pytest.mark.parametrize(
    ("pattern", "endpoint", "allowed"),
    [
        ("minio.storage", "http://minio.storage:9000", True),
        ("minio.storage:9000", "http://minio.storage:9000", True),
        ("minio.storage:9000", "http://minio.storage:9001", False),
        ("minio.storage:443", "https://minio.storage", True),
        ("*.example.com", "https://s3.example.com", True),
        ("*.example.com", "https://example.com.evil.org", False),
        ("[fd00::1]:9000", "http://[fd00::1]:9000", True),
        ("[fd00::1]", "http://[fd00::2]", False),
        ("MINIO.storage", "http://minio.Storage:9000", True),
        ("169.254.169.254", "http://169.254.169.254", False),
    ],
)
def test_a_list_closes_the_rest(pattern: str, endpoint: str, allowed: bool) -> None:
    if allowed:
        check(endpoint, pattern)
        return
    with pytest.raises(EndpointForbidden):
        check(endpoint, pattern)


def test_aws_needs_no_entry() -> None:
    check(None, "minio.storage")
