"""The way into an environment from outside: its edge, its authority, a caller for one company."""

from __future__ import annotations

import ssl
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from cli.actions.ground import look
from cli.actions.settings import credentials
from cli.edge import Edge
from infra.errors import EsqError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cli.environment import Environment
    from infra.credentials import ApplicationCredentials
    from infra.progress import ProgressReporter

TIMEOUT = httpx.Timeout(15.0, connect=3.0)
"""Seconds; an import may be silent for as long as the database takes to commit it."""


@dataclass(frozen=True)
class Doors:
    """The ways into an environment.

    Attributes:
        http: a client for its edge, shared by all callers.
        url: of the edge.
        authority: file of the CA that the edge is verified with.
        kubeconfig: of the cluster that it is on.
        keys: what tokens and callbacks are signed with.
    """

    http: httpx.Client
    url: str
    authority: Path
    kubeconfig: Path
    keys: ApplicationCredentials = field(repr=False)

    def edge(self, company: str, seconds: float) -> Edge:
        """Return a caller for `company` that gives up after `seconds`."""
        return Edge(self.http, self.keys.token_key, company, time.monotonic() + seconds)


@contextmanager
def open_doors(environment: Environment, steps: ProgressReporter) -> Iterator[Doors]:
    """Open the ways into an environment.

    Raises:
        EsqError: the environment was not deployed here.
        UsageError: its edge is not ours, so that its address is not known.
    """
    ground = look(environment, steps)
    if ground.cluster is None:
        raise UsageError(
            "the address of a given cluster's edge is not known",
            location="--kubeconfig",
            remedy="Campaigns can be sent to `local` for now.",
        )
    if not ground.cluster.ca.is_file():
        raise EsqError(
            f"`{environment.name}` is not there",
            location=str(ground.cluster.ca),
            remedy=f"Deploy it: `esq deploy {environment.name}`.",
        )
    keys = credentials(environment, ground.engine()).application
    context = ssl.create_default_context(cafile=str(ground.cluster.ca))
    with httpx.Client(base_url=ground.address, verify=context, timeout=TIMEOUT) as http:
        yield Doors(http, ground.address, ground.cluster.ca, ground.kubeconfig, keys)


@contextmanager
def through_the_edge(
    environment: Environment, company: str, seconds: float, steps: ProgressReporter
) -> Iterator[Edge]:
    """Open a caller for `company` that gives up after `seconds`; raises what `open_doors` does."""
    with open_doors(environment, steps) as doors:
        yield doors.edge(company, seconds)
