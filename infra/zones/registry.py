"""The image registry of the nodes: Debian's docker-registry on the bridge address, over TLS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from infra.zones.paths import ClusterPaths
    from infra.zones.spec import ClusterSpec


def render(spec: ClusterSpec, paths: ClusterPaths, storage: Path) -> str:
    """Return its configuration (JSON, which is valid YAML).

    Args:
        spec: the cluster.
        paths: its files.
        storage: folder of the images, shared by all clusters of the user: an image is pushed once.
    """
    return json.dumps(
        {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(storage)}, "delete": {"enabled": True}},
            "http": {
                "addr": spec.registry,
                "tls": {
                    "certificate": str(paths.pki / "gateway.crt"),
                    "key": str(paths.pki / "gateway.key"),
                    "minimumtls": "tls1.2",
                },
            },
        }
    )
