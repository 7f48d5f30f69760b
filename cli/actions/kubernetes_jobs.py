"""Kubernetes Jobs that are created on demand from the templates of the layers, and their results."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from infra.errors import EsqError, UsageError
from infra.kubernetes import API_ERRORS, api_client, get_or_none, get_text, to_esq_error
from infra.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from infra.progress import ProgressStep

DELETION_TIMEOUT_SECONDS = 120.0
"""For a deleted Job and its pods; longer than the termination grace period of any pod."""
_CONFLICT = 409
_ENDS = ("Complete", "Failed")
"""Conditions of a Job that has ended."""
_LOG_TAIL_LINES = 40


@dataclass(frozen=True)
class KubernetesJobs:
    """Jobs in one namespace of a cluster.

    Attributes:
        kubeconfig: kubeconfig of the cluster.
        namespace: namespace of templates and Jobs.
    """

    kubeconfig: Path
    namespace: str

    @cached_property
    def _client(self) -> client.ApiClient:
        return api_client(self.kubeconfig)

    @cached_property
    def _batch(self) -> client.BatchV1Api:
        return client.BatchV1Api(self._client)

    @cached_property
    def _core(self) -> client.CoreV1Api:
        return client.CoreV1Api(self._client)

    def start(self, template: str, *, name: str = "", args: Sequence[str] = ()) -> str:
        """Create a Job from a template.

        Args:
            template: name of the CronJob.
            name: name of the Job; generated when empty.
            args: arguments of the program; those of the template when empty.

        Returns:
            The name of the Job.

        Raises:
            EsqError: there is no such template, or the API server rejects the Job or is unreachable.
            UsageError: a Job of this name exists already.
        """
        job_name = name or f"{template}-{time.strftime('%H%M%S', time.gmtime())}"
        cron_job = get_or_none(lambda: self._batch.read_namespaced_cron_job(template, self.namespace))
        if cron_job is None:
            raise EsqError(
                f"no Job template `{template}` in this environment",
                location=f"namespace {self.namespace}",
                remedy="Deploy this version first: `esq deploy ENV`.",
            )
        spec = self._client.sanitize_for_serialization(cron_job.spec.job_template.spec)
        if args:
            spec["template"]["spec"]["containers"][0]["args"] = list(args)
        labels = self._client.sanitize_for_serialization(cron_job.metadata.labels)
        body = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": job_name, "labels": labels},
            "spec": spec,
        }
        try:
            self._batch.create_namespaced_job(self.namespace, body)
        except ApiException as error:
            if error.status == _CONFLICT:
                raise UsageError(
                    f"a Job `{job_name}` exists already",
                    location=self.namespace,
                    remedy="Wait until it ends, or delete it.",
                ) from error
            raise to_esq_error(error) from error
        return job_name

    def wait(self, name: str, step: ProgressStep, timeout_seconds: float, *, remedy: str) -> dict[str, Any]:
        """Wait until a Job ends: it is complete, or has used up its tries or its time.

        Args:
            name: name of the Job.
            step: shows the try and the status of its pod.
            timeout_seconds: limit of the wait, for all tries.
            remedy: next step for the user when the Job fails.

        Returns:
            The result of its program.

        Raises:
            EsqError: the Job did not end in time, or has no result; with the end of its log.
        """
        end = wait_for(partial(self._end, name, step), step, timeout_seconds)
        if end is None:
            message = f"{name} did not end within {timeout_seconds:g} s; it continues in the cluster"
        elif (result := self.result(name)) is not None:
            return result
        else:
            message = f"{name} ended without a result: {end}"
        raise EsqError(message, location=f"job {self.namespace}/{name}", remedy=remedy, detail=self.log(name))

    def _end(self, name: str, step: ProgressStep) -> str | None:
        """Return how a Job ended; None while it has not. A failed pod is not the end: it may be retried."""
        job = get_or_none(lambda: self._batch.read_namespaced_job_status(name, self.namespace))
        if job is None:
            return "it was deleted"
        for condition in job.status.conditions or []:
            if condition.type in _ENDS and condition.status == "True":
                return ": ".join(filter(None, (condition.type, condition.reason, condition.message)))
        step.set_status(self._progress(name, job))
        return None

    def _progress(self, name: str, job: client.V1Job) -> str:
        pod = self.latest_pod(name)
        status = f"pod {pod.metadata.name}: {pod.status.phase.lower()}" if pod else "its pod"
        tries = job.spec.backoff_limit + 1
        return status if tries == 1 else f"try {(job.status.failed or 0) + 1} of {tries}, {status}"

    def latest_pod(self, name: str) -> Any:  # noqa: ANN401 - the client has no types
        """Return the newest pod of a Job; None when there is none."""
        selector = f"job-name={name}"
        pod_list = get_or_none(
            lambda: self._core.list_namespaced_pod(self.namespace, label_selector=selector)
        )
        pods = sorted(
            pod_list.items if pod_list else [], key=lambda pod: str(pod.metadata.creation_timestamp)
        )
        return pods[-1] if pods else None

    def delete(self, name: str, step: ProgressStep) -> bool:
        """Delete a Job with its pods.

        Args:
            name: name of the Job.
            step: shows an outage.

        Returns:
            Whether it existed.

        Raises:
            EsqError: it still exists after `DELETION_TIMEOUT_SECONDS`.
        """
        policy = client.V1DeleteOptions(propagation_policy="Foreground")
        deleted = get_or_none(lambda: self._batch.delete_namespaced_job(name, self.namespace, body=policy))

        def gone() -> bool | None:
            job = get_or_none(lambda: self._batch.read_namespaced_job(name, self.namespace))
            return True if job is None else None

        if wait_for(gone, step, DELETION_TIMEOUT_SECONDS) is None:
            raise EsqError(
                f"{name} was not deleted within {DELETION_TIMEOUT_SECONDS:g} s",
                location=f"job {self.namespace}/{name}",
                remedy="Check what blocks its pod, then repeat the command.",
            )
        return deleted is not None

    def log(self, name: str) -> str:
        """Return the last lines of a Job's log; empty when there are none."""
        pod = self.latest_pod(name)
        if pod is None:
            return ""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod.metadata.name}/log?tailLines={_LOG_TAIL_LINES}"
        try:
            return get_text(self._client, path)
        except API_ERRORS:
            return ""

    def result(self, name: str) -> dict[str, Any] | None:
        """Return the result of a Job's program, from its termination message; None without one."""
        pod = self.latest_pod(name)
        for container in (pod.status.container_statuses or []) if pod else []:
            if container.state.terminated is None or not container.state.terminated.message:
                continue
            try:
                return dict(json.loads(container.state.terminated.message))
            except ValueError:
                # Kubernetes truncates long messages; the log has the whole result.
                return _last_json(self.log(name))
        return None


def _last_json(log: str) -> dict[str, Any] | None:
    for line in reversed(log.splitlines()):
        try:
            return dict(json.loads(line))
        except ValueError:
            continue
    return None
