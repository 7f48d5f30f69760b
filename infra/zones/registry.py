"""The registry that nodes pull from: Debian's docker-registry on the bridge address, over TLS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from infra.zones.paths import ClusterPaths
    from infra.zones.spec import ClusterSpec


def render(spec: ClusterSpec, paths: ClusterPaths, storage: Path) -> str:
    """Return its configuration (YAML, of which JSON is a part).

    Args:
        spec: the cluster.
        layout: its files.
        storage: folder of the images, shared by all clusters of the user, so that an image is pushed once.
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
