"""Dead letters of the services.

The workers list them, each those of its service: they run already, and an answer takes less than a second.
Everything else is done by a Job in the cluster with the account of Kafka's administrator. Both work the same
on the local and on an existing cluster, and the toolkit knows no event schema.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from cli.actions.deployment_target import open_deployed_target
from cli.actions.kubernetes_jobs import KubernetesJobs
from infra.components.component_health import PodUnreachableError, query_first_reachable
from infra.components.pod_client import KubernetesPodClient
from infra.errors import EsqError
from infra.names import SERVICES_NAMESPACE
from services.contracts.endpoints import DEAD_LETTERS_PATH, HTTP_PORT
from services.contracts.topics import DEAD_LETTER_TOPICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.environment import Environment
    from infra.components.component_health import PodClient
    from infra.progress import ProgressReporter

TEMPLATE = "dlq"
JOB_TIMEOUT_SECONDS = 120.0
LIST_TIMEOUT_SECONDS = 30.0
"""For thousands of dead letters; a few take a fraction of a second."""


def list_dead_letters(environment: Environment, progress: ProgressReporter) -> dict[str, Any]:
    """Return the open dead letters of all services, their total, and the counts by consumer and topic.

    Args:
        environment: the environment.
        progress: reports steps.

    Raises:
        EsqError: no worker of a service answers.
    """
    target = open_deployed_target(environment, progress)
    pods = KubernetesPodClient(target.kubeconfig, SERVICES_NAMESPACE, timeout_seconds=LIST_TIMEOUT_SECONDS)
    services = sorted({topic.owner for topic in DEAD_LETTER_TOPICS})
    with ThreadPoolExecutor(len(services)) as pool:
        listed = list(pool.map(partial(_list_of_service, pods, environment.name), services))
    return {
        "total": sum(result["total"] for result in listed),
        "counts": [count for result in listed for count in result["counts"]],
        "dead_letters": [dead_letter for result in listed for dead_letter in result["dead_letters"]],
    }


def _list_of_service(pods: PodClient, environment: str, service: str) -> dict[str, Any]:
    worker = f"{service}-worker"
    try:
        answer = query_first_reachable(
            pods.list_pods(worker), lambda pod: pods.get(pod, HTTP_PORT, DEAD_LETTERS_PATH)
        )
    except PodUnreachableError as error:
        raise EsqError(
            f"no {worker} lists its dead letters",
            location=f"{SERVICES_NAMESPACE}/{worker}",
            remedy=f"See `esq status {environment}`; `esq dlq show {environment} {service}` needs no worker.",
            detail=error.message,
        ) from error
    return dict(json.loads(answer))


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
    target = open_deployed_target(environment, progress, use_copy=False)
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
