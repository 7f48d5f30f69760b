"""Configuration of the gateway of the observability layer."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import yaml

from infra.components.observability import ACCOUNT, PATHS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def render_gateway(backends: Mapping[str, Sequence[str]], token: str, password: str) -> str:
    """Return the configuration of vmauth: one user, and a path for each part.

    Args:
        backends: URLs of the servers of each part, by a key of `PATHS`; the first one that answers is used.
        token: bearer token that clients send.
        password: password of the account on the servers.
    """
    login = base64.b64encode(f"{ACCOUNT}:{password}".encode()).decode()
    routes = [
        {
            "src_paths": [f"{PATHS[part]}/.*"],
            "drop_src_path_prefix_parts": 1,
            "url_prefix": list(urls),
            "load_balancing_policy": "first_available",
            "retry_status_codes": [502, 503, 504],
            "headers": [f"Authorization: Basic {login}"],
        }
        for part, urls in backends.items()
    ]
    document = {"users": [{"bearer_token": token, "url_map": routes}]}
    return str(yaml.safe_dump(document, sort_keys=False, width=1000))
