"""Clients of a cluster's API server: every request has a timeout, and safe ones are repeated for a while.

All of `esq` uses `api_client`. Its requests raise `ApiException` when the API server rejects them, and
`UnreachableError` when there is no response. Waits that last longer than a request use `infra.waiting`.
"""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Any, NoReturn

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from infra.errors import EsqError, UnreachableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

TIMEOUT_SECONDS = 10.0
"""Timeout to connect, and of each read of a response."""
RETRY_SECONDS = 30.0
"""No attempt starts later than this after the first one: enough for the restart of an API server."""
API_ERRORS = (ApiException, UnreachableError)
"""All errors of a request."""

_MAX_CONNECTIONS = 64
"""Connections that a client keeps: all parts of a status are read at the same time."""
_MIN_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 0.25, 4.0
_MAX_RETRY_AFTER_SECONDS = 10.0
_NO_RESPONSE, _NOT_FOUND, _TOO_MANY_REQUESTS = 0, 404, 429
_TRANSIENT_STATUSES = frozenset({500, 502, 503, 504})
_IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})

_LOCK = threading.Lock()
"""The library writes the certificates of a kubeconfig into files that all clients of a process share, and
registers a file before it is complete: another thread could read a partial certificate."""
_CONFIGURATIONS: dict[tuple[Path, int], client.Configuration] = {}
"""By kubeconfig and its time of modification. Loading one may run a program that returns a token; the library
runs it again when the token expires."""


class RetryingApiClient(client.ApiClient):  # type: ignore[misc]  # the client has no types
    """API client with a timeout for every request and retries of the safe ones.

    Safe is what was never sent (no connection) or not handled (429), and what has the same effect when it is
    repeated.
    Threads may share a client unless one uses `kubernetes.stream`, which replaces a method while it runs.

    Args:
        configuration: address and credentials of the API server.
        timeout_seconds: timeout to connect, and of each read.
        retry_seconds: time after which no further attempt starts; 0 for a single attempt.
    """

    def __init__(
        self, configuration: client.Configuration, *, timeout_seconds: float, retry_seconds: float
    ) -> None:
        super().__init__(configuration)
        self._timeout_seconds = timeout_seconds
        self._retry_seconds = retry_seconds

    def request(self, method: str, url: str, **arguments: Any) -> Any:  # noqa: ANN401 - no types
        """Send a request.

        Args:
            method: HTTP method.
            url: URL.
            arguments: those of the library's own method; `_request_timeout` replaces the timeout.

        Returns:
            The response.

        Raises:
            ApiException: the API server rejects the request.
            UnreachableError: no response.
        """
        # The library ignores a single float.
        timeout = arguments.get("_request_timeout") or self._timeout_seconds
        arguments["_request_timeout"] = timeout if isinstance(timeout, tuple) else (timeout, timeout)
        deadline, backoff = time.monotonic() + self._retry_seconds, _MIN_BACKOFF_SECONDS
        while True:
            try:
                return super().request(method, url, **arguments)
            except (ApiException, HTTPError) as error:
                delay = max(backoff * random.uniform(0.5, 1), _retry_after(error))  # noqa: S311 - jitter
                is_safe = _is_safe_to_repeat(error, method, arguments.get("body"))
                if not is_safe or time.monotonic() + delay > deadline:
                    _raise_error(error)
            time.sleep(delay)
            backoff = min(2 * backoff, _MAX_BACKOFF_SECONDS)


def api_client(
    kubeconfig: Path,
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
    retry_seconds: float = RETRY_SECONDS,
) -> RetryingApiClient:
    """Return a new client; the kubeconfig is read once for all of them.

    Args:
        kubeconfig: path of the kubeconfig.
        timeout_seconds: timeout to connect, and of each read.
        retry_seconds: time after which no further attempt starts; 0 for a single attempt.

    Raises:
        UsageError: there is no kubeconfig, or it is invalid.
    """
    return RetryingApiClient(
        _configuration(kubeconfig), timeout_seconds=timeout_seconds, retry_seconds=retry_seconds
    )


def _configuration(kubeconfig: Path) -> client.Configuration:
    try:
        key = (kubeconfig, kubeconfig.stat().st_mtime_ns)
        with _LOCK:
            if key not in _CONFIGURATIONS:
                configuration = client.Configuration()
                # Retries are those of the client; the ones of urllib3 have no delays.
                configuration.retries = False
                configuration.connection_pool_maxsize = _MAX_CONNECTIONS
                config.load_kube_config(
                    str(kubeconfig), client_configuration=configuration, persist_config=False
                )
                _CONFIGURATIONS[key] = configuration
            return _CONFIGURATIONS[key]
    except (OSError, config.ConfigException) as error:
        raise UsageError(
            "the kubeconfig cannot be used",
            location=str(kubeconfig),
            remedy="Correct it, and check it with `kubectl get nodes`.",
            detail=str(error),
        ) from error


