"""Cluster and state of an environment, and the layers of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from cli.environment import environment_names, load_environment
from cli.output import parse_layers
from infra.errors import ProblemsError, UsageError
from infra.stack_settings import Layer
from tests.unit.cli.definitions import STAGING, write_definition

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("LOCAL_CLUSTER", "LOCAL_SUBNET"):
        monkeypatch.delenv(f"ESQ_{name}", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("ESQ_ENVIRONMENTS_DIR", str(tmp_path))
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
    assert environment.folder == state / "esq/environments/local.e2e"
    assert load_environment("local").offsite_store_dir.name == "e2e"


def test_variables_bind_no_environment_to_another_cluster_or_backend(
    monkeypatch: pytest.MonkeyPatch, state: Path
) -> None:
    monkeypatch.setenv("ESQ_KUBECONFIG", str(state / "staging.kubeconfig"))
    monkeypatch.setenv("ESQ_BACKEND", "s3://variable")
    environment = load_environment("local")
    assert environment.is_local_cluster
    assert environment.has_local_backend
    assert "s3://" not in environment.backend


def test_local_accepts_no_definition(state: Path) -> None:
    write_definition(state, "local")
    with pytest.raises(UsageError, match="built in"):
        load_environment("local")


def test_definition_names_backend_and_cluster(state: Path) -> None:
    write_definition(state, "staging", backend="s3://bucket")
    environment = load_environment("staging")
    assert environment.backend == "s3://bucket"
    assert not environment.has_local_backend
    assert not environment.is_local_cluster
    cluster = environment.definition.existing_cluster
    assert cluster is not None
    assert cluster.kubeconfig == state / "kubeconfig"


@pytest.mark.parametrize("name", ["", "Prod", "a b", "../etc", "1st", "x" * 30])
def test_invalid_environment_names_are_rejected(name: str) -> None:
    with pytest.raises(UsageError):
        load_environment(name)


def test_misspelt_name_is_refused_with_the_known_ones(state: Path) -> None:
    write_definition(state, "prod")
    assert environment_names() == ["local", "prod"]
    with pytest.raises(UsageError, match="no environment `prdo`") as error:
        load_environment("prdo")
    assert "Did you mean `prod`?" in error.value.remedy
    assert "Known: local, prod." in error.value.remedy


def test_all_problems_of_a_definition_are_told_at_once(state: Path) -> None:
    values = {
        **STAGING,
        "backend": "bucket",
        "zones": ["a", "a", "b"],
        "sizes": {"profile": "production", "postgres": {"memory": "lots"}, "postgre": {}},
        "replicas": {"campaigns-plannr": 3},
        "cluster": {"kubeconfig": "none", "contxt": "x"},
        "image": {},
    }
    (state / "staging.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(ProblemsError) as error:
        load_environment("staging")
    problems = {problem.location: problem.message for problem in error.value.problems}
    assert set(problems) == {
        f"staging.yaml: {field}"
        for field in (
            *("backend", "zones", "sizes.postgres.memory", "sizes.postgre", "replicas", "image"),
            *("cluster.kubeconfig", "cluster.context", "cluster.contxt"),
        )
    }
    assert "no such file" in problems["staging.yaml: cluster.kubeconfig"]
    assert "`campaigns-planner`" in problems["staging.yaml: replicas"]
    assert problems["staging.yaml: image"] == "is not a field of this document"


def test_only_local_has_the_embedded_cluster(state: Path) -> None:
    write_definition(state, "staging", cluster="embedded")
    with pytest.raises(ProblemsError) as error:
        load_environment("staging")
    assert "only `local`" in error.value.detail


def test_existing_cluster_requires_every_image(state: Path) -> None:
    images = dict.fromkeys(("postgres", "base"), STAGING["images"]["postgres"])
    write_definition(state, "staging", images=images)
    with pytest.raises(ProblemsError, match="staging") as error:
        load_environment("staging")
    assert "missing: redis, kafka, garage, services; unknown: base" in error.value.detail


def test_invalid_yaml_is_a_problem_of_the_file(state: Path) -> None:
    (state / "staging.yaml").write_text("zones: [a")
    with pytest.raises(ProblemsError) as error:
        load_environment("staging")
    assert "line 1" in error.value.detail


def test_sizes_are_those_of_the_profile_with_what_differs(state: Path) -> None:
    write_definition(state, "staging", sizes={"profile": "local", "kafka": {"memory": "1Gi"}})
    sizes = load_environment("staging").definition.sizes
    assert (sizes.kafka.memory, sizes.kafka.memory_limit) == ("1Gi", "640Mi")
    write_definition(state, "prod")
    assert load_environment("prod").definition.sizes.postgres.memory == "8Gi"
    write_definition(state, "prod", sizes={"kafka": {"memory": "8Gi"}})
    sizes = load_environment("prod").definition.sizes
    assert (sizes.kafka.memory, sizes.postgres.memory) == ("8Gi", "8Gi")


def test_layers_are_in_deployment_order() -> None:
    assert parse_layers(None) == list(Layer)
    assert parse_layers(None, (Layer.SERVICES, Layer.DATA)) == [Layer.DATA, Layer.SERVICES]
    assert parse_layers(["services", "data"]) == [Layer.DATA, Layer.SERVICES]


def test_unknown_layer_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="frontend") as error:
        parse_layers(["data", "frontend"])
    assert "services" in error.value.remedy
