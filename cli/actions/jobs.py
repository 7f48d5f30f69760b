"""Jobs made by hand from the templates that the layers declare, followed until they end."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from infra.errors import EsqError, UsageError
from infra.kubernetes import ask, connect, refusal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from infra.progress import ProgressStep

TIMEOUT = 10.0
PAUSE = 0.5
GONE_SECONDS = 120.0
"""For a removed Job and its pods; longer than any pod may take to end."""
_CONFLICT = 409
_TAIL = 40


@dataclass(frozen=True)
class Jobs:
    """Jobs in one namespace of a cluster.

    Attributes:
        kubeconfig: of the cluster.
        namespace: of templates and jobs.
    """

    kubeconfig: Path
    namespace: str

    @cached_property
    def _client(self) -> client.ApiClient:
        return connect(self.kubeconfig)

    @cached_property
    def _batch(self) -> client.BatchV1Api:
        return client.BatchV1Api(self._client)

    @cached_property
    def _core(self) -> client.CoreV1Api:
        return client.CoreV1Api(self._client)

    def start(self, template: str, *, name: str = "", words: Sequence[str] = ()) -> str:
        """Make a Job of a template; return its name.

        Args:
            template: name of the CronJob.
            name: of the Job; one of its own when empty.
            words: arguments of the program, instead of the template's.

        Raises:
            EsqError: there is no such template.
            UsageError: there is a Job of that name already.
        """
        called = name or f"{template}-{time.strftime('%H%M%S', time.gmtime())}"
        found = ask(lambda: self._batch.read_namespaced_cron_job(template, self.namespace))
        if found is None:
            raise EsqError(
                f"there is no `{template}` in this environment",
                location=f"namespace {self.namespace}",
                remedy="Deploy this version first: `esq deploy ENV`.",
            )
        spec = self._client.sanitize_for_serialization(found.spec.job_template.spec)
        if words:
            spec["template"]["spec"]["containers"][0]["args"] = list(words)
        labels = self._client.sanitize_for_serialization(found.metadata.labels)
        body = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": called, "labels": labels},
            "spec": spec,
        }
        try:
            self._batch.create_namespaced_job(self.namespace, body, _request_timeout=TIMEOUT)
        except (ApiException, HTTPError) as error:
            if getattr(error, "status", None) == _CONFLICT:
                raise UsageError(
                    f"there is a `{called}` already",
                    location=self.namespace,
                    remedy="Wait for it or remove it.",
                ) from error
            raise refusal(error) from error
        return called

    def follow(self, name: str, step: ProgressStep, seconds: float, *, remedy: str) -> dict[str, Any]:
        """Wait until a Job ends, and return what its program told.

        Raises:
            EsqError: it did not end within `seconds`, or told nothing; with the end of its log.
        """
        deadline = time.monotonic() + seconds
        while True:
            status = ask(lambda: self._batch.read_namespaced_job_status(name, self.namespace))
            ended = status is None or status.status.succeeded or status.status.failed
            if ended:
                return self._told(name, remedy)
            step.set_status(self._state(name))
            if time.monotonic() > deadline:
                raise EsqError(
                    f"{name} did not end within {seconds:g} s; it goes on in the cluster",
                    location=f"job {self.namespace}/{name}",
                    remedy=remedy,
                    detail=self.log(name),
                )
            time.sleep(PAUSE)

    def pod(self, name: str) -> Any:  # noqa: ANN401 - the client has no types
        """Return the newest pod of a Job; None when there is none."""
        found = ask(lambda: self._core.list_namespaced_pod(self.namespace, label_selector=f"job-name={name}"))
        pods = sorted(found.items if found else [], key=lambda each: str(each.metadata.creation_timestamp))
        return pods[-1] if pods else None

    def remove(self, name: str) -> bool:
        """Remove a Job with its pods; tell whether there was one.

        Raises:
            EsqError: it is still there after `GONE_SECONDS`.
        """
        policy = client.V1DeleteOptions(propagation_policy="Foreground")
        done = ask(lambda: self._batch.delete_namespaced_job(name, self.namespace, body=policy))
        deadline = time.monotonic() + GONE_SECONDS
        while ask(lambda: self._batch.read_namespaced_job(name, self.namespace)) is not None:
            if time.monotonic() > deadline:
                raise EsqError(
                    f"{name} does not go",
                    location=f"job {self.namespace}/{name}",
                    remedy="See what holds its pod, then repeat the command.",
                )
            time.sleep(PAUSE)
        return done is not None

    def log(self, name: str) -> str:
        """Return the last lines of a Job's log; empty when there are none."""
        found = self.pod(name)
        if found is None:
            return ""
        try:
            return str(
                self._core.read_namespaced_pod_log(
                    found.metadata.name, self.namespace, tail_lines=_TAIL, _request_timeout=TIMEOUT
                )
            )
        except (ApiException, HTTPError):
            return ""

    def result(self, name: str) -> dict[str, Any] | None:
        """Return what a Job's program told at its end; None when it told nothing."""
        found = self.pod(name)
        for each in (found.status.container_statuses or []) if found else []:
            if each.state.terminated is None or not each.state.terminated.message:
                continue
            try:
                return dict(json.loads(each.state.terminated.message))
            except ValueError:
                # Longer than Kubernetes keeps: the log has all of it.
                return _last_json(self.log(name))
        return None

    def _told(self, name: str, remedy: str) -> dict[str, Any]:
        found = self.result(name)
        if found is None:
            raise EsqError(
                f"{name} ended without a word",
                location=f"job {self.namespace}/{name}",
                remedy=remedy,
                detail=self.log(name),
            )
        return found

    def _state(self, name: str) -> str:
        found = self.pod(name)
        return f"pod {found.metadata.name}: {found.status.phase.lower()}" if found else "its pod"


def _last_json(log: str) -> dict[str, Any] | None:
    for line in reversed(log.splitlines()):
        try:
            return dict(json.loads(line))
        except ValueError:
            continue
    return None
