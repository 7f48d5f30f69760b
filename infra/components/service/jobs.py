"""Jobs of the services: run at each deploy, or as a template on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
from pulumi_kubernetes.batch import v1 as batch
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta

from infra.components import workload
from infra.components.service import container_spec

if TYPE_CHECKING:
    from infra.components.service import ProgramArgs

MAX_RETRIES = 3
TRY_DEADLINE_SECONDS = 900
"""Timeout of one try. The longest is a migration: it waits 180 s for the database and may then take 600 s."""
JOB_DEADLINE_SECONDS = 2 * TRY_DEADLINE_SECONDS
"""Timeout of all tries together: two that hang, or all of them if they fail earlier."""
_AWAIT_SECONDS = JOB_DEADLINE_SECONDS + 60
"""The engine waits longer than the job may take, so that the job's own error is reported."""


class KubernetesJob(pulumi.ComponentResource):
    """A job that runs once for each combination of image and settings.

    Attributes:
        job: the Job; resources that depend on it wait for its completion.
    """

    job: batch.Job

    def __init__(self, args: ProgramArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("esq:services:DeployJob", args.name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        prerequisites = container_spec.declare_prerequisites(args, child)
        # A Job runs only once: its name has a digest, so a change of image or settings creates a new one.
        name = f"{args.name}-{container_spec.digest(args)[:8]}"
        self.job = batch.Job(
            name,
            metadata=workload.metadata(name, args.namespace, args.name),
            spec=_spec(args),
            opts=pulumi.ResourceOptions.merge(
                child,
                pulumi.ResourceOptions(
                    depends_on=prerequisites,
                    custom_timeouts=pulumi.CustomTimeouts(create=f"{_AWAIT_SECONDS}s"),
                ),
            ),
        )
        self.register_outputs({})


class KubernetesJobTemplate(pulumi.ComponentResource):
    """A suspended CronJob from which `esq` creates a Job on demand."""

    def __init__(self, args: ProgramArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("esq:services:JobTemplate", args.name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        prerequisites = container_spec.declare_prerequisites(args, child)
        batch.CronJob(
            args.name,
            metadata=workload.metadata(args.name, args.namespace),
            spec=batch.CronJobSpecArgs(
                # A schedule is required, although the CronJob is suspended.
                schedule="0 0 1 1 *",
                suspend=True,
                job_template=batch.JobTemplateSpecArgs(spec=_spec(args)),
            ),
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=prerequisites)),
        )
        self.register_outputs({})


def _spec(args: ProgramArgs) -> batch.JobSpecArgs:
    return batch.JobSpecArgs(
        backoff_limit=MAX_RETRIES,
        active_deadline_seconds=JOB_DEADLINE_SECONDS,
        template=core.PodTemplateSpecArgs(
            metadata=meta.ObjectMetaArgs(labels=workload.labels(args.name)),
            spec=core.PodSpecArgs(
                restart_policy="Never",
                active_deadline_seconds=TRY_DEADLINE_SECONDS,
                service_account_name=args.name,
                automount_service_account_token=False,
                enable_service_links=False,
                priority_class_name=workload.SERVICES_PRIORITY_CLASS,
                security_context=workload.restricted_pod_security(container_spec.UID),
                tolerations=workload.evict_from_lost_node(),
                containers=[container_spec.container(args)],
                volumes=container_spec.volumes(args),
            ),
        ),
    )
