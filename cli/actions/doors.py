"""The way into an environment from outside: its edge, its authority, a caller for one company."""

from __future__ import annotations

import ssl
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from cli.actions.ground import look
from cli.actions.settings import credentials
from cli.edge import Edge
from infra.errors import EsqError, WrongUseError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.environment import Environment
    from infra.steps import Steps

TIMEOUT = httpx.Timeout(15.0, connect=3.0)
"""Seconds; an import may be silent for as long as the database takes to commit it."""


@contextmanager
def through_the_edge(environment: Environment, company: str, seconds: float, steps: Steps) -> Iterator[Edge]:
    """Open a caller for `company` that gives up after `seconds`.

    Raises:
        EsqError: the environment was not deployed here.
        WrongUseError: its edge is not ours, so that its address is not known.
    """
    ground = look(environment, steps)
    if ground.cluster is None:
        raise WrongUseError(
            "the address of a given cluster's edge is not known",
            where="--kubeconfig",
            remedy="Campaigns can be sent to `local` for now.",
        )
    if not ground.cluster.ca.is_file():
        raise EsqError(
            f"`{environment.name}` is not there",
            where=str(ground.cluster.ca),
            remedy=f"Deploy it: `esq deploy {environment.name}`.",
        )
    key = credentials(environment, ground.engine()).application.token_key
    context = ssl.create_default_context(cafile=str(ground.cluster.ca))
    with httpx.Client(base_url=ground.address, verify=context, timeout=TIMEOUT) as http:
        yield Edge(http, key, company, time.monotonic() + seconds)
