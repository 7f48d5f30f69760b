"""Problems of the backups in the report of the backup verifier."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import pytest

from infra.components.backup import status
from infra.components.backup.status import VerifierReport
from infra.components.component_health import Pod, PodUnreachableError
from tests.unit.data.test_backup_selection import INFO, list_backups

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = dt.datetime(2026, 5, 1, 13, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def ago(**duration: float) -> str:
    return (NOW - dt.timedelta(**duration)).isoformat()


def report(**changes: Any) -> VerifierReport:
    values: dict[str, Any] = {
        "reported_at": ago(seconds=30),
        "timeline_start": ago(days=3),
        "last_archived_wal": "0000000100000000000000A0",
        "last_archived_at": ago(seconds=20),
        "repositories": [
            {"number": 1, "newest_wal": "0000000100000000000000A0"},
            {"number": 2, "newest_wal": "0000000100000000000000A0"},
        ],
        "backups": [vars(backup) for backup in list_backups(INFO)],
        "drill": {
            "finished_at": ago(hours=9),
            "succeeded": True,
            "rpo_seconds": 12,
            "rto_seconds": 9,
            "rows_compared": 4000,
        },
    }
    return VerifierReport.model_validate(values | changes)


def test_healthy_backups_have_no_problems() -> None:
    assert status.problems(report(), NOW) == []
    assert status.summary(report(), NOW) == "newest 30 min old, WAL archived 20 s ago, drill passed 9 h ago"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"reported_at": ago(minutes=10)}, "has not reported for 10 min"),
        ({"drill": None}, "no drill"),
        ({"drill": {"finished_at": ago(hours=27), "succeeded": True}}, "the last drill was 27 h ago"),
        (
            {"drill": {"finished_at": ago(hours=1), "succeeded": False, "problems": ["latest: 1 row"]}},
            "failed: latest: 1 row",
        ),
        ({"backups": []}, "the off-site store contains no backup"),
        (
            {"last_archived_at": ago(minutes=9), "last_archive_failure_at": ago(seconds=5)},
            "not been archived for 9 min",
        ),
        (
            {"repositories": [{"number": 2, "problem": "timeout"}]},
            "the off-site store cannot be read: timeout",
        ),
        (
            {"repositories": [{"number": 1, "newest_wal": "00000001000000000000009F"}]},
            "the environment's store lacks WAL segments",
        ),
        (
            {"problems": ["the backup verifier cannot write to offsite-store: refused"]},
            "cannot write to offsite-store",
        ),
    ],
)
def test_each_problem_is_reported(changes: dict[str, Any], problem: str) -> None:
    problems = status.problems(report(**changes), NOW)
    assert any(problem in message for message in problems), problems


def test_old_backup_is_a_problem() -> None:
    later = NOW + DAY * 2
    stale = report(reported_at=later.isoformat(), last_archived_at=later.isoformat())
    assert any("newest backup in the off-site store" in message for message in status.problems(stale, later))


def test_new_environment_has_no_problems_yet() -> None:
    new = report(
        timeline_start=ago(minutes=2),
        last_archived_at=None,
        last_archived_wal=None,
        last_archive_failure_at=ago(seconds=5),
        backups=[],
        drill=None,
        repositories=[{"number": 1, "problem": "missing bucket"}],
        problems=["the backup verifier cannot write to backups: 404"],
    )
    assert status.problems(new, NOW) == []
    assert status.summary(new, NOW) == "none yet, WAL not archived yet, no drill yet"


class FakePodClient:
    """A pod whose programs print a given text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def list_pods(self, name: str) -> Sequence[Pod]:
        return [Pod(name=f"{name}-1", zone="zone-a", ready=True)]

    def run(self, pod: str, container: str, argv: Sequence[str]) -> str:  # noqa: ARG002 - the port's signature
        return self.text

    def get(self, pod: str, port: int, path: str) -> str:
        raise NotImplementedError(pod, port, path)


def test_report_is_read_from_the_pod() -> None:
    assert status.read_report(FakePodClient(report().model_dump_json())) == report()


@pytest.mark.parametrize("text", ["", json.dumps({"reported_at": ago(seconds=1)})])
def test_incomplete_report_is_rejected(text: str) -> None:
    with pytest.raises(PodUnreachableError, match="is invalid"):
        status.read_report(FakePodClient(text))
