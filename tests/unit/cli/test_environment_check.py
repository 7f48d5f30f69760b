"""A command refuses an environment that is not what was deployed under its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cli.environment import Environment, load_environment
from cli.environment_check import record_of_deploy, record_of_recovery, require_recorded
from infra.environment_record import EnvironmentRecord
from infra.errors import EsqError, ProblemsError, UsageError
from tests.unit.cli.definitions import write_definition

if TYPE_CHECKING:
    from pathlib import Path

RECORD = EnvironmentRecord(
    environment="staging", backend="s3://state", cluster_uid="one", offsite_store="https://s3/b", version="1"
)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Environment:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("ESQ_ENVIRONMENTS_DIR", str(tmp_path))
    write_definition(tmp_path, "staging")
    return load_environment("staging")


def changed(**changes: Any) -> EnvironmentRecord:
    return RECORD.model_copy(update=changes)


def never() -> EnvironmentRecord | None:
    raise AssertionError("the copy on this machine is enough")


def test_equal_copy_needs_no_other_record(environment: Environment) -> None:
    environment.save_record(RECORD)
    require_recorded(environment, changed(version="2"), never)


@pytest.mark.parametrize(
    ("change", "location"),
    [
        ({"cluster_uid": "two"}, "cluster (UID of kube-system)"),
        ({"backend": "file:///elsewhere"}, "backend"),
        ({"offsite_store": None}, "off-site store"),
    ],
)
def test_what_differs_is_refused_with_both_values(
    environment: Environment, change: dict[str, Any], location: str
) -> None:
    environment.save_record(RECORD)
    with pytest.raises(ProblemsError) as error:
        require_recorded(environment, changed(**change), lambda: RECORD)
    (problem,) = error.value.problems
    assert problem.location == location
    ((field, value),) = change.items()
    assert problem.message == f"recorded: {getattr(RECORD, field)}, now: {value or 'none'}"
    assert "definition" in problem.remedy


def test_all_differences_are_told_at_once(environment: Environment) -> None:
    environment.save_record(RECORD)
    with pytest.raises(ProblemsError) as error:
        require_recorded(environment, changed(cluster_uid="two", backend="s3://other"), lambda: None)
    assert len(error.value.problems) == 2


def test_record_of_the_backend_replaces_an_outdated_copy(environment: Environment) -> None:
    environment.save_record(RECORD)
    recovered = changed(cluster_uid="two")
    require_recorded(environment, recovered, lambda: recovered)
    require_recorded(environment, recovered, never)


def test_second_machine_compares_with_the_record_of_the_backend(environment: Environment) -> None:
    with pytest.raises(ProblemsError):
        require_recorded(environment, changed(cluster_uid="two"), lambda: RECORD)
    require_recorded(environment, RECORD, never)


def test_environment_without_any_record_is_not_deployed(environment: Environment) -> None:
    with pytest.raises(EsqError, match="not deployed"):
        require_recorded(environment, RECORD, lambda: None)


def test_deploy_with_a_forgotten_backend_is_refused(environment: Environment) -> None:
    forgotten = changed(backend="file:///default")
    environment.save_record(RECORD)
    with pytest.raises(ProblemsError) as error:
        record_of_deploy(environment, forgotten, None, None)
    assert [problem.location for problem in error.value.problems] == ["backend"]


def test_deploy_with_a_forgotten_backend_is_refused_on_another_machine(environment: Environment) -> None:
    with pytest.raises(UsageError, match="holds the environment `staging`"):
        record_of_deploy(environment, changed(backend="file:///default"), None, "staging")


def test_deploy_to_a_foreign_cluster_is_refused(environment: Environment) -> None:
    with pytest.raises(ProblemsError) as error:
        record_of_deploy(environment, changed(cluster_uid="two"), RECORD, None)
    assert "esq recover staging" in error.value.detail


def test_deploy_may_change_the_offsite_store_and_the_version(environment: Environment) -> None:
    current = changed(offsite_store=None, version="2")
    assert record_of_deploy(environment, current, RECORD, "staging") == current


def test_first_deploy_records_what_it_is_bound_to(environment: Environment) -> None:
    assert record_of_deploy(environment, RECORD, None, None) == RECORD


def test_recovery_changes_the_cluster_only() -> None:
    recovered = changed(cluster_uid="two", version="2")
    assert record_of_recovery(recovered, RECORD) == recovered
    assert record_of_recovery(recovered, None) == recovered
    with pytest.raises(ProblemsError):
        record_of_recovery(changed(cluster_uid="two", backend="s3://other"), RECORD)