def _is_safe_to_repeat(error: Exception, method: str, body: object) -> bool:
    if isinstance(error, NewConnectionError | ConnectTimeoutError):
        return True
    # A patch that is a list of operations may not have the same effect twice; the other kinds state values.
    is_idempotent = method in _IDEMPOTENT_METHODS or (method == "PATCH" and not isinstance(body, list))
    if not isinstance(error, ApiException):
        return is_idempotent
    if error.status == _NO_RESPONSE:
        # An error of TLS, perhaps after the request was sent; repetition makes no certificate valid.
        return is_idempotent and "CERTIFICATE_VERIFY_FAILED" not in str(error.reason)
    return error.status == _TOO_MANY_REQUESTS or (is_idempotent and error.status in _TRANSIENT_STATUSES)


def _retry_after(error: Exception) -> float:
    seconds = (getattr(error, "headers", None) or {}).get("Retry-After") or "0"
    return min(float(seconds), _MAX_RETRY_AFTER_SECONDS) if seconds.isdecimal() else 0.0


def _raise_error(error: Exception) -> NoReturn:
    """Raise the error of a request: an `ApiException` if there was a response."""
    if getattr(error, "status", _NO_RESPONSE) != _NO_RESPONSE:
        raise error
    raise to_esq_error(error) from error


def get_json(api: client.ApiClient, path: str) -> dict[str, Any]:
    """Return the JSON response to a GET.

    For frequent polling: the library's own models take six times the CPU.

    Args:
        api: the client.
        path: path on the API server, with its query.

    Raises:
        ApiException: the API server rejects the request.
        UnreachableError: no response.
    """
    return dict(_call(api, "GET", path, response_type="object"))


def get_text(api: client.ApiClient, path: str) -> str:
    """Return the text of a response to a GET; the library would parse a log that looks like JSON.

    Args:
        api: the client.
        path: path on the API server, with its query.

    Raises:
        ApiException: the API server rejects the request.
        UnreachableError: no response.
    """
    return send(api, "GET", path)


def send(  # noqa: PLR0913 - one per part of a request
    api: client.ApiClient,
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    body: object = None,
) -> str:
    """Send a request, e.g. through the proxy of the API server, and return the text of the response.

    Args:
        api: the client.
        method: HTTP method.
        path: path on the API server.
        query: parameters of the query.
        headers: further headers; the API server passes on all but `Authorization`.
        body: value that is sent as JSON.

    Raises:
        ApiException: the request is rejected.
        UnreachableError: no response.
    """
    response = _call(
        api,
        method,
        path,
        query_params=list((query or {}).items()),
        header_params={**(headers or {}), **({} if body is None else {"Content-Type": "application/json"})},
        body=body,
        _preload_content=False,
    )
    try:
        return bytes(response.data).decode(errors="replace")
    except HTTPError as error:
        raise to_esq_error(error) from error


def _call(api: client.ApiClient, method: str, path: str, **options: Any) -> Any:  # noqa: ANN401 - no types
    return api.call_api(path, method, auth_settings=["BearerToken"], _return_http_data_only=True, **options)


def get_or_none(call: Callable[[], Any]) -> Any:  # noqa: ANN401 - the client has no types
    """Return the result of an API call; None if the object does not exist (404).

    Raises:
        EsqError: the API server rejects the request.
        UnreachableError: no response, or the API server cannot answer for now.
    """
    try:
        return call()
    except ApiException as error:
        if error.status == _NOT_FOUND:
            return None
        raise to_esq_error(error) from error


def to_esq_error(error: Exception) -> EsqError:
    """Return an error of the client as an `EsqError`; `UnreachableError` if a later attempt may succeed."""
    status = getattr(error, "status", _NO_RESPONSE)
    if status in {_NO_RESPONSE, _TOO_MANY_REQUESTS, *_TRANSIENT_STATUSES}:
        return UnreachableError(
            "the API server does not answer"
            if status == _NO_RESPONSE
            else f"the API server answers {status}",
            location="Kubernetes API",
            remedy="Check the cluster (`esq cluster status` for the local one) and repeat the command; "
            "it continues where it stopped.",
            detail=str(error)[:500],
        )
    return EsqError(
        "the API server rejects a request",
        location="Kubernetes API",
        remedy="See `esq status ENV`, fix the problem and repeat the command; it continues where it stopped.",
        detail=str(error)[:500],
    )
