"""Authenticated HTTP access to a deployed environment from outside: edge, certificate authority, client."""

from __future__ import annotations

import ssl
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from cli.actions.deployment_target import open_deployed_target
from cli.actions.stack_config import load_credentials
from cli.platform_client import PlatformClient
from infra.errors import EsqError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cli.environment import Environment
    from infra.credentials import ApplicationCredentials
    from infra.progress import ProgressReporter

HTTP_TIMEOUT = httpx.Timeout(15.0, connect=3.0)
"""Seconds; an import sends no response until the database has committed it."""


@dataclass(frozen=True)
class PlatformAccess:
    """Access to an environment.

    Attributes:
        environment: name of the environment.
        http: HTTP client for its edge, shared by all companies.
        url: URL of the edge.
        ca_file: certificate authority of the edge; None for the ones that this machine trusts.
        kubeconfig: kubeconfig of its cluster.
        credentials: keys that sign tokens and webhooks.
        read_token_key: returns the key of bearer tokens that is used now.
        push_load_image: returns the reference of the image of the load generators; builds and pushes it for
            the local cluster.
    """

    environment: str
    http: httpx.Client
    url: str
    ca_file: Path | None
    kubeconfig: Path
    credentials: ApplicationCredentials = field(repr=False)
    read_token_key: Callable[[], str]
    push_load_image: Callable[[], str]

    def client_for(self, company: str, timeout_seconds: float) -> PlatformClient:
        """Return a client for one company.

        Args:
            company: tenant of all requests.
            timeout_seconds: deadline of the client, from now.
        """
        deadline = time.monotonic() + timeout_seconds
        return PlatformClient(
            self.http,
            self.credentials.token_key,
            company,
            deadline,
            environment=self.environment,
            read_token_key=self.read_token_key,
        )


def require_simulator(environment: Environment) -> None:
    """Require that messages go to the simulator: a test must not reach people.

    Raises:
        UsageError: the environment sends messages to WhatsApp.
    """
    if not environment.definition.simulator:
        raise UsageError(
            f"`{environment.name}` sends to WhatsApp, not to the simulator, whose ledger is required",
            location=f"{environment.name}.yaml: simulator",
            remedy="Use an environment with `simulator: true`.",
        )


@contextmanager
def open_platform(environment: Environment, progress: ProgressReporter) -> Iterator[PlatformAccess]:
    """Open access to an environment.

    Args:
        environment: the environment.
        progress: reports steps.

    Yields:
        The access.

    Raises:
        EsqError: the environment is not deployed from this machine.
        UsageError: existing cluster without a public address.
    """
    target = open_deployed_target(environment, progress)
    ca = target.edge_ca
    if not target.address:
        raise UsageError(
            f"the address of `{environment.name}` is unknown",
            location=f"{environment.name}.yaml: public_address",
            remedy="Name the URL of the load balancer in front of the platform.",
        )
    if ca is not None and not ca.is_file():
        raise EsqError(
            f"`{environment.name}` is not deployed",
            location=str(ca),
            remedy=f"Deploy it: `esq deploy {environment.name}`.",
        )

    def read_credentials() -> ApplicationCredentials:
        return load_credentials(target.engine()).application

    credentials = read_credentials()
    context = ssl.create_default_context(cafile=str(ca) if ca else None)
    with httpx.Client(base_url=target.address, verify=context, timeout=HTTP_TIMEOUT) as http:
        yield PlatformAccess(
            *(environment.name, http, target.address),
            *(ca, target.kubeconfig),
            credentials=credentials,
            read_token_key=lambda: read_credentials().token_key,
            push_load_image=lambda: target.push_load_image(progress),
        )


@contextmanager
def open_platform_client(
    environment: Environment, company: str, timeout_seconds: float, progress: ProgressReporter
) -> Iterator[PlatformClient]:
    """Open a client for one company.

    Args:
        environment: the environment.
        company: tenant of all requests.
        timeout_seconds: deadline of the client, from now.
        progress: reports steps.

    Yields:
        The client.

    Raises:
        EsqError: see `open_platform`.
    """
    with open_platform(environment, progress) as access:
        yield access.client_for(company, timeout_seconds)
