"""The context of an environment reads what answers, and never waits longer than its deadline for the rest."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from chaos.faults import Fault
from cli.actions import environment_context
from cli.actions import triage as triage_action
from cli.actions.deployment_target import DeploymentTarget
from cli.actions.environment_context import EnvironmentContext
from cli.actions.open_faults import open_journal
from cli.environment import load_environment
from cli.observability_client import ObservabilityClient
from infra.components.scrub import Damage
from infra.errors import EsqError
from infra.processes import PROCESSES
from infra.progress import RecordingProgress
from infra.scrub_record import new_record
from runbooks.check import UnavailableError
from runbooks.checks import find_check
from runbooks.fakes import ZONES
from runbooks.readings import Sample
from runbooks.triage import diagnose
from runbooks.triage_record import read_diagnoses
from services.contracts.endpoints import HTTP_PORT
from services.contracts.telemetry import CONNECTIONS, PLANNING_AGE
from tests.servers.cluster_api import running_cluster_api

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.cluster_api import ClusterApi

# The Kubernetes client calls what urllib3 is about to remove.
pytestmark = pytest.mark.filterwarnings("ignore:HTTPResponse.getheaders:DeprecationWarning")

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
DATA = "/api/v1/namespaces/esq-data"
DEADLINE_SECONDS = 1.5
MEMBERS = [
    {"name": f"postgres-{number}", "role": role, "state": state, "tags": {"credentials": ""}}
    for number, (role, state) in enumerate(
        (("leader", "running"), ("quorum_standby", "streaming"), ("quorum_standby", "streaming"))
    )
]


def node(zone: str, *, ready: bool = True) -> dict[str, Any]:
    return {
        "metadata": {"name": f"node-{zone}", "labels": {"topology.kubernetes.io/zone": zone}},
        "spec": {},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def pod(name: str, workload: str, namespace: str, zone: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": workload}
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"nodeName": f"node-{zone}", "containers": []},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }


def services() -> list[dict[str, Any]]:
    return [
        pod(f"{process.name}-{zone}", process.name, "esq-services", zone)
        for process in PROCESSES
        for zone in ZONES[:2]
    ]


@pytest.fixture
def api() -> Iterator[ClusterApi]:
    """A healthy cluster, as far as GET requests show it."""
    postgres = [pod(f"postgres-{number}", "postgres", "esq-data", zone) for number, zone in enumerate(ZONES)]
    now = dt.datetime.now(dt.UTC).isoformat()
    leases = [
        {"metadata": {"name": name}, "spec": {"renewTime": now}}
        for name in ("kube-scheduler", "kube-controller-manager")
    ]
    with running_cluster_api() as server:
        server.answers = {
            "/readyz": "ok",
            "/api/v1/nodes": {"items": [node(zone) for zone in ZONES]},
            "/api/v1/pods": {"items": [*postgres, *services()]},
            f"{DATA}/pods": {"items": postgres},
            f"{DATA}/secrets/postgres": {"metadata": {"name": "postgres"}},
            "/api/v1/namespaces/esq-data": {
                "metadata": {"name": "esq-data", "labels": {"esq/environment": "local"}}
            },
            LEASES: {"items": leases},
        }
        for number, zone in enumerate(ZONES):
            proxy = f"{DATA}/pods/https:postgres-{number}:8008/proxy/cluster"
            server.answers[proxy] = json.dumps({"members": MEMBERS})
            summary = {"node": {"fs": {"capacityBytes": 100, "availableBytes": 60}}}
            server.answers[f"/api/v1/nodes/node-{zone}/proxy/stats/summary"] = summary
            server.answers[f"/api/v1/nodes/node-{zone}/proxy/healthz"] = "ok"
        yield server


@pytest.fixture
def target(api: ClusterApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeploymentTarget:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    environment = load_environment("local")
    kubeconfig = api.write_kubeconfig(tmp_path / "kubeconfig")
    # The embedded cluster of this machine must not be looked at.
    return DeploymentTarget(environment, tools=None, cluster=None, kubeconfig=kubeconfig)  # type: ignore[arg-type]


def context_of(target: DeploymentTarget, deadline: float = 30.0, timeout: float = 10.0) -> EnvironmentContext:
    return EnvironmentContext(target, deadline_seconds=deadline, request_timeout_seconds=timeout)


def test_cluster_that_answers_is_read(target: DeploymentTarget) -> None:
    context = context_of(target)
    assert [node.ready for node in context.nodes()] == [True] * 3
    assert context.component("postgres").healthy
    assert {service.name: service.zones for service in context.services()}["contacts-api"] == {
        "zone-a": 1,
        "zone-b": 1,
    }
    assert context.control_plane() == {"apiserver": "", "controller-manager": "", "scheduler": ""}
    assert [usage.disk_used for usage in context.usage()] == [pytest.approx(0.4)] * 3
    assert set(context.round_trips()) == set(ZONES)
    assert all(seconds is not None for times in context.round_trips().values() for seconds in times)
    assert context.deploys() == []
    assert context.error_lines() == []


def test_metrics_of_processes_are_read_without_the_observability_layer(
    api: ClusterApi, target: DeploymentTarget
) -> None:
    path = f"/api/v1/namespaces/esq-services/pods/https:whatsapp-worker-zone-a:{HTTP_PORT}/proxy/metrics"
    api.answers[path] = f'{CONNECTIONS.name}{{state="banned"}} 3\n'
    (sample,) = context_of(target).samples(CONNECTIONS.name)
    assert (sample.value, sample.labels["pod"]) == (3.0, "whatsapp-worker-zone-a")
    with pytest.raises(UnavailableError, match="not deployed"):
        context_of(target).alerts()


def test_no_alert_is_not_good_while_nobody_evaluates_the_rules(
    target: DeploymentTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the metrics nor the alerts of this layer say anything."""
    monkeypatch.setattr(ObservabilityClient, "alerts", lambda _: [])
    monkeypatch.setattr(ObservabilityClient, "metrics_query", lambda *_: [])
    with pytest.raises(UnavailableError, match="no alert can fire"):
        context_of(target).alerts()
    monkeypatch.setattr(ObservabilityClient, "metrics_query", lambda *_: [Sample({}, 2.0)])
    assert context_of(target).alerts() == []


