"""Certificates: who is trusted, and what is said of those who are not."""

from pathlib import Path

import pytest

from mmm_repository import EndpointUnreachable, ModelNotFound, TLSVerifyFailed, resolve
from tests.secure import SecureServer


async def test_an_unknown_ca_is_not_trusted(secure: SecureServer) -> None:
    with pytest.raises(TLSVerifyFailed, match=r"not trusted \(unknown issuer\)\. Give the CA") as failure:
        await resolve("s3://models/clip", "1", secure.storage())
    assert not failure.value.retryable


@pytest.mark.parametrize("kind", ["file", "bytes", "off"])
async def test_a_given_ca_is_trusted(secure: SecureServer, kind: str) -> None:
    changes: dict[str, dict[str, object]] = {
        "file": {"ca_file": secure.ca},
        "bytes": {"ca_pem": secure.ca.read_bytes()},
        "off": {"insecure_skip_tls_verify": True},
    }
    with pytest.raises(ModelNotFound, match="Nothing lies under"):
        await resolve("s3://models/clip", "1", secure.storage(**changes[kind]))


async def test_a_certificate_for_another_name_is_not_trusted(secure: SecureServer) -> None:
    elsewhere = secure.endpoint.replace("127.0.0.1", "localhost")
    with pytest.raises(TLSVerifyFailed, match="for another name"):
        await resolve("s3://models/clip", "1", secure.storage(endpoint=elsewhere, ca_file=secure.ca))


@pytest.mark.parametrize(
    "content", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
async def test_a_ca_that_is_none_is_said(secure: SecureServer, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(content)
    with pytest.raises(TLSVerifyFailed):
        await resolve("s3://models/clip", "1", secure.storage(ca_file=tmp_path / "ca.pem"))


async def test_a_ca_file_that_is_missing_is_said(secure: SecureServer, tmp_path: Path) -> None:
    with pytest.raises(TLSVerifyFailed, match="cannot be read"):
        await resolve("s3://models/clip", "1", secure.storage(ca_file=tmp_path / "none.pem"))


async def test_a_scheme_of_the_wrong_kind_is_unreachable(secure: SecureServer) -> None:
    with pytest.raises(EndpointUnreachable):
        await resolve("s3://models/clip", "1", secure.storage(endpoint=secure.endpoint.replace("https", "http")))
