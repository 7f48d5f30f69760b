"""Clients of a cluster's API server, from a kubeconfig."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_NOT_FOUND = 404

_LOCK = threading.Lock()
"""The library writes certificates of a kubeconfig into files that all clients of a process share, and names a
file before it has filled it: another thread may read half a certificate."""


def connect(kubeconfig: Path) -> client.ApiClient:
    """Return a client of its own for the caller; threads must not share one that also streams."""
    settings = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    with _LOCK:
        return config.new_client_from_config_dict(settings)


def read(api: client.ApiClient, path: str, seconds: float) -> dict[str, Any]:
    """Return what is at a path of the API server, as JSON.

    For whoever looks often: the library's own models cost six times as much.

    Raises:
        ApiException: the API server refused.
        HTTPError: it did not answer within `seconds`.
    """
    auth = ["BearerToken"]
    answer, _, _ = api.call_api(
        path, "GET", auth_settings=auth, _preload_content=False, _request_timeout=seconds
    )
    return dict(json.loads(answer.data))


def ask(call: Callable[[], Any]) -> Any:  # noqa: ANN401 - the client has no types
    """Return the answer of the API server; None when there is no such thing.

    Raises:
        EsqError: it refused, or was not there.
    """
    try:
        return call()
    except (ApiException, HTTPError) as error:
        if getattr(error, "status", None) == _NOT_FOUND:
            return None
        raise refusal(error) from error


def refusal(error: Exception) -> EsqError:
    """Return what to tell of an error of the client."""
    return EsqError(
        "the cluster does not answer as it should",
        location="Kubernetes API",
        remedy="See `esq status ENV`, put it right and repeat the command; it goes on from here.",
        detail=str(error)[:500],
    )
