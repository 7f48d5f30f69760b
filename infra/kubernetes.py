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
"""The library writes the certificates of a kubeconfig into files that all clients of a process share, and
registers a file before it is complete: another thread could read a partial certificate."""


def api_client(kubeconfig: Path) -> client.ApiClient:
    """Return a new client; threads must not share a client that also streams."""
    settings = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    with _LOCK:
        return config.new_client_from_config_dict(settings)


def get_json(api: client.ApiClient, path: str, timeout: float) -> dict[str, Any]:
    """Return the JSON response to a GET.

    For frequent polling: the library's own models take six times the CPU.

    Args:
        api: the client.
        path: path on the API server.
        timeout: timeout in seconds.

    Raises:
        ApiException: the API server rejects the request.
        HTTPError: no response within the timeout.
    """
    response, _, _ = api.call_api(
        *(path, "GET"),
        auth_settings=["BearerToken"],
        _preload_content=False,
        # To connect and to read. The library ignores a single float.
        _request_timeout=(timeout, timeout),
    )
    return dict(json.loads(response.data))


def get_or_none(call: Callable[[], Any]) -> Any:  # noqa: ANN401 - the client has no types
    """Return the result of an API call; None if the object does not exist (404).

    Raises:
        EsqError: the API server rejects the request or is unreachable.
    """
    try:
        return call()
    except (ApiException, HTTPError) as error:
        if getattr(error, "status", None) == _NOT_FOUND:
            return None
        raise to_esq_error(error) from error


def to_esq_error(error: Exception) -> EsqError:
    """Return an error of the client as an `EsqError`."""
    return EsqError(
        "a request to the API server failed",
        location="Kubernetes API",
        remedy="See `esq status ENV`, fix the problem and repeat the command; it continues where it stopped.",
        detail=str(error)[:500],
    )
