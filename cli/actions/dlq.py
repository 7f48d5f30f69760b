"""Dead letters asked about and settled by a job in the cluster, where Kafka and its passwords are.

So it works the same on the zones and on a cluster that was given, and the toolkit knows no event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.actions.backup import ground_of
from cli.actions.jobs import Jobs
from infra.errors import EsqError
from infra.names import SERVICES_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.environment import Environment
    from infra.progress import ProgressReporter

TEMPLATE = "dlq"
JOB_SECONDS = 120.0


def ask(environment: Environment, words: Sequence[str], steps: ProgressReporter) -> dict[str, Any]:
    """Run the job with `words`; return what it told.

    Raises:
        EsqError: it could not do it; nothing was settled that it does not say.
    """
    ground = ground_of(environment, steps)
    jobs = Jobs(ground.kubeconfig, SERVICES_NAMESPACE)
    with steps.step("dead letters") as step:
        name = jobs.start(TEMPLATE, words=words)
        try:
            told = jobs.follow(name, step, JOB_SECONDS, remedy="Repeat the command: nothing happens twice.")
        finally:
            jobs.remove(name)
        if told["good"]:
            step.set_result(f"{told['total']}")
    if not told["good"]:
        raise EsqError(
            "; ".join(told["faults"]),
            location=f"esq dlq {words[0]}",
            remedy=f"`esq dlq list {environment.name}` tells which there are, `esq status` who is away.",
        )
    return told
