"""Triage of an environment: works with its control plane away, and with the tools of the engine not built."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from typing import TYPE_CHECKING

from cli.actions.deployment_target import open_target
from cli.actions.environment_context import DEADLINE_SECONDS, EnvironmentContext
from infra.cluster_identity import deployed_environment
from infra.daemon_calls import start
from infra.errors import EsqError
from runbooks.triage import diagnose
from runbooks.triage_record import store_diagnosis

if TYPE_CHECKING:
    from cli.environment import Environment
    from infra.progress import ProgressReporter
    from runbooks.triage import Diagnosis

TRIAGE_FOLDER = "triage"
"""Of the diagnoses, in the folder of an environment."""


def triage(environment: Environment, progress: ProgressReporter) -> Diagnosis:
    """Return what is wrong with an environment now, and keep it for the timelines of incidents.

    Args:
        environment: the environment.
        progress: reports builds of tools.

    Raises:
        EsqError: the environment is not deployed, or its cluster holds another one.
    """
    target = open_target(environment, progress)
    if not target.kubeconfig.is_file():
        raise not_deployed(environment, str(target.kubeconfig))
    owner = start(deployed_environment, target.kubeconfig)
    diagnosis = diagnose(EnvironmentContext(target, deadline_seconds=DEADLINE_SECONDS))
    # A cluster that does not answer cannot say whose it is, and is what a triage is for.
    if owner.done() and owner.exception() is None and owner.result() != environment.name:
        raise not_deployed(environment, str(target.kubeconfig))
    with suppress(OSError):  # a full disk must not hide the diagnosis that tells of it
        store_diagnosis(environment.folder / TRIAGE_FOLDER, diagnosis, dt.datetime.now(dt.UTC))
    return diagnosis


def not_deployed(environment: Environment, location: str) -> EsqError:
    """Return the error of an environment that its cluster does not hold.

    Args:
        environment: the environment.
        location: its kubeconfig.
    """
    return EsqError(
        f"`{environment.name}` is not deployed",
        location=location,
        remedy=f"Deploy it: `esq deploy {environment.name}`; if lost: `esq recover {environment.name}`.",
    )
