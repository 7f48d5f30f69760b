"""Checks of the public endpoints of an environment through its edge."""

from __future__ import annotations

import ssl
from functools import partial
from typing import TYPE_CHECKING

import httpx

from infra.daemon_calls import call_all
from infra.environment_health import EndpointCheck

if TYPE_CHECKING:
    from cli.actions.deployment_target import DeploymentTarget


def check(target: DeploymentTarget, timeout_seconds: float) -> tuple[EndpointCheck, ...]:
    """Send a request to every public endpoint; any response of a service shows that it serves.

    Args:
        target: the deployment target.
        timeout_seconds: timeout of each request, to connect and of each read.

    Returns:
        A check per endpoint, in order; none for an edge without an address.
    """
    ca = target.edge_ca
    if not target.address or (ca is not None and not ca.is_file()):
        return ()
    processes = target.environment.definition.processes
    endpoints = [process.public_endpoint for process in processes if process.public_endpoint]
    paths = [prefix for endpoint in endpoints for prefix in endpoint.path_prefixes]
    context = ssl.create_default_context(cafile=str(ca) if ca else None)
    calls = call_all(
        {path: partial(_problem, target.address + path, context, timeout_seconds) for path in paths},
        2 * timeout_seconds,
    )
    return tuple(
        EndpointCheck(path, call.result() if call.done() else "no answer in time")
        for path, call in calls.items()
    )


def _problem(url: str, context: ssl.SSLContext, timeout_seconds: float) -> str:
    try:
        response = httpx.get(url, verify=context, timeout=timeout_seconds)
    except httpx.HTTPError as error:
        return f"{type(error).__name__}: {error}"
    failed = response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR
    return f"status {response.status_code}" if failed else ""
