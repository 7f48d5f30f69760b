"""A command refuses an environment that is not what was deployed under its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cli.actions import deployment_target
from cli.actions.deployment_target import DeploymentTarget, open_deployed_target
from cli.environment import Environment, load_environment
from cli.environment_check import require_unchanged, require_unoccupied
from infra.environment_record import CLUSTER, NO_CLUSTER, OFFSITE_STORE, EnvironmentRecord, differences
from infra.errors import EsqError, ProblemsError, UsageError
from infra.progress import RecordingProgress
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
    require_unchanged(environment, changed(version="2"), never)


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
        require_unchanged(environment, changed(**change), lambda: RECORD)
    (problem,) = error.value.problems
    assert problem.location == location
    ((field, value),) = change.items()
    assert problem.message == f"recorded: {getattr(RECORD, field)}, now: {value or 'none'}"
    assert "definition" in problem.remedy


def test_changed_secrets_provider_is_named_without_reading_the_stacks(environment: Environment) -> None:
    environment.save_record(RECORD)
    with pytest.raises(ProblemsError) as error:
        require_unchanged(environment, changed(secrets_provider="awskms://alias/esq"), never, use_copy=False)
    (problem,) = error.value.problems
    assert problem.message == "recorded: passphrase, now: awskms://alias/esq"
    assert "Set the recorded `secrets_provider`" in problem.remedy


def test_all_differences_are_told_at_once(environment: Environment) -> None:
    environment.save_record(RECORD)
    with pytest.raises(ProblemsError) as error:
        require_unchanged(environment, changed(cluster_uid="two", backend="s3://other"), lambda: None)
    assert len(error.value.problems) == 2


def test_record_of_the_backend_replaces_an_outdated_copy(environment: Environment) -> None:
    environment.save_record(RECORD)
    recovered = changed(cluster_uid="two")
    require_unchanged(environment, recovered, lambda: recovered)
    require_unchanged(environment, recovered, never)


def test_second_machine_compares_with_the_record_of_the_backend(environment: Environment) -> None:
    with pytest.raises(ProblemsError):
        require_unchanged(environment, changed(cluster_uid="two"), lambda: RECORD)
    require_unchanged(environment, RECORD, never)


def test_unreadable_copy_is_replaced_by_the_record_of_the_backend(environment: Environment) -> None:
    environment.save_record(RECORD)
    environment.record_file.write_text('{"other": "version"}')
    require_unchanged(environment, RECORD, lambda: RECORD)
    require_unchanged(environment, RECORD, never)


def test_first_deploy_is_bound_to_nothing(environment: Environment) -> None:
    require_unchanged(environment, RECORD, lambda: None)
    require_unoccupied(RECORD, None)


def test_forgotten_backend_is_refused(environment: Environment) -> None:
    environment.save_record(RECORD)
    with pytest.raises(ProblemsError) as error:
        require_unchanged(environment, changed(backend="file:///default"), lambda: None)
    assert [problem.location for problem in error.value.problems] == ["backend"]


def test_forgotten_backend_is_refused_on_another_machine() -> None:
    with pytest.raises(UsageError, match="holds the environment `staging`"):
        require_unoccupied(changed(backend="file:///default"), "staging")


def test_foreign_cluster_is_refused_with_the_ways_on(environment: Environment) -> None:
    with pytest.raises(ProblemsError) as error:
        require_unchanged(environment, changed(cluster_uid="two"), lambda: RECORD)
    assert "esq recover staging" in error.value.detail
    assert "esq env rebind staging" in error.value.detail


@pytest.mark.parametrize(
    ("field", "change"), [("offsite_store", {"offsite_store": None}), ("cluster_uid", {"cluster_uid": "two"})]
)
def test_command_may_change_one_field_only(
    environment: Environment, field: str, change: dict[str, Any]
) -> None:
    require_unchanged(environment, changed(**change), lambda: RECORD, may_change=[field])
    with pytest.raises(ProblemsError) as error:
        require_unchanged(
            environment, changed(**change, backend="s3://other"), lambda: RECORD, may_change=[field]
        )
    assert [problem.location for problem in error.value.problems] == ["backend"]


def test_stale_copy_is_not_enough_for_a_change(environment: Environment) -> None:
    environment.save_record(RECORD)
    with pytest.raises(ProblemsError):
        require_unchanged(environment, RECORD, lambda: changed(cluster_uid="two"), use_copy=False)


@pytest.mark.parametrize(
    ("stored", "occupant", "deployed"),
    [(None, "prod", False), (None, "staging", False), (RECORD, "prod", False), (RECORD, "staging", True)],
    ids=["no record", "no record, own name", "another's cluster", "deployed"],
)
def test_command_requires_a_record_and_the_environment_in_its_cluster(
    environment: Environment,
    monkeypatch: pytest.MonkeyPatch,
    stored: EnvironmentRecord | None,
    occupant: str,
    *,
    deployed: bool,
) -> None:
    kubeconfig = environment.folder / "kubeconfig"
    environment.folder.mkdir(parents=True)
    kubeconfig.touch()
    target = DeploymentTarget(environment, None, None, kubeconfig)  # type: ignore[arg-type]
    monkeypatch.setattr(deployment_target, "open_target", lambda *_: target)
    monkeypatch.setattr(DeploymentTarget, "current_record", RECORD)
    monkeypatch.setattr(DeploymentTarget, "_read_record", lambda _: stored)
    monkeypatch.setattr(deployment_target, "deployed_environment", lambda _: occupant)
    if deployed:
        assert open_deployed_target(environment, RecordingProgress()) is target
        return
    with pytest.raises(EsqError, match="`staging` is not deployed"):
        open_deployed_target(environment, RecordingProgress())


def test_destroy_that_kept_backups_is_followed_by_recover_or_rebind(environment: Environment) -> None:
    without_cluster = changed(cluster_uid="")
    with pytest.raises(ProblemsError) as error:
        require_unchanged(environment, RECORD, lambda: without_cluster, may_change=(OFFSITE_STORE, CLUSTER))
    assert "esq recover staging" in error.value.detail
    assert (
        require_unchanged(environment, RECORD, lambda: without_cluster, may_change=[NO_CLUSTER])
        == without_cluster
    )


def test_remedies_fit_the_environment() -> None:
    with pytest.raises(UsageError) as error:
        require_unoccupied(RECORD, "staging")
    assert "esq destroy local" not in error.value.remedy
    local = changed(environment="local")
    with pytest.raises(UsageError) as error:
        require_unoccupied(local, "local")
    assert "esq destroy local" in error.value.remedy
    moved = local.model_copy(update={"cluster_uid": "two"})
    assert differences(local, moved)[CLUSTER].remedy.startswith("Correct ESQ_LOCAL_CLUSTER.")
