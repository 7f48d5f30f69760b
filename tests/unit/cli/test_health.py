"""Problems of backups are reported, but a deploy does not wait for them."""

from __future__ import annotations

from cli.actions.health import Health
from infra.environment_health import BackupHealth, ServiceHealth

FAILED_DRILL = BackupHealth("drill failed", ("the last drill failed: latest: 3 rows instead of 4",))
UNAVAILABLE = ServiceHealth("contacts-api", 0, 2, {})


def test_failed_drill_is_a_problem_but_not_an_outage() -> None:
    health = Health((), (), FAILED_DRILL, (), ())
    assert not health.healthy
    assert health.problems == ["backups: the last drill failed: latest: 3 rows instead of 4"]
    assert health.outages == []
    assert health.to_dict()["backups"]["problems"] == list(FAILED_DRILL.problems)


def test_outage_is_a_problem() -> None:
    health = Health((), (), BackupHealth("healthy"), (UNAVAILABLE,), ())
    assert health.outages == health.problems == ["contacts-api: 0 of 2 ready in 0 zones"]


def test_unfinished_restore_is_a_problem_with_the_command_that_resumes_it() -> None:
    command = "esq backup restore local --target latest --in-place"
    health = Health((), (), BackupHealth("healthy"), (), (), unfinished_restore=command)
    assert health.problems == [f"an in-place restore is not complete; to resume: {command}"]
    assert health.outages == []
