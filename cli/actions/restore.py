"""Restoring in place: the running database becomes what it was at another moment.

What is there is saved first, by a backup taken after the services have stopped, so that this can be undone
by restoring that backup's label. The wish is a ConfigMap that Postgres' pods look at when they have no data.
While it is there nobody has written to the restored database, so that a restore that was cut off can begin
again with clearing; once it is gone, the restore is done, and only what was stopped remains to be started.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from kubernetes import client

from cli.actions import backup
from cli.actions.health import wait_until_well
from infra.components import backup as names
from infra.components.backup.inside import selection
from infra.components.pods import KubernetesPods
from infra.components.postgres import status as of_postgres
from infra.components.report import NoAnswerError
from infra.errors import EsqError, UsageError
from infra.kubernetes import ask, connect
from infra.names import (
    DATA_NAMESPACE,
    NAME_LABEL,
    PART_OF_LABEL,
    PRODUCT,
    SERVICES_NAMESPACE,
    STATEFUL_REPLICAS,
)
from infra.processes import PROCESSES, REPLICAS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cli.actions.ground import Ground
    from cli.environment import Environment
    from infra.progress import ProgressReporter, ProgressStep

WISH = "postgres-restore"
"""The ConfigMap; `infra.components.postgres.kubernetes` mounts it."""
POSTGRES = "postgres"
STATE = (POSTGRES, "postgres-config", "postgres-sync", "postgres-failover")
"""Endpoints that Patroni keeps its state in."""
GONE_SECONDS = 180.0
RESTORE_SECONDS = 3900.0
_TIMEOUT = 10.0
_PAUSE = 0.5


@dataclass(frozen=True)
class Platform:
    """What a restore stops, clears and starts.

    Attributes:
        ground: where it stands.
    """

    ground: Ground

    @cached_property
    def _client(self) -> client.ApiClient:
        return connect(self.ground.kubeconfig)

    @cached_property
    def _apps(self) -> client.AppsV1Api:
        return client.AppsV1Api(self._client)

    @cached_property
    def _core(self) -> client.CoreV1Api:
        return client.CoreV1Api(self._client)

    def wish(self) -> dict[str, str] | None:
        """Return the wish that is under way; None when there is none."""
        found = ask(lambda: self._core.read_namespaced_config_map(WISH, DATA_NAMESPACE))
        return None if found is None else dict(found.data or {})

    def wish_for(self, wish: str, arguments: Sequence[str]) -> None:
        """Let a first Postgres member restore instead of making a new database cluster."""
        metadata = client.V1ObjectMeta(name=WISH, labels={PART_OF_LABEL: PRODUCT})
        body = client.V1ConfigMap(
            metadata=metadata, data={"wish": wish, "arguments": "".join(f"{each}\n" for each in arguments)}
        )
        ask(lambda: self._core.create_namespaced_config_map(DATA_NAMESPACE, body))

    def forget(self) -> None:
        """End the wish."""
        ask(lambda: self._core.delete_namespaced_config_map(WISH, DATA_NAMESPACE))

    def scale(self, replicas: int) -> None:
        """Set the replicas of every service and of the witness (which is one or none)."""
        for process in PROCESSES:
            self._scale_deployment(process.name, SERVICES_NAMESPACE, replicas)
        self._scale_deployment(names.WITNESS, DATA_NAMESPACE, min(replicas, 1))

    def _scale_deployment(self, name: str, namespace: str, replicas: int) -> None:
        body = {"spec": {"replicas": replicas}}
        ask(lambda: self._apps.patch_namespaced_deployment_scale(name, namespace, body))

    def scale_postgres(self, replicas: int) -> None:
        """Set the replicas of Postgres."""
        body = {"spec": {"replicas": replicas}}
        ask(lambda: self._apps.patch_namespaced_stateful_set_scale(POSTGRES, DATA_NAMESPACE, body))

    def clear(self, step: ProgressStep) -> None:
        """Delete Postgres' volumes, and what Patroni remembers of them.

        Raises:
            EsqError: they do not go.
        """
        for ordinal in range(STATEFUL_REPLICAS):
            claim = f"data-{POSTGRES}-{ordinal}"
            delete = self._core.delete_namespaced_persistent_volume_claim
            ask(partial(delete, claim, DATA_NAMESPACE))
        self.await_gone(step, "volumes", self._claims)
        for name in STATE:
            ask(partial(self._core.delete_namespaced_endpoints, name, DATA_NAMESPACE))

    def _claims(self) -> list[str]:
        found = ask(lambda: self._core.list_namespaced_persistent_volume_claim(DATA_NAMESPACE))
        held = [each.metadata.name for each in found.items]
        return [name for name in held if name.startswith(f"data-{POSTGRES}-")]

    def pods(self, namespace: str, name: str = "") -> list[str]:
        """Return the names of pods that still run: of the workload `name`, or all."""
        selector = f"{NAME_LABEL}={name}" if name else f"{PART_OF_LABEL}={PRODUCT}"
        found = ask(lambda: self._core.list_namespaced_pod(namespace, label_selector=selector))
        ended = {"Succeeded", "Failed"}
        return [each.metadata.name for each in found.items if each.status.phase not in ended]

    def await_gone(self, step: ProgressStep, what: str, left: Callable[[], list[str]]) -> None:
        """Wait until nothing is left.

        Raises:
            EsqError: something is after `GONE_SECONDS`.
        """
        deadline = time.monotonic() + GONE_SECONDS
        while found := left():
            step.set_status(f"{what} to go: {', '.join(found)}")
            if time.monotonic() > deadline:
                raise EsqError(
                    f"{what} do not go: {', '.join(found)}",
                    location=DATA_NAMESPACE,
                    remedy="Repeat the command; it goes on from here.",
                )
            time.sleep(_PAUSE)

    def await_postgres(self, step: ProgressStep) -> None:
        """Wait until a primary takes writes and its standbys stream.

        Raises:
            EsqError: not within `RESTORE_SECONDS`.
        """
        pods, deadline = (
            KubernetesPods(self.ground.kubeconfig, DATA_NAMESPACE),
            time.monotonic() + RESTORE_SECONDS,
        )
        while True:
            try:
                report = of_postgres.read(pods)
            except NoAnswerError as error:
                told, healthy = error.message, False
            else:
                told, healthy = report.summary, report.healthy
            if healthy:
                step.set_result(told)
                return
            step.set_status(told)
            if time.monotonic() > deadline:
                raise EsqError(
                    f"Postgres is not back after {RESTORE_SECONDS:g} s",
                    location="statefulset esq-data/postgres",
                    remedy="Look at the logs of postgres-0, -1 and -2, put it right, and repeat the command.",
                    detail=told,
                )
            time.sleep(_PAUSE)


def in_place(environment: Environment, wish: str, steps: ProgressReporter) -> dict[str, Any]:
    """Set the running database to `wish`; return what was done, with the label that undoes it.

    Raises:
        UsageError: `wish` cannot be had, or another restore is under way.
        EsqError: a step failed; the same command goes on from there.
    """
    ground = backup.ground_of(environment, steps)
    platform, begun = Platform(ground), time.monotonic()
    under_way = platform.wish()
    if under_way is not None and under_way.get("wish") != wish:
        raise UsageError(
            f"a restore to `{under_way.get('wish')}` was cut off and has to be ended first",
            location=f"configmap {DATA_NAMESPACE}/{WISH}",
            remedy=f"Repeat it first: `--to {under_way.get('wish')} --in-place`.",
        )
    undo = None
    if under_way is None:
        choice = backup.chosen(ground, wish)
        undo = _stop_and_save(platform, steps)
        if wish == selection.LATEST:
            # The backup that was just taken is the latest state, whatever came after the list.
            choice = selection.Choice(None, ("--repo=1", "--type=default"))
        platform.wish_for(wish, choice.arguments)
    _bring_back(platform, steps)
    return {"to": wish, "undo": undo, "seconds": round(time.monotonic() - begun, 1)}


def _stop_and_save(platform: Platform, steps: ProgressReporter) -> str | None:
    """Stop everything that writes, and take a backup; return its label."""
    with steps.step("stop the services") as step:
        platform.scale(0)
        platform.await_gone(step, "pods", lambda: platform.pods(SERVICES_NAMESPACE))
    with steps.step("save what is there") as step:
        told = backup.take(platform.ground, step, full=False)
        label = told["backups"][-1]["label"] if told["backups"] else None
        step.set_result(f"undo with `--to {label}`")
    return label


def _bring_back(platform: Platform, steps: ProgressReporter) -> None:
    with steps.step("stop Postgres and clear its volumes") as step:
        platform.scale_postgres(0)
        platform.await_gone(step, "pods", lambda: platform.pods(DATA_NAMESPACE, POSTGRES))
        platform.clear(step)
    with steps.step("restore") as step:
        platform.scale_postgres(STATEFUL_REPLICAS)
        platform.await_postgres(step)
        platform.forget()
    with steps.step("start the services") as step:
        platform.scale(REPLICAS)
        step.set_result(wait_until_well(platform.ground.environment, platform.ground, step).summary)
    # Of the time that now begins there is no full backup yet, and without one nothing of it can be restored.
    with steps.step("full backup") as step:
        backup.take(platform.ground, step, full=True)
