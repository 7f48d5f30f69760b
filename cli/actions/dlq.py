"""Dead-letter operations, run by a Job in the cluster, where Kafka and its passwords are available.

They therefore work the same on the local and on an existing cluster, and the toolkit knows no event schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.actions.deployment_target import open_deployed_target
from cli.actions.kubernetes_jobs import KubernetesJobs
from infra.errors import EsqError
from infra.names import SERVICES_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.environment import Environment
    from infra.progress import ProgressReporter

TEMPLATE = "dlq"
JOB_TIMEOUT_SECONDS = 120.0


def run_dlq_job(environment: Environment, args: Sequence[str], progress: ProgressReporter) -> dict[str, Any]:
    """Run the dead-letter Job.

    Args:
        environment: the environment.
        args: action and ids.
        progress: reports the Job.

    Returns:
        The result of the program.

    Raises:
        EsqError: the Job failed; what it completed is in the message.
    """
    target = open_deployed_target(environment, progress)
    jobs = KubernetesJobs(target.kubeconfig, SERVICES_NAMESPACE)
    with progress.step("dead letters") as step:
        name = jobs.start(TEMPLATE, args=args)
        try:
            remedy = "Repeat the command; it is idempotent."
            result = jobs.wait(name, step, JOB_TIMEOUT_SECONDS, remedy=remedy)
        finally:
            jobs.delete(name, step)
        if result["succeeded"]:
            step.set_result(f"{result['total']}")
    if not result["succeeded"]:
        env = environment.name
        raise EsqError(
            "; ".join(result["problems"]),
            location=f"esq dlq {args[0]}",
            remedy=f"See `esq dlq list {env}` for dead letters, `esq status {env}` for outages.",
        )
    return result
