"""The Lease of an environment in its cluster: excludes runs on other machines.

Clocks of machines differ. A Lease that looks expired is therefore only taken over after it was watched for
longer than its holder takes to renew it, and every change names the version that it replaces. The holder
renews it in a thread; when it finds that it lost the Lease, it interrupts its own process.
"""

from __future__ import annotations

import datetime as dt
import os
import signal
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Self, cast

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from cli.engine_results import EnvironmentLockedError
from cli.lock_holder import LockHolder
from infra.errors import EsqError
from infra.kubernetes import api_client, get_or_none

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from kubernetes.client import V1Lease

NAMESPACE = "kube-system"
DURATION_SECONDS = 30.0
"""After this long without a renewal, the Lease looks expired."""
RENEW_INTERVAL_SECONDS = 5.0
INCOMPLETE_ANNOTATION = "esq/incomplete"
"""Annotation of a Lease whose last holder did not complete its run."""
COMMAND_ANNOTATION = "esq/command"
_NOT_FOUND, _CONFLICT = 404, 409


def lease_name(environment: str) -> str:
    """Return the name of an environment's Lease."""
    return f"esq-{environment}"


class EnvironmentLease:
    """A context that holds the Lease.

    Args:
        kubeconfig: the environment's cluster.
        environment: name of the environment.
        command: the command that holds it, for messages.
        duration: seconds without a renewal after which it looks expired.
        renew_interval: seconds between renewals.
    """

    def __init__(
        self,
        kubeconfig: Path,
        environment: str,
        command: str,
        *,
        duration: float = DURATION_SECONDS,
        renew_interval: float = RENEW_INTERVAL_SECONDS,
    ) -> None:
        self._kubeconfig = kubeconfig
        self._environment = environment
        self._name = lease_name(environment)
        self._command = command
        self._duration = duration
        self._renew_interval = renew_interval
        self._identity = LockHolder.of_this_process().identity
        self._released = threading.Event()
        self._renewals = threading.Thread(target=self._renew_until_released, name="lease", daemon=True)
        self._loss = ""
        self.incomplete = False

    def __enter__(self) -> Self:
        with closing(api_client(self._kubeconfig)) as api:
            self._acquire_or_repeat(client.CoordinationV1Api(api))
        # Created now: the run may delete the kubeconfig. A single attempt: the cluster may be gone,
        # or be the reason of a failure.
        self._releasing = api_client(self._kubeconfig, retry_seconds=0)
        self._renewals.start()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._released.set()
        self._renewals.join()
        complete = exception_type is None and not self.incomplete
        # Without a response the Lease expires.
        with suppress(ApiException, EsqError), closing(self._releasing) as api:
            self._release(client.CoordinationV1Api(api), complete=complete)
        if self._loss:
            raise EnvironmentLockedError(
                f"this run of `{self._environment}` was stopped: {self._loss}",
                location=self._location,
                remedy="Make sure that no other run uses the environment, then repeat the command.",
            ) from exception

    @property
    def _location(self) -> str:
        return f"Lease {NAMESPACE}/{self._name}"

    def _acquire_or_repeat(self, api: client.CoordinationV1Api) -> None:
        """Acquire the Lease; once more when it was removed between two requests."""
        try:
            try:
                self._acquire(api)
            except ApiException as error:
                if error.status not in {_NOT_FOUND, _CONFLICT}:
                    raise
                self._acquire(api)
        except ApiException as error:
            raise EsqError(
                f"the lock of `{self._environment}` cannot be taken: the API server answers {error.status}",
                location=self._location,
                remedy="The right to get, create, update, patch and delete this Lease is needed.",
                detail=str(error)[:500],
            ) from error

    def _acquire(self, api: client.CoordinationV1Api) -> None:
        lease = self._read(api)
        if lease is None:
            self._create(api)
            return
        self._require_free(api, lease)
        holder = lease.spec.holder_identity
        self.incomplete = bool(holder) or INCOMPLETE_ANNOTATION in (lease.metadata.annotations or {})
        self._replace_holder(api, lease)

    def _require_free(self, api: client.CoordinationV1Api, lease: V1Lease) -> None:
        identity = lease.spec.holder_identity
        if not identity:
            return
        holder = LockHolder.parse(identity)
        if holder is not None and holder.is_gone:
            return
        if not self._looks_expired(lease) or self._is_renewed(api, lease):
            raise self._locked(lease)

    def _looks_expired(self, lease: V1Lease) -> bool:
        age = dt.datetime.now(dt.UTC) - lease.spec.renew_time
        return bool(age.total_seconds() > lease.spec.lease_duration_seconds)

    def _is_renewed(self, api: client.CoordinationV1Api, lease: V1Lease) -> bool:
        """Watch the Lease for longer than two renewals take."""
        self._released.wait(2.5 * self._renew_interval)
        now = self._read(api)
        return now is not None and now.metadata.resource_version != lease.metadata.resource_version

    def _read(self, api: client.CoordinationV1Api) -> V1Lease | None:
        return read_lease(api, self._environment)

    def _create(self, api: client.CoordinationV1Api) -> None:
        try:
            api.create_namespaced_lease(NAMESPACE, self._manifest())
        except ApiException as error:
            self._raise_if_locked(api, error)

    def _replace_holder(self, api: client.CoordinationV1Api, lease: V1Lease) -> None:
        manifest = self._manifest(lease)
        try:
            api.replace_namespaced_lease(self._name, NAMESPACE, manifest)
        except ApiException as error:
            self._raise_if_locked(api, error)

    def _raise_if_locked(self, api: client.CoordinationV1Api, error: ApiException) -> None:
        lease = self._read(api) if error.status == _CONFLICT else None
        if lease is None:
            raise error
        # Otherwise the answer to an earlier attempt of this process was lost.
        if lease.spec.holder_identity != self._identity:
            raise self._locked(lease) from error

    def _manifest(self, replaced: V1Lease | None = None) -> dict[str, Any]:
        now = _micro_time(dt.datetime.now(dt.UTC))
        metadata: dict[str, Any] = {"name": self._name, "annotations": {COMMAND_ANNOTATION: self._command}}
        if replaced is not None:
            metadata["resourceVersion"] = replaced.metadata.resource_version
        spec = {"acquireTime": now, "renewTime": now, "holderIdentity": self._identity}
        return {"metadata": metadata, "spec": {**spec, "leaseDurationSeconds": max(1, round(self._duration))}}

    def _locked(self, lease: V1Lease) -> EnvironmentLockedError:
        identity = lease.spec.holder_identity or "a run that has just ended"
        command = (lease.metadata.annotations or {}).get(COMMAND_ANNOTATION, "a run")
        since = f" since {lease.spec.acquire_time:%Y-%m-%d %H:%M:%SZ}" if lease.spec.acquire_time else ""
        holder = LockHolder.parse(identity) or identity
        return EnvironmentLockedError(
            f"another run uses `{self._environment}`: {command} by {holder}{since}",
            location=self._location,
            remedy="Wait until it ends, then repeat the command. "
            f"A run that has died releases its lock after {self._duration:g} s.",
        )

    def _renew_until_released(self) -> None:
        with closing(api_client(self._kubeconfig, retry_seconds=0)) as connection:
            api = client.CoordinationV1Api(connection)
            while not self._released.wait(self._renew_interval):
                try:
                    self._renew(api)
                except (ApiException, EsqError):
                    # The API server may be restarting; the next renewal is due before the Lease expires.
                    continue
                if self._loss:
                    os.kill(os.getpid(), signal.SIGINT)
                    return

    def _renew(self, api: client.CoordinationV1Api) -> None:
        lease = self._read_held(api)
        if lease is None:
            return
        lease.spec.renew_time = dt.datetime.now(dt.UTC)
        api.replace_namespaced_lease(self._name, NAMESPACE, lease)

    def _read_held(self, api: client.CoordinationV1Api) -> V1Lease | None:
        """Return the Lease; None when it is lost."""
        lease = self._read(api)
        if lease is None or not lease.spec.holder_identity:
            self._loss = "its lock was removed"
        elif lease.spec.holder_identity != self._identity:
            holder = LockHolder.parse(lease.spec.holder_identity) or "another run"
            self._loss = f"{holder} has taken its lock over"
        return None if self._loss else lease

    def _release(self, api: client.CoordinationV1Api, *, complete: bool) -> None:
        lease = None if self._loss else self._read_held(api)
        if lease is None:
            return
        if not complete:
            release_incomplete(api, lease)
            return
        metadata = lease.metadata
        preconditions = client.V1Preconditions(resource_version=metadata.resource_version, uid=metadata.uid)
        options = client.V1DeleteOptions(preconditions=preconditions)
        api.delete_namespaced_lease(self._name, NAMESPACE, body=options)


def read_lease(api: client.CoordinationV1Api, environment: str) -> V1Lease | None:
    """Return the Lease of an environment; None when there is none.

    Args:
        api: the cluster.
        environment: name of the environment.
    """
    return cast(
        "V1Lease | None", get_or_none(lambda: api.read_namespaced_lease(lease_name(environment), NAMESPACE))
    )


def release_incomplete(api: client.CoordinationV1Api, lease: V1Lease) -> None:
    """Release a Lease; the environment stays marked as one whose last run did not complete.

    Args:
        api: the cluster.
        lease: the Lease as it was read; another version of it is not changed.

    Raises:
        ApiException: the Lease has changed since.
    """
    metadata = {
        "annotations": {INCOMPLETE_ANNOTATION: "true"},
        "resourceVersion": lease.metadata.resource_version,
        "uid": lease.metadata.uid,
    }
    body = {"metadata": metadata, "spec": {"holderIdentity": None}}
    api.patch_namespaced_lease(lease.metadata.name, NAMESPACE, body)


def _micro_time(time: dt.datetime) -> str:
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")
