"""What of the witness's report is a trouble, and what was not due yet."""

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


def ago(**words: float) -> str:
    return (NOW - dt.timedelta(**words)).isoformat()


def seen(**changes: Any) -> VerifierReport:
    values: dict[str, Any] = {
        "at": ago(seconds=30),
        "origin": ago(days=3),
        "archived_wal": "0000000100000000000000A0",
        "archived_at": ago(seconds=20),
        "repositories": [
            {"number": 1, "newest_wal": "0000000100000000000000A0"},
            {"number": 2, "newest_wal": "0000000100000000000000A0"},
        ],
        "backups": [vars(each) for each in list_backups(INFO)],
        "drill": {"ended": ago(hours=9), "good": True, "rpo_seconds": 12, "rto_seconds": 9, "rows": 4000},
    }
    return VerifierReport.model_validate(values | changes)


def test_all_well() -> None:
    assert status.problems(seen(), NOW) == []
    assert status.summary(seen(), NOW) == "newest 30 min old, log archived 20 s ago, drill good 9 h ago"


@pytest.mark.parametrize(
    ("changes", "trouble"),
    [
        ({"at": ago(minutes=10)}, "has said nothing for 10 min"),
        ({"drill": None}, "no drill"),
        ({"drill": {"ended": ago(hours=27), "good": True}}, "the last drill was 27 h ago"),
        (
            {"drill": {"ended": ago(hours=1), "good": False, "faults": ["latest: 1 row"]}},
            "failed: latest: 1 row",
        ),
        ({"backups": []}, "there is no backup in the vault"),
        ({"archived_at": ago(minutes=9), "archive_failed_at": ago(seconds=5)}, "not been archived for 9 min"),
        ({"repositories": [{"number": 2, "trouble": "timeout"}]}, "the vault cannot be read: timeout"),
        (
            {"repositories": [{"number": 1, "newest_wal": "00000001000000000000009F"}]},
            "the environment's store lacks a part of the log",
        ),
        ({"troubles": ["the witness cannot write to vault: refused"]}, "cannot write to vault"),
    ],
)
def test_each_trouble_is_told(changes: dict[str, Any], trouble: str) -> None:
    assert any(trouble in each for each in status.problems(seen(**changes), NOW)), status.problems(
        seen(**changes), NOW
    )


def test_an_old_backup_is_a_trouble() -> None:
    late = seen(at=(NOW + DAY * 2).isoformat(), archived_at=(NOW + DAY * 2).isoformat())
    assert any("newest backup in the vault" in each for each in status.problems(late, NOW + DAY * 2))


def test_what_was_not_due_yet_is_no_trouble() -> None:
    fresh = seen(
        origin=ago(minutes=2),
        archived_at=None,
        archived_wal=None,
        archive_failed_at=ago(seconds=5),
        backups=[],
        drill=None,
        repositories=[{"number": 1, "trouble": "missing bucket"}],
        troubles=["the witness cannot write to backups: 404"],
    )
    assert status.problems(fresh, NOW) == []
    assert status.summary(fresh, NOW) == "none yet, log not archived yet, no drill yet"


class FakePodClient:
    """One pod that answers with a text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def list_pods(self, name: str) -> Sequence[Pod]:
        return [Pod(name=f"{name}-1", zone="zone-a", ready=True)]

    def run(self, pod: str, container: str, argv: Sequence[str]) -> str:  # noqa: ARG002 - the port's signature
        return self.text

    def get(self, pod: str, port: int, path: str) -> str:
        raise NotImplementedError(pod, port, path)


def test_the_witness_is_read() -> None:
    found = status.read_report(FakePodClient(seen().model_dump_json()))
    assert found == seen()


@pytest.mark.parametrize("text", ["", json.dumps({"at": ago(seconds=1)})])
def test_half_a_report_is_no_answer(text: str) -> None:
    with pytest.raises(PodUnreachableError, match="cannot be read"):
        status.read_report(FakePodClient(text))
