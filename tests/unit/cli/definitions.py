"""Definitions of environments, written as files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = "sha256:" + "0" * 64
IMAGES = ("postgres", "redis", "kafka", "garage", "services")
STAGING: dict[str, Any] = {
    "cluster": {"kubeconfig": "kubeconfig", "context": "staging"},
    "zones": ["eu-1a", "eu-1b", "eu-1c"],
    "storage_class": "gp3",
    "images": {name: f"registry.example/esq/{name}@{DIGEST}" for name in IMAGES},
}
KUBECONFIG: dict[str, Any] = {
    "current-context": "other",
    "clusters": [{"name": name, "cluster": {"server": f"https://{name}.example"}} for name in ("one", "two")],
    "users": [{"name": "admin", "user": {"client-certificate": "admin.crt", "client-key": "/etc/admin.key"}}],
    "contexts": [
        {"name": "staging", "context": {"cluster": "one", "user": "admin"}},
        {"name": "other", "context": {"cluster": "two", "user": "admin"}},
    ],
}


def write_definition(folder: Path, name: str, **changes: Any) -> Path:
    """Write the definition of an environment and its kubeconfig; return the path of the definition.

    Args:
        folder: folder of the definitions.
        name: name of the environment.
        changes: fields that differ from `STAGING`.
    """
    (folder / "kubeconfig").write_text(yaml.safe_dump(KUBECONFIG))
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump({**STAGING, **changes}))
    return file