def test_metric_of_a_process_that_does_not_answer_is_unread(
    api: ClusterApi, target: DeploymentTarget
) -> None:
    path = f"/api/v1/namespaces/esq-services/pods/https:whatsapp-worker-zone-a:{HTTP_PORT}/proxy/metrics"
    api.answers[path] = f'{CONNECTIONS.name}{{state="banned"}} 0\n'
    with pytest.raises(UnavailableError, match=r"campaigns-planner.*no answer"):
        context_of(target).samples(PLANNING_AGE.name)


def test_use_of_resources_of_a_kubelet_that_does_not_answer_is_unread(
    api: ClusterApi, target: DeploymentTarget
) -> None:
    del api.answers["/api/v1/nodes/node-zone-b/proxy/stats/summary"]
    for slug in ("disk-pressure", "memory-pressure", "cpu-pressure"):
        with pytest.raises(UnavailableError, match="zone-b"):
            find_check(slug).function(context_of(target))


def test_open_fault_of_this_machine_is_read(target: DeploymentTarget) -> None:
    journal = open_journal(target.environment)
    fault = Fault(kind="freeze", target="postgres-0", inject=(("true",),), undo=(("true",),))
    journal.inject(fault, experiment="test", max_seconds=600)
    assert [(state.experiment, state.is_left) for state in context_of(target).faults()] == [("test", False)]
    journal.rollback()


def test_damage_that_a_scrub_of_any_machine_left_is_read(api: ClusterApi, target: DeploymentTarget) -> None:
    assert context_of(target).damage() == ()
    damages = {"kafka-1": [Damage(pod="kafka-1", location="batch 3")]}
    record = new_record(damages, unread=[], replicas=9)
    api.answers[f"{DATA}/configmaps/esq-scrub"] = {"data": {"record": record.model_dump_json()}}
    assert context_of(target).damage() == ("kafka-1: batch 3",)
    api.hanging = (f"{DATA}/configmaps",)
    with pytest.raises(UnavailableError):
        context_of(target, DEADLINE_SECONDS).damage()


def test_half_of_the_cluster_that_hangs_does_not_delay_the_rest(
    api: ClusterApi, target: DeploymentTarget
) -> None:
    api.answers["/api/v1/nodes"] = {"items": [node(zone, ready=zone != "zone-a") for zone in ZONES]}
    api.hanging = (
        f"{DATA}/pods/https:postgres-0:",
        "/api/v1/nodes/node-zone-a",
        "/api/v1/namespaces/esq-services",
    )
    started_at = time.monotonic()
    diagnosis = diagnose(context_of(target, deadline=30.0, timeout=2.0))
    assert "zone-down" in diagnosis.named
    assert "disk-pressure" not in {slug for slugs in diagnosis.unread.values() for slug in slugs}
    assert time.monotonic() - started_at < 25


def test_cluster_that_hangs_as_a_whole_is_a_lost_control_plane(
    api: ClusterApi, target: DeploymentTarget
) -> None:
    api.hanging = ("/",)
    started_at = time.monotonic()
    diagnosis = diagnose(context_of(target, deadline=DEADLINE_SECONDS, timeout=0.5))
    assert diagnosis.named == {"control-plane-down"}
    assert {"zone-down", "postgres-down"} <= {slug for slugs in diagnosis.unread.values() for slug in slugs}
    assert time.monotonic() - started_at < 20  # the requests hang until the end of the test


def test_reading_is_unavailable_at_the_deadline(api: ClusterApi, target: DeploymentTarget) -> None:
    api.hanging = ("/api/v1/nodes",)
    with pytest.raises(UnavailableError, match=r"no answer within 0\.2 s"):
        context_of(target, deadline=0.2, timeout=60.0).nodes()


def test_triage_of_another_environments_cluster_is_refused(
    api: ClusterApi, target: DeploymentTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triage_action, "open_target", lambda *_: target)
    assert triage_action.triage(target.environment, RecordingProgress()).environment == "local"
    assert [record.environment for record in read_diagnoses(target.environment.folder / "triage")] == [
        "local"
    ]
    api.answers["/api/v1/namespaces/esq-data"]["metadata"]["labels"]["esq/environment"] = "staging"
    with pytest.raises(EsqError, match="`local` is not deployed"):
        triage_action.triage(target.environment, RecordingProgress())


def test_triage_without_a_kubeconfig_names_the_command_that_deploys(
    target: DeploymentTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = dataclasses.replace(target, kubeconfig=tmp_path / "none")
    monkeypatch.setattr(triage_action, "open_target", lambda *_: missing)
    with pytest.raises(EsqError, match="`local` is not deployed") as caught:
        triage_action.triage(target.environment, RecordingProgress())
    assert "esq deploy local" in caught.value.remedy


def test_program_that_resolves_a_name_prints_the_problem_only() -> None:
    def resolve(name: str) -> str:
        argv = [sys.executable, "-c", environment_context._RESOLVE, name]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout.strip()

    assert resolve("localhost") == ""
    assert resolve("no-such-host.invalid") != ""


def test_names_that_no_pod_could_be_asked_for_are_unavailable(target: DeploymentTarget) -> None:
    with pytest.raises(UnavailableError, match="no pod of zone-a, zone-b could be asked"):
        context_of(target).name_resolution()
