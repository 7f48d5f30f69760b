"""The Lease that excludes runs on other machines, in a real API server."""

from __future__ import annotations

import datetime as dt
import signal
import threading
import time
import uuid
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from cli.actions import chaos_target, stack_state
from cli.engine_results import EnvironmentLockedError
from cli.environment_lease import NAMESPACE, EnvironmentLease
from cli.lock_holder import LockHolder
from infra.errors import EsqError
from infra.progress import RecordingProgress

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers.apiserver import ApiServer

pytestmark = [
    pytest.mark.contract,
    # The Kubernetes client calls what urllib3 is about to remove.
    pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning"),
]

RENEW_INTERVAL_SECONDS = 0.2
REMOTE = "ann@elsewhere 4242 1 of-another-machine pid:[1]"
_PROCESS = LockHolder.of_this_process()
DEAD = replace(_PROCESS, process=_PROCESS.process.model_copy(update={"pid": 1 << 22})).identity


@pytest.fixture
def environment() -> str:
    return f"t{uuid.uuid4().hex[:8]}"


@pytest.fixture
def lease(server: ApiServer, environment: str) -> Callable[[], EnvironmentLease]:
    return partial(
        EnvironmentLease,
        *(server.kubeconfig, environment, "deploy"),
        renew_interval=RENEW_INTERVAL_SECONDS,
    )


@pytest.fixture
def leases(api: client.ApiClient) -> client.CoordinationV1Api:
    return client.CoordinationV1Api(api)


def create_lease(
    leases: client.CoordinationV1Api, environment: str, identity: str, *, age_seconds: float = 0
) -> None:
    """Create a Lease that another process holds."""
    renewed = (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=age_seconds)).isoformat(timespec="microseconds")
    times = dict.fromkeys(("acquireTime", "renewTime"), renewed.replace("+00:00", "Z"))
    body: dict[str, Any] = {
        "metadata": {"name": f"esq-{environment}", "annotations": {"esq/command": "destroy"}},
        "spec": {"holderIdentity": identity, "leaseDurationSeconds": 30, **times},
    }
    leases.create_namespaced_lease(NAMESPACE, body)


def holder(leases: client.CoordinationV1Api, environment: str) -> str | None:
    identity: str | None = leases.read_namespaced_lease(f"esq-{environment}", NAMESPACE).spec.holder_identity
    return identity


def names(leases: client.CoordinationV1Api) -> set[str]:
    return {entry.metadata.name for entry in leases.list_namespaced_lease(NAMESPACE).items}


def test_lease_is_held_renewed_and_deleted(
    lease: Callable[[], EnvironmentLease], leases: client.CoordinationV1Api, environment: str
) -> None:
    with lease() as acquired:
        assert not acquired.incomplete
        assert holder(leases, environment) == LockHolder.of_this_process().identity
        first = leases.read_namespaced_lease(f"esq-{environment}", NAMESPACE).spec.renew_time
        deadline = time.monotonic() + 10
        while leases.read_namespaced_lease(f"esq-{environment}", NAMESPACE).spec.renew_time == first:
            assert time.monotonic() < deadline
    assert f"esq-{environment}" not in names(leases)


def test_lease_of_another_machine_is_refused_with_its_holder(
    lease: Callable[[], EnvironmentLease], leases: client.CoordinationV1Api, environment: str
) -> None:
    create_lease(leases, environment, REMOTE)
    with pytest.raises(EnvironmentLockedError) as error, lease():
        pass
    assert (
        f"another run uses `{environment}`: destroy by ann@elsewhere, process 4242 since 20"
        in error.value.message
    )
    assert holder(leases, environment) == REMOTE


def test_lease_that_looks_expired_is_refused_while_it_is_renewed(
    lease: Callable[[], EnvironmentLease], leases: client.CoordinationV1Api, environment: str
) -> None:
    """The clock of its machine is an hour slow."""
    create_lease(leases, environment, REMOTE, age_seconds=3600)
    stopped = threading.Event()

    def renew() -> None:
        while not stopped.wait(RENEW_INTERVAL_SECONDS / 4):
            body = {"metadata": {"annotations": {"renewed": str(time.monotonic())}}}
            leases.patch_namespaced_lease(f"esq-{environment}", NAMESPACE, body)

    renewals = threading.Thread(target=renew)
    renewals.start()
    try:
        with pytest.raises(EnvironmentLockedError), lease():
            pass
    finally:
        stopped.set()
        renewals.join()
    assert holder(leases, environment) == REMOTE


@pytest.mark.parametrize(
    ("identity", "age_seconds"),
    [(REMOTE, 3600), (DEAD, 0), ("unknown", 3600)],
    # Names without process ids: all workers of pytest-xdist must collect the same tests.
    ids=("expired", "dead process of this machine", "unknown holder"),
)
def test_lease_of_a_dead_holder_is_replaced_and_its_run_was_incomplete(
    lease: Callable[[], EnvironmentLease],
    leases: client.CoordinationV1Api,
    environment: str,
    identity: str,
    age_seconds: float,
) -> None:
    create_lease(leases, environment, identity, age_seconds=age_seconds)
    with lease() as acquired:
        assert acquired.incomplete
        assert holder(leases, environment) == LockHolder.of_this_process().identity


