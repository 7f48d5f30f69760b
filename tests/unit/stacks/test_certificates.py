"""Certificates are valid for one usage: TLS handshakes of every combination, and their renewal."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest

from infra.certificate_authority import KeyPair, Usage, create_ca, is_valid, issue_certificate
from infra.credentials import complete_credentials
from infra.names import BACKUP_CLIENT, CLIENT_CERTIFICATES
from infra.zones import pki
from infra.zones.paths import ClusterPaths
from infra.zones.spec import ClusterSpec

if TYPE_CHECKING:
    from pathlib import Path

TOMORROW = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)


def files(folder: Path, name: str, pair: KeyPair) -> tuple[Path, Path]:
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    certificate.write_text(pair.certificate)
    key.write_text(pair.key)
    return certificate, key


def handshake(folder: Path, ca: KeyPair, server: KeyPair, client: KeyPair) -> None:
    """Connect to a server that requires a client certificate, as pgBackRest, HAProxy and Kubernetes do."""
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=ca.certificate)
    server_context.verify_mode = ssl.CERT_REQUIRED
    server_context.load_cert_chain(*files(folder, "server", server))
    client_context = ssl.create_default_context(cadata=ca.certificate)
    client_context.load_cert_chain(*files(folder, "client", client))
    left, right = socket.socketpair()
    errors: list[OSError] = []

    def serve() -> None:
        try:
            with server_context.wrap_socket(left, server_side=True) as stream:
                stream.sendall(b"x")
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client_context.wrap_socket(right, server_hostname="localhost") as stream:
            assert stream.recv(1) == b"x"
    finally:
        left.close()
        thread.join(10)


@pytest.mark.parametrize(
    ("server", "client", "accepted"),
    [
        (Usage.SERVER, Usage.CLIENT, True),
        (Usage.SERVER, Usage.SERVER, False),
        (Usage.CLIENT, Usage.CLIENT, False),
    ],
)
def test_certificate_is_accepted_for_its_usage_only(
    tmp_path: Path,
    server: Usage,
    client: Usage,
    accepted: bool,  # noqa: FBT001 - a parametrized column
) -> None:
    ca = create_ca()
    pairs = [
        issue_certificate(ca, name, ["localhost"], usage) for name, usage in (("s", server), ("c", client))
    ]
    if accepted:
        handshake(tmp_path, ca, *pairs)
        return
    with pytest.raises(ssl.SSLError, match=r"(?i)unsupported.certificate|unsuitable|purpose"):
        handshake(tmp_path, ca, *pairs)


def test_certificate_of_postgres_cannot_log_in_to_the_backup_server(tmp_path: Path) -> None:
    credentials = complete_credentials()
    server, client = credentials.certificates["postgres"], credentials.certificates[BACKUP_CLIENT]
    handshake(tmp_path, credentials.ca, server, client)
    with pytest.raises(ssl.SSLError):
        handshake(tmp_path, credentials.ca, server, server)


def test_certificate_with_another_usage_is_renewed() -> None:
    credentials = complete_credentials()
    swapped = {
        name: issue_certificate(
            credentials.ca, name, (), Usage.SERVER if name in CLIENT_CERTIFICATES else Usage.CLIENT
        )
        for name in credentials.certificates
    }
    renewed = complete_credentials(credentials.model_copy(update={"certificates": swapped}))
    assert not set(renewed.certificates.values()) & set(swapped.values())
    assert complete_credentials(renewed) == renewed


def test_certificate_of_a_cluster_has_the_usage_of_its_identity(tmp_path: Path) -> None:
    spec, paths = ClusterSpec(), ClusterPaths(tmp_path, "local")
    paths.pki.mkdir(parents=True)
    pki.ensure(spec, paths)
    for identity in pki.identities(spec):
        pair = KeyPair(
            certificate=(paths.pki / f"{identity.file}.crt").read_text(),
            key=(paths.pki / f"{identity.file}.key").read_text(),
        )
        assert is_valid(pair, identity.names, TOMORROW, identity.usage)
        assert (paths.pki / f"{identity.file}.kubeconfig").exists() == (identity.usage is Usage.CLIENT)
    usages = {identity.file: identity.usage for identity in pki.identities(spec)}
    assert usages["etcd"] == usages["apiserver"] == usages["zone-a-server"] == Usage.SERVER
    assert usages["etcd-client"] == usages["kubelet-client"] == usages["zone-a"] == Usage.CLIENT
