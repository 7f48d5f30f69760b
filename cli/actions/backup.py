"""Backups by hand: taken now, listed, tried, and restored beside the running database."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING, Any

from cli.actions.ground import look
from cli.actions.jobs import Jobs
from cli.actions.promises import record
from infra.components import backup as names
from infra.components.backup import status
from infra.components.backup.inside import selection
from infra.components.pods import KubernetesPods
from infra.errors import EsqError, UsageError
from infra.names import DATA_NAMESPACE, DATABASE, service_dns

if TYPE_CHECKING:
    from cli.actions.ground import Ground
    from cli.environment import Environment
    from infra.components.backup.inside.selection import Choice
    from infra.components.backup.status import Seen
    from infra.progress import ProgressReporter, ProgressStep

BACKUP_SECONDS = 3900.0
DRILL_SECONDS = 7500.0
BESIDE_SECONDS = 3900.0
_PAUSE = 0.5


def ground_of(environment: Environment, steps: ProgressReporter) -> Ground:
    """Return where an environment stands.

    Raises:
        EsqError: it was never deployed.
    """
    ground = look(environment, steps)
    if not ground.kubeconfig.is_file():
        raise EsqError(
            f"`{environment.name}` is not there",
            location=str(ground.kubeconfig),
            remedy=f"Deploy it: `esq deploy {environment.name}`; if lost: `esq backup rebuild ...`.",
        )
    return ground


def jobs(ground: Ground) -> Jobs:
    """Return the jobs of the data layer."""
    return Jobs(ground.kubeconfig, DATA_NAMESPACE)


def seen(ground: Ground) -> Seen:
    """Return what the witness saw last.

    Raises:
        NoAnswerError: it cannot be asked.
    """
    return status.read(KubernetesPods(ground.kubeconfig, DATA_NAMESPACE))


def now(environment: Environment, steps: ProgressReporter, *, full: bool) -> dict[str, Any]:
    """Take a backup into every repository.

    Raises:
        EsqError: one of them could not be; what the program said is in the detail.
    """
    ground = ground_of(environment, steps)
    with steps.step("full backup" if full else "differential backup") as step:
        told = take(ground, step, full=full)
        step.set_result(
            f"{told['seconds']:g} s, copied from {', '.join(sorted(set(told['copied_from'].values())))}"
        )
    return told


def take(ground: Ground, step: ProgressStep, *, full: bool) -> dict[str, Any]:
    """Take a backup.

    Raises:
        EsqError: see `now`.
    """
    work, env = jobs(ground), ground.environment.name
    name = work.start(names.FULL if full else names.DIFFERENTIAL)
    told = work.follow(name, step, BACKUP_SECONDS, remedy=f"Repeat `esq backup now {env}`.")
    if not told["good"]:
        raise EsqError(
            "the backup could not be taken everywhere",
            location=f"job {DATA_NAMESPACE}/{name}",
            remedy="runbooks/backup-stale.md tells what to look at.",
            detail="\n".join(f"- {fault}" for fault in told["faults"]),
        )
    return told


def drill(environment: Environment, steps: ProgressReporter) -> dict[str, Any]:
    """Run the drill and return its result: verdict, RPO and RTO, rows compared, versions.

    Raises:
        EsqError: it told nothing.
    """
    ground = ground_of(environment, steps)
    work = jobs(ground)
    with steps.step("drill") as step:
        name = work.start(names.DRILL)
        told = work.follow(name, step, DRILL_SECONDS, remedy=f"Repeat `esq backup drill {environment.name}`.")
        step.set_result("good" if told["good"] else f"{len(told['faults'])} faults")
    _keep(environment, told)
    return told


def _keep(environment: Environment, told: dict[str, Any]) -> None:
    """Keep what a good drill measured as evidence; a bad one measured nothing that could be relied on."""
    if not told["good"]:
        return
    for promise, figure in (("backup-rpo", "rpo_seconds"), ("backup-rto", "rto_seconds")):
        if told[figure] is not None:
            command = f"esq backup drill {environment.name}"
            record(environment, promise, [float(told[figure])], command, {"drill": told})


def listed(environment: Environment, steps: ProgressReporter) -> dict[str, Any]:
    """Return what can be restored, and how the backups are, as plain values.

    Raises:
        NoAnswerError: the witness cannot be asked.
    """
    found = seen(ground_of(environment, steps))
    moment = dt.datetime.now(dt.UTC)
    return {
        **found.model_dump(mode="json"),
        "first_moment": min((each.ended for each in found.backups), default=None),
        "summary": status.summary(found, moment),
        "troubles": status.troubles(found, moment),
    }


def chosen(ground: Ground, wish: str) -> Choice:
    """Return how to restore `wish`, before anything is done.

    Raises:
        UsageError: it cannot be had.
        NoAnswerError: the witness cannot be asked what there is.
    """
    try:
        found = seen(ground)
        choice = selection.choose(found.backups, wish, origin=found.origin)
        if wish != selection.LATEST and "--type=time" in choice.arguments:
            _must_be_past(selection.moment(wish))
    except (selection.NotRestorableError, ValueError) as error:
        env = ground.environment.name
        raise UsageError(
            f"`{wish}` cannot be restored: {error}",
            location="--to",
            remedy=f"Give `latest`, a time (2026-01-31T12:00:00Z), or a label of `esq backup list {env}`.",
        ) from error
    return choice


def _must_be_past(target: dt.datetime) -> None:
    if target > dt.datetime.now(dt.UTC):
        raise ValueError("it is in the future")


def beside(environment: Environment, wish: str, steps: ProgressReporter) -> dict[str, Any]:
    """Restore `wish` beside the running database, and leave a Postgres serving it.

    Raises:
        UsageError: one is there already, or `wish` cannot be had.
        EsqError: it could not be restored.
    """
    ground = ground_of(environment, steps)
    work, begun = jobs(ground), time.monotonic()
    if work.pod(names.BESIDE) is not None:
        raise UsageError(
            "a restored database stands beside the running one already",
            location=f"job {DATA_NAMESPACE}/{names.BESIDE}",
            remedy=f"Take it away: `esq backup restore {environment.name} --remove`.",
        )
    choice = chosen(ground, wish)
    with steps.step(f"restore {wish} beside") as step:
        work.start(names.BESIDE, name=names.BESIDE, words=choice.arguments)
        _await_serving(work, step)
        step.set_result(f"from backup {choice.backup.label}" if choice.backup else "")
    return {
        "to": wish,
        "backup": choice.backup.label if choice.backup else None,
        "repository": choice.backup.repository if choice.backup else None,
        "host": service_dns(names.BESIDE, DATA_NAMESPACE),
        "database": DATABASE,
        "seconds": round(time.monotonic() - begun, 1),
    }


def _await_serving(work: Jobs, step: ProgressStep) -> None:
    deadline = time.monotonic() + BESIDE_SECONDS
    while True:
        pod = work.pod(names.BESIDE)
        if pod is not None and any(each.ready for each in pod.status.container_statuses or []):
            return
        if pod is not None and pod.status.phase == "Failed":
            faults = (work.result(names.BESIDE) or {}).get("faults") or [work.log(names.BESIDE)]
            work.remove(names.BESIDE)
            raise EsqError("it could not be restored", location="the pod", detail="\n".join(faults))
        if time.monotonic() > deadline:
            raise EsqError(f"it is not restored after {BESIDE_SECONDS:g} s", detail=work.log(names.BESIDE))
        step.set_status("the restored Postgres to have replayed its log" if pod else "its pod")
        time.sleep(_PAUSE)


def remove(environment: Environment, steps: ProgressReporter) -> bool:
    """Take the restored database beside the running one away; tell whether there was one."""
    ground = ground_of(environment, steps)
    with steps.step("remove the restored database"):
        return jobs(ground).remove(names.BESIDE)
