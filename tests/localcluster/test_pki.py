"""The cluster's certificates are good for what Kubernetes asks of them."""

import datetime as dt
import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.verification import PolicyBuilder, Store

from dev.localcluster import pki

NODE_ADDRESS = "198.51.100.7"
SUBJECTS = {subject.file: subject for subject in pki.subjects(NODE_ADDRESS)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of a cluster whose node has the address above."""
    folder = tmp_path_factory.mktemp("cluster") / "pki"
    pki.create(folder, NODE_ADDRESS)
    return folder


def certificate(folder: Path, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())


def trusting(folder: Path) -> PolicyBuilder:
    return PolicyBuilder().store(Store([certificate(folder, "ca")]))


@pytest.mark.parametrize("name", SUBJECTS)
def test_key_belongs_to_certificate_and_only_its_owner_can_read_it(folder: Path, name: str) -> None:
    key = serialization.load_pem_private_key((folder / f"{name}.key").read_bytes(), password=None)
    assert key.public_key() == certificate(folder, name).public_key()
    assert (folder / f"{name}.key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", SUBJECTS)
def test_certificate_is_signed_by_the_authority_and_outlives_any_test(folder: Path, name: str) -> None:
    leaf = certificate(folder, name)
    leaf.verify_directly_issued_by(certificate(folder, "ca"))
    now = dt.datetime.now(dt.UTC)
    assert leaf.not_valid_before_utc < now < now + dt.timedelta(days=365) < leaf.not_valid_after_utc


@pytest.mark.parametrize("name", [name for name, subject in SUBJECTS.items() if subject.hosts])
def test_servers_are_trusted_under_every_name_and_address(folder: Path, name: str) -> None:
    for host in SUBJECTS[name].hosts:
        try:
            peer: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            peer = x509.DNSName(host)
        assert isinstance(peer, x509.IPAddress | x509.DNSName)
        trusting(folder).build_server_verifier(peer).verify(certificate(folder, name), [])


def test_api_server_is_trusted_where_pods_and_people_look_for_it() -> None:
    assert {"127.0.0.1", "10.96.0.1", "kubernetes.default.svc", NODE_ADDRESS} <= set(SUBJECTS["apiserver"].hosts)


def test_kubelet_is_known_as_its_node(folder: Path) -> None:
    # The node authorizer lets a kubelet touch its own node's objects by exactly these two words.
    assert certificate(folder, "node").subject.rfc4514_string() == "O=system:nodes,CN=system:node:node1"


def test_leftovers_of_a_killed_creation_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "pki.partial").mkdir()
    (tmp_path / "pki.partial" / "ca.crt").write_text("half a certi")
    pki.create(tmp_path / "pki", NODE_ADDRESS)
    assert not (tmp_path / "pki.partial").exists()
    trusting(tmp_path / "pki").build_server_verifier(x509.DNSName("localhost")).verify(
        certificate(tmp_path / "pki", "apiserver"), []
    )
