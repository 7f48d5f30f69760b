"""A job that the services need done before they start, and one that waits to be asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi_kubernetes.batch import v1 as batch
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta

from infra.components import workload as work
from infra.components.service import program

if TYPE_CHECKING:
    from infra.components.service import ProgramArgs

DEADLINE_SECONDS = 300
"""For all tries together; the jobs themselves wait for what they need."""
RETRIES = 3


class KubernetesJob(pulumi.ComponentResource):
    """A job, run once for each combination of image and settings.

    Attributes:
        job: the Job; whoever depends on it waits for its end.
    """

    job: batch.Job

    def __init__(self, args: ProgramArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("esq:services:Task", args.name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        needs = program.ground(args, child)
        # A Job never runs twice: with another image or other settings it has another name and is another Job.
        name = f"{args.name}-{program.digest(args)[:8]}"
        self.job = batch.Job(
            name,
            metadata=work.metadata(name, args.namespace, args.name),
            spec=_spec(args),
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=needs)),
        )
        self.register_outputs({})


class KubernetesTemplate(pulumi.ComponentResource):
    """A job that nothing starts: a suspended CronJob, of which `esq` makes a Job when it is needed."""

    def __init__(self, args: ProgramArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("esq:services:Template", args.name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        needs = program.ground(args, child)
        batch.CronJob(
            args.name,
            metadata=work.metadata(args.name, args.namespace),
            spec=batch.CronJobSpecArgs(
                # It has to name a time, though none comes.
                schedule="0 0 1 1 *",
                suspend=True,
                job_template=batch.JobTemplateSpecArgs(spec=_spec(args)),
            ),
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=needs)),
        )
        self.register_outputs({})


def _spec(args: ProgramArgs) -> batch.JobSpecArgs:
    return batch.JobSpecArgs(
        backoff_limit=RETRIES,
        active_deadline_seconds=DEADLINE_SECONDS,
        template=core.PodTemplateSpecArgs(
            metadata=meta.ObjectMetaArgs(labels=work.labels(args.name)),
            spec=core.PodSpecArgs(
                restart_policy="Never",
                service_account_name=args.name,
                automount_service_account_token=False,
                enable_service_links=False,
                priority_class_name=work.NORMAL,
                security_context=work.confined_pod(program.UID),
                tolerations=work.leave_lost_nodes(),
                containers=[program.container(args)],
                volumes=program.volumes(args),
            ),
        ),
    )
