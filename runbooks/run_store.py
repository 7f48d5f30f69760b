"""Runs of an environment on disk: one file each, changed under a lock, replaced atomically.

One run per fault: whoever reports an alert gets the run that has it, or the open run of the same fault, or a
new one, in one locked step. Two processes never work on a run at the same time: its worker holds a lock that
the kernel releases when it dies.
"""

from __future__ import annotations

import datetime as dt
import fcntl
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pydantic import ValidationError

from infra.errors import EsqError, UsageError
from infra.files import write_atomically
from infra.process_identity import ProcessIdentity
from infra.validation import suggest
from runbooks import checks
from runbooks.fault_groups import is_same_fault
from runbooks.run_record import RunRecord, step_records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from runbooks.check import Step
    from runbooks.run_record import JoinedAlert

JOIN_AFTER_END = dt.timedelta(minutes=5)
"""An alert this late still belongs to the fault of a run that is over: its rule waits longer than others."""
MAX_RUNS = 500
"""Runs that are kept; the oldest ones that are over are deleted."""


class RunInProgressError(EsqError):
    """Another process works on the run."""


class RunStore:
    """The runs of an environment."""

    def __init__(
        self,
        folder: Path,
        environment: str,
        *,
        now: Callable[[], dt.datetime],
        find_steps: Callable[[str], tuple[Step, ...]] = checks.find_steps,
    ) -> None:
        """Open the store; the folder is created with the first run.

        Args:
            folder: folder of the records.
            environment: name of the environment.
            now: current time (UTC).
            find_steps: returns the steps of a runbook.
        """
        self._folder = folder
        self._environment = environment
        self._now = now
        self.find_steps = find_steps

    def records(self) -> list[RunRecord]:
        """Return all runs, oldest first; a file that cannot be read is left out."""
        records = []
        for file in sorted(self._folder.glob("*.json")):
            with suppress(ValidationError, FileNotFoundError):
                records.append(RunRecord.model_validate_json(file.read_text(encoding="utf-8")))
        return records

    def read(self, run_id: str) -> RunRecord:
        """Return a run.

        Raises:
            UsageError: there is no such run.
        """
        known = {record.id: record for record in self.records()}
        if run_id not in known:
            remedy = f"{suggest(run_id, known)}See `esq runbook list {self._environment}`."
            raise UsageError(f"there is no run `{run_id}`", location="RUN", remedy=remedy)
        return known[run_id]

    def update(self, run_id: str, change: Callable[[RunRecord], RunRecord]) -> RunRecord:
        """Change a run.

        Args:
            run_id: its id.
            change: returns the new record from the current one.

        Returns:
            The new record.
        """
        with self._locked():
            return self._save(change(self.read(run_id)))

    def create(self, runbook: str, alerts: Sequence[JoinedAlert] = ()) -> RunRecord:
        """Start a run that belongs to this process.

        Args:
            runbook: name of its runbook.
            alerts: its alerts.

        Raises:
            UsageError: the runbook has no steps, or a run of it is open.
        """
        with self._locked():
            for record in self.records():
                if record.is_open and record.runbook == runbook:
                    raise self._refusal(record)
            return self._create(runbook, alerts)

    def report(self, runbook: str, alert: JoinedAlert) -> tuple[RunRecord, bool]:
        """Return the run of an alert.

        Args:
            runbook: runbook of a new run.
            alert: the alert.

        Returns:
            The run, and whether somebody has to work on it: it is new, was interrupted, or starts again for
            a late alert.
        """
        with self._locked():
            records = self.records()
            for record in records:
                if alert.key in {joined.key for joined in record.alerts}:
                    return record, record.state == "interrupted"
            for record in reversed(records):
                names = [joined.name for joined in record.alerts]
                if self._accepts(record) and is_same_fault(record.runbook, names, alert.name):
                    must_work = record.idle_since is not None or record.state == "interrupted"
                    return self._join(record, alert), must_work
            return self._create(runbook, [alert]), True

    def resolve(self, alert: JoinedAlert) -> list[RunRecord]:
        """Note the end of an alert; return its runs.

        Args:
            alert: the alert, with its end.
        """
        changed = []
        with self._locked():
            for record in self.records():
                if alert.key in {joined.key for joined in record.alerts}:
                    alerts = [alert if joined.key == alert.key else joined for joined in record.alerts]
                    changed.append(self._save(record.model_copy(update={"alerts": tuple(alerts)})))
        return changed

    def retarget(self, run_id: str, runbook: str) -> RunRecord:
        """Change the runbook of a run whose cause is known now; it is merged into the open run of that cause.

        It is not merged into a run that nobody works on any more: nobody would look at its alerts.

        Args:
            run_id: the run.
            runbook: runbook of the cause.

        Returns:
            The run: with the steps of that runbook, or merged.
        """
        with self._locked():
            record = self.read(run_id)
            for other in self.records():
                is_known = other.id != run_id and other.is_open and other.runbook == runbook
                if is_known and other.idle_since is None and other.state != "interrupted":
                    self._save(other.model_copy(update={"alerts": (*other.alerts, *record.alerts)}))
                    merged = {"phase": "merged", "merged_into": other.id, "ended_at": self._now()}
                    return self._save(record.model_copy(update=merged))
            steps = step_records(self.find_steps(runbook), self._environment)
            return self._save(record.model_copy(update={"runbook": runbook, "steps": steps}))

    @contextmanager
    def working_on(self, run_id: str) -> Iterator[RunRecord]:
        """Own a run; no other process can meanwhile.

        A failure in between leaves it interrupted, although this process lives on.

        Yields:
            The run, owned by this process.

        Raises:
            RunInProgressError: another process works on it.
        """
        with (self._folder / f"{run_id}.lock").open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise self._refusal(self.read(run_id)) from None
            owner = {"owner": ProcessIdentity.current(), "phase": "running", "ended_at": None}
            record = self.update(run_id, lambda record: record.model_copy(update=owner))
            try:
                yield record
            except BaseException:
                self.update(run_id, lambda record: record.model_copy(update={"owner": None}))
                raise

    def _accepts(self, record: RunRecord) -> bool:
        """Return whether a run takes further alerts: not one that waits since a fault of long ago."""
        idle_since = record.idle_since
        is_recent = idle_since is None or self._now() - idle_since < JOIN_AFTER_END
        return is_recent and record.phase != "merged"

    def _join(self, record: RunRecord, alert: JoinedAlert) -> RunRecord:
        fields: dict[str, object] = {"alerts": (*record.alerts, alert)}
        if record.state == "interrupted":
            fields["owner"] = ProcessIdentity.current()
        elif record.idle_since is not None:
            steps = step_records(self.find_steps(record.runbook), self._environment)
            owner = ProcessIdentity.current()
            fields |= {"phase": "running", "owner": owner, "ended_at": None, "steps": steps}
        return self._save(record.model_copy(update=fields))

    def _create(self, runbook: str, alerts: Sequence[JoinedAlert]) -> RunRecord:
        started_at = self._now()
        steps = step_records(self.find_steps(runbook), self._environment)
        self._prune()
        return self._save(
            RunRecord(
                id=self._free_id(f"{started_at:%Y%m%d-%H%M%S}-{runbook}"),
                environment=self._environment,
                runbook=runbook,
                started_at=started_at,
                owner=ProcessIdentity.current(),
                alerts=tuple(alerts),
                steps=steps,
            )
        )

    def _free_id(self, name: str) -> str:
        number = 1
        while (self._folder / f"{name}{f'-{number}' if number > 1 else ''}.json").exists():
            number += 1
        return f"{name}-{number}" if number > 1 else name

    def _prune(self) -> None:
        records = self.records()
        over = [record for record in records if not record.is_open]
        for record in over[: max(0, len(records) - MAX_RUNS + 1)]:
            for suffix in ("json", "lock"):
                (self._folder / f"{record.id}.{suffix}").unlink(missing_ok=True)

    def _save(self, record: RunRecord) -> RunRecord:
        write_atomically(self._folder / f"{record.id}.json", record.model_dump_json(indent=1))
        return record

    def _refusal(self, record: RunRecord) -> RunInProgressError:
        owner = f" by process {record.owner.pid}" if record.owner and record.state == "running" else ""
        return RunInProgressError(
            f"the run `{record.id}` of this runbook is {record.state}{owner}",
            location=str(self._folder / f"{record.id}.json"),
            remedy=f"Continue it: `esq runbook run {record.runbook} {record.environment} --resume`.",
        )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._folder / "store.lock").open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
