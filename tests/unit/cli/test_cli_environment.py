"""Which cluster and state an environment has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli.environment import find
from cli.output import chosen
from infra.config import Layer
from infra.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("CLUSTER", "SUBNET", "BACKEND", "KUBECONFIG"):
        monkeypatch.delenv(f"ESQ_{name}", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def test_local_brings_its_own_zones_and_keeps_its_state_at_home(state: Path) -> None:
    environment = find("local")
    assert environment.zones
    assert (environment.cluster, environment.subnet) == ("local", "10.90.0.0/16")
    assert environment.backend == (state / "esq/environments/local/backend").as_uri()


def test_a_second_platform_stands_beside_the_first(monkeypatch: pytest.MonkeyPatch, state: Path) -> None:
    monkeypatch.setenv("ESQ_CLUSTER", "e2e")
    monkeypatch.setenv("ESQ_SUBNET", "10.98.0.0/16")
    environment = find("local")
    assert (environment.cluster, environment.subnet) == ("e2e", "10.98.0.0/16")
    assert environment.clusters == state / "esq/clusters"


def test_flags_win_over_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.touch()
    monkeypatch.setenv("ESQ_BACKEND", "s3://variable")
    environment = find("staging", kubeconfig=kubeconfig, backend="s3://flag")
    assert environment.backend == "s3://flag"
    assert environment.given == kubeconfig
    assert not environment.zones


@pytest.mark.parametrize("name", ["", "Prod", "a b", "../etc", "1st", "x" * 30])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(UsageError):
        find(name)


def test_only_local_has_a_cluster_of_its_own() -> None:
    with pytest.raises(UsageError, match="no cluster") as error:
        find("prod")
    assert "--kubeconfig" in error.value.remedy


def test_a_kubeconfig_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        find("staging", kubeconfig=tmp_path / "none")


def test_layers_come_in_the_order_of_deployment() -> None:
    assert chosen(None) == [Layer.CLUSTER, Layer.DATA, Layer.SERVICES]
    assert chosen(["services", "data"]) == [Layer.DATA, Layer.SERVICES]


def test_a_layer_that_is_not_is_told_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="frontend") as error:
        chosen(["data", "frontend"])
    assert "services" in error.value.remedy
