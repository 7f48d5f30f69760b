"""Receives the webhooks of Alertmanager: one run per fault, and at most a few at the same time.

- Authenticated: a request without the token is refused before its body is read.
- Bounded: the size of a request, the alerts in it, the runs that work and those that wait. What is too much
  is refused with 503, and Alertmanager repeats it.
- Idempotent: a repeated notification finds its run.
- Nothing blocks the next: a request is answered as soon as its run is on disk; workers walk through the runs.
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - pydantic reads the annotations when the class is created
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.errors import EsqError
from runbooks.fault_groups import runbook_of
from runbooks.run_record import JoinedAlert

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbooks.run_record import RunRecord
    from runbooks.run_store import RunStore

MAX_ALERTS = 500
MAX_WORKERS = 4
"""Runs that are worked on at the same time."""
MAX_WAITING = 100
"""Runs that wait for a worker."""
_MAX_SUMMARY_CHARACTERS = 500


class MalformedRequestError(EsqError):
    """The body is not a webhook of Alertmanager."""


class OverloadedError(EsqError):
    """Too many runs wait for a worker."""


class _Alert(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = Field(default_factory=dict)
    starts_at: dt.datetime = Field(alias="startsAt")
    ends_at: dt.datetime | None = Field(default=None, alias="endsAt")
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}$")]

    def joined(self) -> JoinedAlert:
        """Return the alert as a run keeps it."""
        return JoinedAlert(
            fingerprint=self.fingerprint,
            name=self.labels.get("alertname", ""),
            started_at=self.starts_at,
            summary=self.annotations.get("summary", "")[:_MAX_SUMMARY_CHARACTERS],
            resolved_at=self.ends_at if self.status == "resolved" else None,
        )


class _Webhook(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    alerts: tuple[_Alert, ...] = Field(max_length=MAX_ALERTS)


class AlertReceiver:
    """Turns notifications into runs.

    Args:
        store: the runs of the environment.
        work: walks through a run.
        close: verifies a run whose alerts have all ended.
    """

    def __init__(
        self, store: RunStore, work: Callable[[str], object], close: Callable[[str], object]
    ) -> None:
        self._store = store
        self._work = work
        self._close = close
        self._pool = ThreadPoolExecutor(MAX_WORKERS, thread_name_prefix="runbook")
        self._lock = threading.Lock()
        self._waiting = 0

    def receive(self, body: bytes) -> list[RunRecord]:
        """Handle a webhook.

        Returns:
            The runs of its alerts.

        Raises:
            MalformedRequestError: the body is not a webhook of Alertmanager.
            OverloadedError: too many runs wait; nothing of the webhook is lost when it is repeated.
        """
        try:
            webhook = _Webhook.model_validate_json(body)
        except ValidationError as error:
            raise MalformedRequestError(
                f"not a webhook of Alertmanager: {error.error_count()} problems"
            ) from error
        runs = {run.id: run for alert in webhook.alerts for run in self._handle(alert)}
        return list(runs.values())

    def continue_interrupted(self) -> list[str]:
        """Continue the runs that another process was killed in; return their ids."""
        interrupted = [record.id for record in self._store.records() if record.state == "interrupted"]
        for run_id in interrupted:
            self._submit(self._work_until_over, run_id)
        return interrupted

    def stop(self) -> None:
        """Start no further run; those that are worked on continue."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _handle(self, alert: _Alert) -> list[RunRecord]:
        joined = alert.joined()
        if joined.resolved_at is not None:
            return self._resolve(joined)
        if self._waiting >= MAX_WAITING:
            raise OverloadedError(f"{self._waiting} runs wait for a worker")
        record, must_work = self._store.report(runbook_of(joined.name), joined)
        if must_work:
            self._submit(self._work_until_over, record.id)
        return [record]

    def _resolve(self, alert: JoinedAlert) -> list[RunRecord]:
        records = self._store.resolve(alert)
        for record in records:
            if _has_ended(record):
                self._submit(self._close, record.id)
        return records

    def _work_until_over(self, run_id: str) -> None:
        """Walk through a run, and close it if its alerts have ended meanwhile."""
        self._work(run_id)
        if _has_ended(self._store.read(run_id)):
            self._close(run_id)

    def _submit(self, function: Callable[[str], object], run_id: str) -> None:
        with self._lock:
            self._waiting += 1
        self._pool.submit(self._call, function, run_id)

    def _call(self, function: Callable[[str], object], run_id: str) -> None:
        with self._lock:
            self._waiting -= 1
        try:
            function(run_id)
        except Exception as error:  # noqa: BLE001 - the failure of one run must not end the others
            sys.stderr.write(f"run {run_id}: {type(error).__name__}: {error}\n")


def _has_ended(record: RunRecord) -> bool:
    return record.phase == "waiting" and all(joined.resolved_at for joined in record.alerts)
