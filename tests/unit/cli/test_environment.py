"""Cluster and state of an environment, and the layers of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli.environment import load_environment
from cli.output import parse_layers
from infra.errors import UsageError
from infra.stack_settings import Layer

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("LOCAL_CLUSTER", "LOCAL_SUBNET", "BACKEND", "KUBECONFIG"):
        monkeypatch.delenv(f"ESQ_{name}", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def test_local_uses_the_local_cluster_and_the_state_folder(state: Path) -> None:
    environment = load_environment("local")
    assert environment.is_local_cluster
    assert (environment.cluster, environment.subnet) == ("local", "10.90.0.0/16")
    assert environment.backend == (state / "esq/environments/local/backend").as_uri()


def test_variables_select_another_local_cluster(monkeypatch: pytest.MonkeyPatch, state: Path) -> None:
    monkeypatch.setenv("ESQ_LOCAL_CLUSTER", "e2e")
    monkeypatch.setenv("ESQ_LOCAL_SUBNET", "10.98.0.0/16")
    environment = load_environment("local")
    assert (environment.cluster, environment.subnet) == ("e2e", "10.98.0.0/16")
    assert environment.clusters_dir == state / "esq/clusters"


def test_options_override_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.touch()
    monkeypatch.setenv("ESQ_BACKEND", "s3://variable")
    environment = load_environment("staging", kubeconfig=kubeconfig, backend="s3://option")
    assert environment.backend == "s3://option"
    assert environment.external_kubeconfig == kubeconfig
    assert not environment.is_local_cluster


@pytest.mark.parametrize("name", ["", "Prod", "a b", "../etc", "1st", "x" * 30])
def test_invalid_environment_names_are_rejected(name: str) -> None:
    with pytest.raises(UsageError):
        load_environment(name)


def test_only_local_needs_no_kubeconfig() -> None:
    with pytest.raises(UsageError, match="no cluster") as error:
        load_environment("prod")
    assert "--kubeconfig" in error.value.remedy


def test_missing_kubeconfig_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        load_environment("staging", kubeconfig=tmp_path / "none")


def test_layers_are_in_deployment_order() -> None:
    assert parse_layers(None) == [Layer.CLUSTER, Layer.DATA, Layer.SERVICES]
    assert parse_layers(["services", "data"]) == [Layer.DATA, Layer.SERVICES]


def test_unknown_layer_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="frontend") as error:
        parse_layers(["data", "frontend"])
    assert "services" in error.value.remedy
