"""The runs of a cluster, by its API server: create, find, follow, delete."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from infra.kubernetes import api_client, get_or_none, to_esq_error
from infra.names import SERVICES_NAMESPACE
from infra.pod_exec import Dialogue
from loadtests.in_cluster import manifests
from loadtests.in_cluster.manifests import CONTAINER, MASTER, ROLE_LABEL, RUN_LABEL, SCENARIO_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loadtests.in_cluster.manifests import ClusterRun
    from loadtests.protocol import LoadTarget

LOG_TIMEOUT_SECONDS = 15.0
"""The master prints its progress twice a second. A log without a line for this long is requested again."""
CLOCK_TIMEOUT_SECONDS = 5.0
_CLOCK = "import sys, time\nfor _ in sys.stdin: print(time.monotonic(), flush=True)"
_RENEWED_ANNOTATION = "esq/load-config"
_ENDED_PHASES = ("Succeeded", "Failed")


@dataclass(frozen=True)
class RunningLoad:
    """A run that a cluster has.

    Attributes:
        name: name of its Job.
        scenario: name of its scenario.
        started_at: creation of the Job.
    """

    name: str
    scenario: str
    started_at: dt.datetime

    def __str__(self) -> str:
        since = f"{self.started_at:%Y-%m-%d %H:%M:%SZ}"
        return f"`{self.scenario}` in the cluster (Job {self.name}) since {since}"


@dataclass(frozen=True)
class LoadCluster:
    """The load generators of a cluster.

    Attributes:
        kubeconfig: kubeconfig of the cluster.
        namespace: namespace of all objects.
    """

    kubeconfig: Path
    namespace: str = SERVICES_NAMESPACE

    @cached_property
    def _client(self) -> client.ApiClient:
        return api_client(self.kubeconfig)

    @cached_property
    def _batch(self) -> client.BatchV1Api:
        return client.BatchV1Api(self._client)

    @cached_property
    def _core(self) -> client.CoreV1Api:
        return client.CoreV1Api(self._client)

    def create(self, run: ClusterRun, target: LoadTarget, ca: str | None) -> None:
        """Create the objects of a run.

        Args:
            run: the run.
            target: where requests are sent.
            ca: PEM of the CA of the edge; None for the CAs of the image.

        Raises:
            EsqError: the API server rejects one of them, or does not answer; `delete` removes what there is.
        """
        policies = client.NetworkingV1Api(self._client)
        try:
            job = self._batch.create_namespaced_job(self.namespace, manifests.master_job(run))
            uid = job.metadata.uid
            secret = manifests.config_secret(run, uid, target, ca)
            self._core.create_namespaced_secret(self.namespace, secret)
            policies.create_namespaced_network_policy(self.namespace, manifests.network_policy(run, uid))
            self._core.create_namespaced_service(self.namespace, manifests.master_service(run, uid))
            self._batch.create_namespaced_job(self.namespace, manifests.worker_job(run, uid))
        except ApiException as error:
            raise to_esq_error(error) from error

    def running(self) -> list[RunningLoad]:
        """Return the runs that were created and not deleted, oldest first.

        Raises:
            EsqError: the API server does not answer.
        """
        selector = f"{RUN_LABEL},{ROLE_LABEL}={MASTER}"
        jobs = get_or_none(lambda: self._batch.list_namespaced_job(self.namespace, label_selector=selector))
        runs = [
            RunningLoad(
                job.metadata.name, job.metadata.labels[SCENARIO_LABEL], job.metadata.creation_timestamp
            )
            for job in (jobs.items if jobs else ())
        ]
        return sorted(runs, key=lambda run: run.started_at)

    def delete(self, name: str) -> None:
        """Delete a run: its Secret at once, and its other objects in the background.

        Args:
            name: name of the run.

        Raises:
            EsqError: the API server does not answer.
        """
        policy = client.V1DeleteOptions(propagation_policy="Background")
        self.delete_secret(name)
        get_or_none(lambda: self._batch.delete_namespaced_job(name, self.namespace, body=policy))

    def delete_secret(self, name: str) -> None:
        """Delete the Secret of a run, if it exists.

        Args:
            name: name of the run.

        Raises:
            EsqError: the API server does not answer.
        """
        get_or_none(lambda: self._core.delete_namespaced_secret(name, self.namespace))

    def replace_config(self, run: ClusterRun, target: LoadTarget, ca: str | None) -> None:
        """Replace the configuration of a run; its pods see it within seconds.

        Args:
            run: the run.
            target: where requests are sent.
            ca: PEM of the CA of the edge; None for the CAs of the image.

        Raises:
            EsqError: the API server does not answer.
        """
        body = {"stringData": manifests.secret_data(run.profile, target, ca)}
        # The kubelet updates the files of a pod when the pod changes, else only once a minute.
        annotations = {_RENEWED_ANNOTATION: dt.datetime.now(dt.UTC).isoformat()}
        change = {"metadata": {"annotations": annotations}}
        get_or_none(lambda: self._core.patch_namespaced_secret(run.name, self.namespace, body))
        for pod in self._pods(f"{RUN_LABEL}={run.name}"):
            get_or_none(partial(self._core.patch_namespaced_pod, pod.metadata.name, self.namespace, change))

    def follow_log(self, run: ClusterRun) -> Iterator[str]:
        """Yield the lines of the master's log, from its start until it ends.

        Args:
            run: the run.

        Raises:
            ApiException: its container has not started.
            UnreachableError: the API server does not answer.
            HTTPError: the connection was lost.
        """
        pod = self._master_pod(run)
        if pod is None:
            return
        response = self._core.read_namespaced_pod_log(
            *(pod.metadata.name, self.namespace),
            follow=True,
            _preload_content=False,
            _request_timeout=LOG_TIMEOUT_SECONDS,
        )
        try:
            rest = b""
            for chunk in response.stream(amt=None):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (line.decode(errors="replace") for line in lines)
        finally:
            response.release_conn()

    def has_ended(self, run: ClusterRun) -> bool:
        """Return whether the master runs no more, or does not exist.

        Args:
            run: the run.

        Raises:
            EsqError: the API server does not answer.
        """
        job = get_or_none(lambda: self._batch.read_namespaced_job_status(run.name, self.namespace))
        if job is None or job.status.failed:
            return True
        pod = self._master_pod(run)
        return pod is not None and pod.status.phase in _ENDED_PHASES

    def problems(self, run: ClusterRun) -> list[str]:
        """Return why pods of a run do not run, e.g. that their image cannot be pulled.

        Args:
            run: the run.

        Raises:
            EsqError: the API server does not answer.
        """
        pods = self._pods(f"{RUN_LABEL}={run.name}")
        if not pods:
            return ["its Jobs have no pods: they were deleted, or no pod may be created"]
        return [problem for pod in pods for problem in _pod_problems(pod)]

    def open_clock(self, run: ClusterRun) -> Dialogue:
        """Start a program beside the master that answers each line with the monotonic clock of its machine.

        Args:
            run: the run.

        Raises:
            OSError: there is no master.
            WebSocketException: the API server rejects the request.
        """
        pod = self._master_pod(run)
        if pod is None:
            raise OSError(f"{run.name} has no master")
        address = (self.namespace, pod.metadata.name, CONTAINER)
        argv = ("python3", "-S", "-c", _CLOCK)
        return Dialogue(self._client, address, argv, CLOCK_TIMEOUT_SECONDS)

    def _master_pod(self, run: ClusterRun) -> Any:  # noqa: ANN401 - the client has no types
        pods = self._pods(f"{RUN_LABEL}={run.name},{ROLE_LABEL}={MASTER}")
        return pods[0] if pods else None

    def _pods(self, selector: str) -> list[Any]:
        pods = get_or_none(lambda: self._core.list_namespaced_pod(self.namespace, label_selector=selector))
        return list(pods.items) if pods else []


def _pod_problems(pod: Any) -> Iterator[str]:  # noqa: ANN401 - the client has no types
    for condition in pod.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status != "True":
            yield f"{pod.metadata.name}: {condition.reason}: {condition.message}"
    for container in pod.status.container_statuses or ():
        if container.state.waiting:
            yield f"{pod.metadata.name}: {container.state.waiting.reason}: {container.state.waiting.message}"
        elif container.state.terminated and container.state.terminated.exit_code:
            reason = container.state.terminated.reason
            yield f"{pod.metadata.name}: {reason}, exit code {container.state.terminated.exit_code}"
