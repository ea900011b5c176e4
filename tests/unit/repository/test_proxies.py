"""Whom the HTTP client may talk to."""

import pytest
from obstore.exceptions import GenericError
from pydantic import SecretStr

from mmm_repository import EndpointUnreachable, StorageOptions
from mmm_repository.failures import Place, translated
from mmm_repository.proxies import EVERYBODY, proxy_config

KEYS = {"access_key_id": SecretStr("a"), "secret_access_key": SecretStr("b")}
PLACE = Place("bucket models", "127.0.0.1:9000")


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        ("http://minio.storage.svc:9000", "minio.storage.svc"),
        ("https://10.0.0.7", "10.0.0.7"),
        ("https://[fd00::1]:9000", "fd00::1"),
    ],
)
def test_with_an_endpoint_and_keys_it_is_the_endpoint_alone(endpoint: str, host: str) -> None:
    config = proxy_config(StorageOptions(endpoint=endpoint, **KEYS))
    assert config == {"proxy_url": "http://127.0.0.1:9", "proxy_excludes": host}


def test_who_asks_as_nobody_is_led_nowhere_either() -> None:
    config = proxy_config(StorageOptions(endpoint="http://minio:9000", anonymous=True))
    assert config["proxy_excludes"] == "minio"


def test_ambient_identities_and_aws_need_addresses_of_their_own() -> None:
    assert proxy_config(StorageOptions(endpoint="http://minio:9000"))["proxy_excludes"] == EVERYBODY
    assert proxy_config(StorageOptions(**KEYS))["proxy_excludes"] == EVERYBODY


def test_a_proxy_that_the_user_wants_is_left_alone() -> None:
    assert proxy_config(StorageOptions(endpoint="http://minio:9000", use_environment_proxy=True, **KEYS)) == {}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ('ConnectError("tcp connect error", 127.0.0.1:9, Os { message: "Connection refused" })', "leads requests to"),
        (
            'ConnectError("tcp connect error", 127.0.0.1:9000, Os { message: "Connection refused" })',
            "refuses connections",
        ),
    ],
)
def test_a_refusal_of_nowhere_is_told_from_one_of_a_port_that_begins_alike(words: str, told: str) -> None:
    error = translated(GenericError(words), PLACE)
    assert isinstance(error, EndpointUnreachable)
    assert told in error.message
