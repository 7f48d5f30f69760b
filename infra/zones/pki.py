"""Certificates of a cluster: issued at its first start, renewed before they expire after a year.

One certificate authority signs all of them. Kubernetes maps the common name to the user and the organization
to the group; permissions follow from RBAC alone.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from infra.certificate_authority import KeyPair, Usage, create_ca, is_valid, issue_certificate
from infra.files import write_atomically
from infra.names import DATA_NAMESPACE, OFFSITE_STORE, service_dns

if TYPE_CHECKING:
    from infra.zones.paths import ClusterPaths
    from infra.zones.spec import ClusterSpec

RENEW_BEFORE = dt.timedelta(days=60)
"""A cluster that is started at least every two months never has an expired certificate."""

REGISTRY_PUSHER = "registry-pusher"
"""Its certificate may write to the registry; nodes read with their own."""
SERVICE_ACCOUNTS = "service-accounts"
"""Its key signs the tokens of pods and is never renewed: a new one would invalidate tokens in use."""


@dataclass(frozen=True)
class Identity:
    """The subject of a certificate.

    Attributes:
        file: name of its files.
        user: common name.
        group: organization of the subject; empty for none.
        names: DNS names of the certificate.
        addresses: IP addresses of the certificate.
        usage: usage of the certificate; a client has a kubeconfig too.
    """

    file: str
    user: str
    group: str = ""
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    usage: Usage = Usage.SERVER


def _client(file: str, user: str, group: str = "") -> Identity:
    return Identity(file, user, group, usage=Usage.CLIENT)


def identities(spec: ClusterSpec) -> tuple[Identity, ...]:
    """Return the subjects of all certificates."""
    api = (
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    )
    kubelets = (_client(zone, f"system:node:{zone}", "system:nodes") for zone in spec.zones)
    kubelet_servers = (
        Identity(kubelet_server(zone), f"system:node:{zone}", "", (zone,), (str(spec.node(zone)),))
        for zone in spec.zones
    )
    return (
        _client("admin", "esq-admin", "system:masters"),
        Identity(
            "apiserver",
            "kube-apiserver",
            "",
            (*api, "localhost"),
            (str(spec.control), str(spec.service_range[1])),
        ),
        _client("kubelet-client", "kube-apiserver-kubelet-client"),
        Identity("etcd", "etcd", "", ("localhost",)),
        _client("etcd-client", "kube-apiserver-etcd-client"),
        _client("controller-manager", "system:kube-controller-manager"),
        _client("scheduler", "system:kube-scheduler"),
        _client("proxy", "system:kube-proxy"),
        _client("dns", "esq:dns"),
        _client("volumes", "esq:volumes"),
        _client(REGISTRY_PUSHER, REGISTRY_PUSHER),
        Identity("gateway", "gateway", "", ("localhost",), (str(spec.gateway),)),
        Identity(
            OFFSITE_STORE,
            OFFSITE_STORE,
            "",
            (service_dns(OFFSITE_STORE, DATA_NAMESPACE),),
            (str(spec.gateway),),
        ),
        Identity(SERVICE_ACCOUNTS, SERVICE_ACCOUNTS),
        *kubelets,
        *kubelet_servers,
    )


def kubelet_server(zone: str) -> str:
    """Return the name of the files with which the kubelet of a zone serves requests."""
    return f"{zone}-server"


def ensure(spec: ClusterSpec, paths: ClusterPaths) -> None:
    """Issue missing and expiring certificates; write kubeconfigs and the key that encrypts Secrets at rest.

    Args:
        spec: specification of the cluster.
        paths: files of the cluster.
    """
    authority = _certificate_authority(paths)
    for identity in identities(spec):
        _ensure_certificate(authority, identity, paths)
        if identity.usage is Usage.CLIENT:
            write_atomically(paths.pki / f"{identity.file}.kubeconfig", kubeconfig(spec, paths, identity))
    for name in ("gateway", OFFSITE_STORE):
        pair = paths.pki / name
        # HAProxy reads certificate and key from one file.
        write_atomically(
            paths.pki / f"{name}.pem",
            pair.with_suffix(".crt").read_text() + pair.with_suffix(".key").read_text(),
        )
    write_atomically(paths.kubeconfig, (paths.pki / "admin.kubeconfig").read_text())
    _ensure_encryption_key(paths)


def kubeconfig(spec: ClusterSpec, paths: ClusterPaths, identity: Identity) -> str:
    """Return a self-contained kubeconfig, which can be used on other machines.

    Args:
        spec: specification of the cluster.
        paths: files of the cluster.
        identity: the user.
    """

    def encoded(file: str) -> str:
        return base64.b64encode((paths.pki / file).read_bytes()).decode()

    cluster = {
        "server": f"https://{spec.control}:6443",
        "certificate-authority-data": encoded("ca.crt"),
    }
    user = {
        "client-certificate-data": encoded(f"{identity.file}.crt"),
        "client-key-data": encoded(f"{identity.file}.key"),
    }
    context = {"cluster": spec.name, "user": identity.user}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": spec.name, "cluster": cluster}],
            "users": [{"name": identity.user, "user": user}],
            "contexts": [{"name": spec.name, "context": context}],
            "current-context": spec.name,
        }
    )


def _certificate_authority(paths: ClusterPaths) -> KeyPair:
    certificate, key = paths.pki / "ca.crt", paths.pki / "ca.key"
    if certificate.exists() and key.exists():
        return KeyPair(certificate=certificate.read_text(), key=key.read_text())
    authority = create_ca()
    write_atomically(key, authority.key)
    write_atomically(certificate, authority.certificate)
    return authority


def _ensure_certificate(authority: KeyPair, identity: Identity, paths: ClusterPaths) -> None:
    certificate, key = paths.pki / f"{identity.file}.crt", paths.pki / f"{identity.file}.key"
    if certificate.exists() and key.exists():
        pair = KeyPair(certificate=certificate.read_text(), key=key.read_text())
        if identity.file == SERVICE_ACCOUNTS or is_valid(
            pair, identity.names, dt.datetime.now(dt.UTC) + RENEW_BEFORE, identity.usage
        ):
            return
    pair = issue_certificate(
        authority,
        identity.user,
        identity.names,
        identity.usage,
        organization=identity.group,
        ip_addresses=identity.addresses,
    )
    write_atomically(key, pair.key)
    write_atomically(certificate, pair.certificate)


def _ensure_encryption_key(paths: ClusterPaths) -> None:
    """Write the key that the API server uses to encrypt Secrets in etcd."""
    path = paths.pki / "encryption.json"
    if path.exists():
        return
    key = {"name": "first", "secret": base64.b64encode(secrets.token_bytes(32)).decode()}
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [
            {"resources": ["secrets"], "providers": [{"secretbox": {"keys": [key]}}, {"identity": {}}]}
        ],
    }
    write_atomically(path, json.dumps(document))
