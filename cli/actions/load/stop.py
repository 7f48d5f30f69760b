"""End of a load test: of a process of this machine, and of those that a cluster has."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from cli.actions.deployment_target import open_deployed_target
from cli.actions.kubernetes_jobs import KubernetesJobs
from cli.actions.load.active_run import active_load
from infra.errors import EsqError
from loadtests.in_cluster.cluster import LoadCluster

if TYPE_CHECKING:
    from pathlib import Path

    from cli.actions.load.active_run import ActiveLoad
    from cli.environment import Environment
    from infra.progress import ProgressReporter, ProgressStep

EXIT_TIMEOUT_SECONDS = 120.0
"""For an interrupted load test: it ends its generators, and an experiment, which undoes its faults."""
POLL_INTERVAL_SECONDS = 0.2


def stop_load(environment: Environment, progress: ProgressReporter) -> list[str]:
    """End every load test of an environment.

    Args:
        environment: the environment.
        progress: reports steps.

    Returns:
        What was ended, in words.

    Raises:
        EsqError: one did not end in time, or the cluster does not answer.
    """
    ended = []
    if load := active_load(environment):
        with progress.step(f"load test {load.scenario}") as step:
            interrupt(load, step)
        ended.append(str(load))
    target = open_deployed_target(environment, progress)
    return [*ended, *delete_runs(target.kubeconfig, progress)]


def interrupt(load: ActiveLoad, step: ProgressStep, timeout_seconds: float = EXIT_TIMEOUT_SECONDS) -> None:
    """Interrupt a load test as Ctrl-C does, and wait for its end.

    Args:
        load: the load test.
        step: progress step.
        timeout_seconds: longest wait in seconds.

    Raises:
        EsqError: its process did not end in time.
    """
    with suppress(ProcessLookupError):
        os.kill(load.owner.pid, signal.SIGINT)
    step.set_status(f"waiting for the end of process {load.owner.pid}")
    deadline = time.monotonic() + timeout_seconds
    while load.owner.is_alive:
        if time.monotonic() > deadline:
            raise EsqError(
                f"the load test {load} did not end within {timeout_seconds:g} s",
                location=f"process {load.owner.pid}",
                remedy=f"Kill it: `kill -KILL {load.owner.pid}`. Its generators end with it.",
            )
        time.sleep(POLL_INTERVAL_SECONDS)
    step.set_result("interrupted")


def delete_runs(kubeconfig: Path, progress: ProgressReporter) -> list[str]:
    """Delete the load tests that a cluster has, with all their objects.

    Args:
        kubeconfig: kubeconfig of the cluster.
        progress: reports steps.

    Returns:
        What was deleted, in words.

    Raises:
        EsqError: one still exists after a while, or the cluster does not answer.
    """
    cluster = LoadCluster(kubeconfig)
    jobs = KubernetesJobs(kubeconfig, cluster.namespace)
    runs = cluster.running()
    for run in runs:
        with progress.step(f"load test {run.scenario} in the cluster") as step:
            cluster.delete_secret(run.name)
            jobs.delete(run.name, step)
            step.set_result("deleted")
    return [str(run) for run in runs]
