"""Certificates: who is trusted, and what is said of those who are not."""

import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from time import monotonic

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from dev.tools import tool
from mmm_repository import EndpointUnreachable, ModelNotFound, StorageOptions, TLSVerifyFailed, resolve


@dataclass(frozen=True)
class SecureServer:
    """An S3 server that speaks TLS only, with a certificate of a CA of its own."""

    endpoint: str
    ca: Path

    def storage(self, **changes: object) -> StorageOptions:
        return StorageOptions.model_validate(
            {"endpoint": self.endpoint, "access_key_id": "key", "secret_access_key": "secret-key", **changes}
        )


def certificate(
    subject: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Name | None, signer: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer or name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer is not None:
        names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signer, hashes.SHA256())


def write_certificates(directory: Path) -> None:
    """ca.pem, and server.pem with server.key that it signed."""
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = certificate("a test CA", ca_key, None, ca_key)
    server = certificate("a test server", key, ca.subject, ca_key)
    (directory / "ca.pem").write_bytes(ca.public_bytes(Encoding.PEM))
    (directory / "server.pem").write_bytes(server.public_bytes(Encoding.PEM))
    (directory / "server.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = monotonic() + 20
    while monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            continue
        return
    raise AssertionError("the S3 server did not come up")


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureServer]:
    directory = tmp_path_factory.mktemp("tls")
    write_certificates(directory)
    (directory / "data" / "models").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command: list[str | Path] = [tool("versitygw"), "--port", f"127.0.0.1:{port}", "--quiet"]
    command += ["--cert", directory / "server.pem", "--key", directory / "server.key", "posix", directory / "data"]
    keys = {"ROOT_ACCESS_KEY": "key", "ROOT_SECRET_KEY": "secret-key"}
    process = subprocess.Popen(command, env=keys, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port, process)
        yield SecureServer(f"https://127.0.0.1:{port}", directory / "ca.pem")
    finally:
        process.kill()
        process.wait()


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
