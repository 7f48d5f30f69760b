"""Clients of a cluster's API server, from a kubeconfig."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import yaml
from kubernetes import client, config

if TYPE_CHECKING:
    from pathlib import Path

_LOCK = threading.Lock()
"""The library writes certificates of a kubeconfig into files that all clients of a process share, and names a
file before it has filled it: another thread may read half a certificate."""


def connect(kubeconfig: Path) -> client.ApiClient:
    """Return a client of its own for the caller; threads must not share one that also streams."""
    settings = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    with _LOCK:
        return config.new_client_from_config_dict(settings)
