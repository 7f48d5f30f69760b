"""The image registry of the nodes: Debian's docker-registry, behind the edge on the bridge address.

The registry itself has no permissions: it serves a Unix socket of root. The edge requires a client
certificate of the cluster: nodes may read, `registry-pusher` may also write. Nobody may delete over the
network: `esq cache prune` works on the files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.zones.pki import REGISTRY_PUSHER

if TYPE_CHECKING:
    from pathlib import Path

    from infra.zones.paths import ClusterPaths
    from infra.zones.spec import ClusterSpec


@dataclass(frozen=True)
class RegistryAccess:
    """Write access to a registry.

    Attributes:
        address: `host:port`, accessed over TLS.
        ca: file of the certificate authority of the registry.
        certificate: file of the client certificate.
        key: file of its key.
    """

    address: str
    ca: Path
    certificate: Path
    key: Path


def push_access(spec: ClusterSpec, paths: ClusterPaths) -> RegistryAccess:
    """Return the access that may push images.

    Args:
        spec: specification of the cluster.
        paths: files of the cluster.
    """
    pair = paths.pki / REGISTRY_PUSHER
    return RegistryAccess(
        spec.registry, paths.pki / "ca.crt", pair.with_suffix(".crt"), pair.with_suffix(".key")
    )


def render(paths: ClusterPaths, storage: Path) -> str:
    """Return the configuration of the registry (JSON, which is valid YAML).

    Args:
        paths: files of the cluster.
        storage: folder of the images, shared by all clusters of the user: an image is pushed once.
    """
    return json.dumps(
        {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(storage)}},
            "http": {"net": "unix", "addr": str(_socket(paths))},
        }
    )


def frontend(spec: ClusterSpec, paths: ClusterPaths) -> str:
    """Return the section of the edge's configuration that restricts access to the registry.

    Args:
        spec: specification of the cluster.
        paths: files of the cluster.
    """
    return f"""
listen registry
    bind {spec.registry} ssl crt "{paths.pki}/gateway.pem" ca-file "{paths.pki}/ca.crt" verify required
    acl node ssl_c_s_dn(cn) -m beg system:node:
    acl pusher ssl_c_s_dn(cn) -m str {REGISTRY_PUSHER}
    http-request deny if METH_DELETE
    http-request deny unless pusher or node METH_GET
    http-request set-header X-Forwarded-Proto https
    timeout client 300s
    timeout server 300s
    # The registry starts at the same time.
    retries 5
    retry-on conn-failure
    server registry "unix@{_socket(paths)}"
"""


def _socket(paths: ClusterPaths) -> Path:
    return paths.run / "registry.sock"
