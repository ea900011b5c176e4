"""An S3 server that speaks TLS only, with a certificate of a CA of its own."""

import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from time import monotonic

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from dev.localcluster.layout import free_ports
from dev.tools import tool
from mmm_repository import StorageOptions

ACCESS_KEY, SECRET_KEY = "key", "secret-key"


@dataclass(frozen=True)
class SecureServer:
    """Where the server is, the certificate of its CA, and the directory of its buckets."""

    endpoint: str
    ca: Path
    data: Path

    def storage(self, **changes: object) -> StorageOptions:
        return StorageOptions.model_validate(
            {"endpoint": self.endpoint, "access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY, **changes}
        )


def certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name | None,
    signer: ec.EllipticCurvePrivateKey,
    names: Sequence[x509.GeneralName] = (),
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
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signer, hashes.SHA256())


def self_signed() -> str:
    """The certificate of some CA, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return certificate("a test CA", key, None, key).public_bytes(Encoding.PEM).decode()


def write_certificates(directory: Path, address: str, hosts: Sequence[str] = ()) -> None:
    """ca.pem, and server.pem with server.key that it signed."""
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = certificate("a test CA", ca_key, None, ca_key)
    names = [x509.IPAddress(ip_address(address)), *map(x509.DNSName, hosts)]
    server = certificate("a test server", key, ca.subject, ca_key, names)
    (directory / "ca.pem").write_bytes(ca.public_bytes(Encoding.PEM))
    (directory / "server.pem").write_bytes(server.public_bytes(Encoding.PEM))
    (directory / "server.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )


def wait_for_port(address: str, port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = monotonic() + 20
    while monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((address, port), timeout=1).close()
        except OSError:
            continue
        return
    raise AssertionError("the S3 server did not come up")


@contextmanager
def secure_server(directory: Path, address: str = "127.0.0.1", hosts: Sequence[str] = ()) -> Iterator[SecureServer]:
    """A running one, with the bucket `models`; `hosts` are names that it may be called by beside its address."""
    write_certificates(directory, address, hosts)
    (directory / "data" / "models").mkdir(parents=True)
    (port,) = free_ports(1)
    command: list[str | Path] = [tool("versitygw"), "--port", f"{address}:{port}", "--quiet"]
    command += ["--cert", directory / "server.pem", "--key", directory / "server.key", "posix", directory / "data"]
    keys = {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
    process = subprocess.Popen(command, env=keys, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(address, port, process)
        yield SecureServer(f"https://{address}:{port}", directory / "ca.pem", directory / "data")
    finally:
        process.kill()
        process.wait()
