"""Where experiments can run follows from their actions; what a cluster lacks is found before anything happens."""

from __future__ import annotations

import importlib
import inspect
from types import SimpleNamespace
from typing import Any

import pytest

from chaos import capabilities, experiment, policy_probe
from chaos.capabilities import KUBERNETES_ACTIONS, ClusterKind, find_problems, runs_on

POLICY_PROBLEM = "the network plugin of the cluster does not enforce NetworkPolicies"


def _document(*functions: str) -> dict[str, Any]:
    providers = [function.rpartition(".") for function in functions]
    return {
        "method": [
            {"type": "action", "name": func, "provider": {"type": "python", "module": module, "func": func}}
            for module, _, func in providers
        ]
    }


def _own(*actions: str) -> dict[str, Any]:
    return _document(*(f"chaos.activities.{action}" for action in actions))


@pytest.fixture
def denied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Rights that the user of the kubeconfig does not have; the cluster ignores NetworkPolicies."""
    denied: list[str] = []
    monkeypatch.setattr(capabilities, "api_client", lambda _: None)
    monkeypatch.setattr(capabilities, "is_allowed", lambda _, right: str(right) not in denied)
    monkeypatch.setattr(policy_probe, "find_problem", lambda *_: POLICY_PROBLEM)
    return denied


def _target(**fields: object) -> Any:
    defaults = {"environment": "staging", "cluster": None, "kubeconfig": "kubeconfig"}
    return SimpleNamespace(**{**defaults, "python_image": lambda: "image", **fields})


@pytest.mark.parametrize("action", KUBERNETES_ACTIONS)
def test_every_row_of_the_table_is_an_activity(action: str) -> None:
    module, _, func = action.rpartition(".")
    activities = importlib.import_module(f"chaos.activities.{module}")
    assert func in activities.__all__
    assert inspect.getdoc(getattr(activities, func))


@pytest.mark.parametrize("name", experiment.names())
def test_every_experiment_runs_on_the_embedded_cluster(name: str) -> None:
    assert ClusterKind.EMBEDDED in runs_on(experiment.load(name).document)


def test_one_action_on_hosts_ties_an_experiment_to_the_embedded_cluster() -> None:
    assert runs_on(_own("pods.kill", "services.flush_redis")) == (
        ClusterKind.EMBEDDED,
        ClusterKind.KUBERNETES,
    )
    assert runs_on(_own("pods.kill", "zones.kill_zone")) == (ClusterKind.EMBEDDED,)


def test_an_unknown_action_of_ours_needs_the_embedded_cluster() -> None:
    assert runs_on(_own("pods.not_in_the_table")) == (ClusterKind.EMBEDDED,)


def test_actions_of_other_extensions_are_not_checked() -> None:
    assert len(runs_on(_document("chaosk8s.pod.actions.terminate_pods"))) == 2


def test_embedded_cluster_lacks_nothing(denied: list[str]) -> None:
    denied.append("create pods/exec in esq-data")
    assert find_problems(_own("pods.stress_cpu", "zones.isolate_zone"), _target(cluster="zones")) == []


def test_refusal_names_every_action_that_the_cluster_cannot_do() -> None:
    problems = find_problems(_own("zones.kill_zone", "pods.kill", "zones.fill_disk"), _target())
    assert [problem.message.split()[0] for problem in problems] == ["`zones.kill_zone`", "`zones.fill_disk`"]


def test_refusal_names_every_missing_right(denied: list[str]) -> None:
    document = _own("pods.stress_cpu", "nodes.drain")
    assert find_problems(document, _target()) == []
    denied += ["create pods/exec in esq-data", "patch nodes"]
    messages = " ".join(problem.message for problem in find_problems(document, _target()))
    assert "create pods/exec in esq-data, which is needed to run programs in pods" in messages
    assert "patch nodes, which is needed to drain nodes" in messages


def test_refusal_names_a_missing_kubectl(denied: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert denied == []
    monkeypatch.setenv("PATH", "/nonexistent")
    (problem,) = find_problems(_own("pods.kill"), _target())
    assert problem.message == "kubectl is not on PATH"


def test_partition_is_refused_where_policies_have_no_effect(denied: list[str]) -> None:
    (problem,) = find_problems(_own("zones.isolate_zone"), _target())
    assert problem.message == POLICY_PROBLEM
    denied.append("create networkpolicies.networking.k8s.io in esq-data")
    assert len(find_problems(_own("zones.isolate_zone"), _target())) == 1
