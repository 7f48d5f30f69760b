"""The last report of the backup verifier as metrics; ages grow while there is no new report."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def render(report: dict[str, Any], now: dt.datetime) -> str:
    """Return the metrics of a report in the text format of Prometheus.

    Args:
        report: as `verifier.build_report` returns it, with times as text.
        now: current time (UTC).
    """

    def age(text: str) -> float:
        return (now - dt.datetime.fromisoformat(text)).total_seconds()

    # Before its first backup, a database is as old as its backup would be.
    newest = max((backup["finished_at"] for backup in report["backups"]), default=report["timeline_start"])
    values = {
        "esq_backup_report_age_seconds": age(report["reported_at"]),
        "esq_backup_age_seconds": age(newest),
        "esq_backup_repositories_failed": sum(bool(item["problem"]) for item in report["repositories"]),
    }
    if archived := report["last_archived_at"]:
        values["esq_backup_archive_age_seconds"] = age(archived)
    if drill := report["drill"]:
        values["esq_backup_drill_age_seconds"] = age(drill["finished_at"])
        values["esq_backup_drill_failed"] = int(not drill["succeeded"])
    return "".join(f"{name} {value:.0f}\n" for name, value in values.items())


def read(file: Path) -> str:
    """Return the metrics of the report in a file; empty before the first report."""
    if not file.exists():
        return ""
    return render(json.loads(file.read_text()), dt.datetime.now(dt.UTC))
