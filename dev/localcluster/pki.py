"""The cluster's certificates: one authority, one certificate per component, one key pair for service accounts."""

import datetime as dt
import ipaddress
import shutil
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NODE_NAME = "node1"
SERVICE_RANGE = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
LIFETIME = dt.timedelta(days=3650)
BACKDATED = dt.timedelta(hours=1)  # clocks of virtual machines jump


@dataclass(frozen=True)
class Subject:
    """What one certificate says: who its holder is, and where it may serve."""

    file: str
    name: str
    group: str | None = None
    hosts: tuple[str, ...] = ()


def subjects(node_address: str) -> list[Subject]:
    """Every certificate of a cluster whose node has the given address.

    The names are Kubernetes' own: its built-in roles are bound to them.
    """
    api_names = [f"kubernetes{suffix}" for suffix in ("", ".default", ".default.svc", ".default.svc.cluster.local")]
    return [
        Subject("apiserver", "kube-apiserver", hosts=("localhost", *api_names, "127.0.0.1", API_SERVICE, node_address)),
        Subject("apiserver-kubelet", "kube-apiserver-kubelet-client", "system:masters"),
        Subject("front-proxy", "front-proxy-client"),
        Subject("admin", "kubernetes-admin", "system:masters"),
        Subject("controller-manager", "system:kube-controller-manager"),
        Subject("scheduler", "system:kube-scheduler"),
        Subject("proxy", "system:kube-proxy", "system:node-proxier"),
        Subject("dns", "system:coredns"),
        Subject("node", f"system:node:{NODE_NAME}", "system:nodes", hosts=(NODE_NAME, "127.0.0.1", node_address)),
    ]


def create(folder: Path, node_address: str) -> None:
    """Writes `ca`, every subject's `.crt` and `.key`, and `sa.key`/`sa.pub` into a new folder: all of it or none."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True, mode=0o700)
    authority = Authority()
    _write(partial / "ca", authority.key, authority.certificate)
    for subject in subjects(node_address):
        key = ec.generate_private_key(ec.SECP256R1())
        _write(partial / subject.file, key, authority.sign(subject, key.public_key()))
    _write_service_account(partial)
    partial.rename(folder)


class Authority:
    """A new certificate authority, which forgets its key unless someone writes it down."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localcluster")])
        usage = _key_usage(sign_certificates=True)
        self.certificate = (
            _builder(self.name, self.name, self.key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )

    def sign(self, subject: Subject, key: ec.EllipticCurvePublicKey) -> x509.Certificate:
        """A certificate for clients, and for servers where the subject names hosts."""
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, subject.name)]
        if subject.group:
            attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, subject.group))
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if subject.hosts:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = (
            _builder(x509.Name(attributes), self.name, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(issuer, critical=False)
        )
        if subject.hosts:
            names = x509.SubjectAlternativeName([_host(host) for host in dict.fromkeys(subject.hosts)])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self.key, hashes.SHA256())


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + LIFETIME)
    )


def _key_usage(sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(stem: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    _write_key(stem.with_suffix(".key"), key)
    stem.with_suffix(".crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _write_service_account(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    _write_key(folder / "sa.key", key)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "sa.pub").write_bytes(public)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