def test_failed_run_releases_the_lease_and_is_remembered(
    lease: Callable[[], EnvironmentLease], leases: client.CoordinationV1Api, environment: str
) -> None:
    with pytest.raises(ValueError, match="on purpose"), lease():
        raise ValueError("on purpose")
    assert holder(leases, environment) is None
    with lease() as acquired:
        assert acquired.incomplete
    with lease() as acquired:
        assert acquired.incomplete, "a run that clears nothing does not forget it"
        acquired.incomplete = False
    with lease() as acquired:
        assert not acquired.incomplete


def test_lease_of_another_run_is_not_released(
    lease: Callable[[], EnvironmentLease], leases: client.CoordinationV1Api, environment: str
) -> None:
    acquired = lease()
    acquired._renew_interval = 60
    body = {"spec": {"holderIdentity": REMOTE}}
    with pytest.raises(EnvironmentLockedError, match="process 4242 has taken"), acquired:
        leases.patch_namespaced_lease(f"esq-{environment}", NAMESPACE, body)
    assert holder(leases, environment) == REMOTE


def test_removed_lease_stops_the_run(
    lease: Callable[[], EnvironmentLease], leases: client.CoordinationV1Api, environment: str
) -> None:
    def run() -> None:
        with lease():
            leases.delete_namespaced_lease(f"esq-{environment}", NAMESPACE)
            time.sleep(30)

    with pytest.raises(EnvironmentLockedError, match="its lock was removed"):
        run()


@pytest.mark.parametrize(("status", "attempts"), [(403, 1), (404, 2)])
def test_rejected_lease_is_an_error_with_a_remedy(
    lease: Callable[[], EnvironmentLease], monkeypatch: pytest.MonkeyPatch, status: int, attempts: int
) -> None:
    calls: list[object] = []

    def create(*arguments: object) -> None:
        calls.append(arguments)
        raise ApiException(status=status)

    monkeypatch.setattr(client.CoordinationV1Api, "create_namespaced_lease", create)
    with pytest.raises(EsqError, match=f"cannot be taken: the API server answers {status}"), lease():
        pass
    assert len(calls) == attempts


def unlock(server: ApiServer, environment: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run `esq state unlock` without stacks."""
    folder = server.kubeconfig.parent / environment
    target = SimpleNamespace(kubeconfig=server.kubeconfig, environment=SimpleNamespace(name=environment))
    engine = SimpleNamespace(workspace=SimpleNamespace(layers=frozenset))
    monkeypatch.setattr(stack_state, "_open_engine", lambda *_: (target, engine))
    locked: Any = SimpleNamespace(name=environment, folder=folder)
    return stack_state.unlock(locked, RecordingProgress())


def test_unlock_keeps_the_mark_of_the_run(
    lease: Callable[[], EnvironmentLease],
    leases: client.CoordinationV1Api,
    environment: str,
    server: ApiServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create_lease(leases, environment, REMOTE)
    assert unlock(server, environment, monkeypatch) == [f"Lease {NAMESPACE}/esq-{environment}"]
    with lease() as acquired:
        assert acquired.incomplete


def test_unlock_is_refused_while_the_holder_runs_here(
    leases: client.CoordinationV1Api, environment: str, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_lease(leases, environment, LockHolder.of_this_process().identity)
    with pytest.raises(EnvironmentLockedError, match="a run of this machine uses"):
        unlock(server, environment, monkeypatch)
    assert holder(leases, environment) == LockHolder.of_this_process().identity


def test_lost_lease_stops_the_run(
    lease: Callable[[], EnvironmentLease], leases: client.CoordinationV1Api, environment: str
) -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def run() -> None:
        with lease():
            body = {"spec": {"holderIdentity": REMOTE}}
            leases.patch_namespaced_lease(f"esq-{environment}", NAMESPACE, body)
            time.sleep(30)

    with pytest.raises(EnvironmentLockedError, match="ann@elsewhere, process 4242 has taken its lock over"):
        run()
    assert holder(leases, environment) == REMOTE


def test_experiments_have_a_lease_beside_that_of_deploys(
    lease: Callable[[], EnvironmentLease],
    server: ApiServer,
    environment: str,
    leases: client.CoordinationV1Api,
) -> None:
    opened = SimpleNamespace(name=environment)
    first = chaos_target._lease(opened, server.kubeconfig, "zone-lost")  # type: ignore[arg-type]  # only the name is used
    second = chaos_target._lease(opened, server.kubeconfig, "disk-full")  # type: ignore[arg-type]  # same
    with lease(), first:
        assert {f"esq-{environment}", f"esq-{environment}.chaos"} <= names(leases)
        with pytest.raises(EnvironmentLockedError, match="experiment zone-lost by"):
            second.__enter__()
    assert f"esq-{environment}.chaos" not in names(leases)
