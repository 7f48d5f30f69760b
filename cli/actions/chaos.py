"""Opening an environment for experiments, running them, and keeping what they show."""

from __future__ import annotations

import datetime as dt
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from chaos.experiment import Experiment, load
from chaos.guard import await_well, confirm
from chaos.page import html
from chaos.result import Report, Run
from chaos.run import run as run_once
from chaos.target import Target
from chaos.traffic.client import Endpoints
from cli.actions import health
from cli.actions.ground import look
from cli.actions.promises import record
from cli.actions.settings import credentials
from infra.errors import EsqError
from infra.measurements.measurements import current_commit, host_facts, package_versions
from infra.measurements.report_store import ReportStore
from infra.names import (
    ADMIN_ROLE,
    DATA_NAMESPACE,
    DATABASE,
    KAFKA_ADMIN,
    MEDIA_BUCKET,
    STATEFUL_REPLICAS,
    pod_dns,
    service_dns,
)
from infra.render import kafka, objects, postgres, redis

if TYPE_CHECKING:
    from chaos.journal import Entry
    from cli.actions.ground import Ground
    from cli.environment import Environment
    from infra.credentials import Credentials
    from infra.progress import ProgressReporter

_TEXT = "Olá {name}, até já."
_FIRST_NUMBER = 119_7000_0000


def folder(environment: Environment) -> Path:
    """Return where journals and reports are kept."""
    return environment.folder / "chaos"


def reports(environment: Environment) -> ReportStore[Report]:
    """Return the reports of an environment."""
    return ReportStore(folder(environment) / "reports", Report, "`esq chaos run`, see `esq chaos list`.")


def target(environment: Environment, steps: ProgressReporter) -> Target:
    """Open an environment.

    Raises:
        EsqError: it was not deployed here.
    """
    ground = look(environment, steps)
    found = credentials(environment, ground.engine())
    return Target(
        environment=environment.name,
        folder=folder(environment),
        kubeconfig=ground.kubeconfig,
        cluster=ground.cluster,
        credentials=found,
        troubles=lambda: _troubles(ground),
        endpoints=partial(_endpoints, ground, found),
        campaign=partial(_campaign, environment),
    )


def _troubles(ground: Ground) -> list[str]:
    """Return what is not well; a cluster that does not answer is one of these things."""
    try:
        return health.look(ground).troubles
    except EsqError as error:
        return [error.message]


def recover(environment: Environment, steps: ProgressReporter) -> list[Entry]:
    """Undo every fault that is open.

    Raises:
        UndoFailedError: some could not be undone; the commands are told.
    """
    from chaos.journal import UndoJournal  # noqa: PLC0415 - must work with as little as possible

    with steps.step("recover") as step:
        undone = UndoJournal(folder(environment) / "open").recover()
        step.set_result(", ".join(str(entry.fault) for entry in undone) or "nothing was open")
    return undone


def run(  # noqa: PLR0913, PLR0917 - what the command was given
    environment: Environment, name: str, runs: int, named: str | None, command: str, steps: ProgressReporter
) -> tuple[Report, Path]:
    """Run an experiment some times; keep its report, and its figures as evidence.

    Args:
        environment: what to hurt.
        name: of the experiment.
        runs: how often.
        named: what the user said the environment is called, where that is asked for.
        command: what was typed.
        steps: told as they begin and end.

    Raises:
        EsqError: it could not be run, or something could not be undone.
    """
    experiment = load(name)
    confirm(environment.name, named)
    opened = target(environment, steps)
    began, kept = dt.datetime.now(dt.UTC), reports(environment)
    place, facts = kept.create(name, began), host_facts()
    done: list[Run] = []
    try:
        for number in range(1, runs + 1):
            with steps.step(f"run {number} of {runs}"):
                _settle(opened, steps, first=number == 1)
                done.append(run_once(experiment, opened, place / f"run-{number}", steps))
    finally:
        report = _report(experiment, opened, done, began, command, facts)
        page = kept.write(place, report, html(report, experiment.runbook))
    _keep(environment, report, page)
    return report, page


def _settle(opened: Target, steps: ProgressReporter, *, first: bool) -> None:
    """Between two runs, wait until the first one's traces are gone; before the first, nobody waits."""
    if not first:
        with steps.step("well again") as step:
            await_well(opened, step)


def _report(  # noqa: PLR0913, PLR0917 - what a report says of a run
    experiment: Experiment,
    opened: Target,
    done: list[Run],
    began: dt.datetime,
    command: str,
    facts: dict[str, str | float],
) -> Report:
    return Report(
        experiment=experiment.name,
        title=experiment.title,
        description=experiment.description,
        environment=opened.environment,
        at=began.isoformat(timespec="seconds"),
        command=command,
        promises=experiment.addition.promises if opened.cluster is not None else {},
        runs=tuple(done),
        host=facts,
        versions=package_versions(),
        commit=current_commit(),
        runbook=experiment.addition.runbook,
    )


def _keep(environment: Environment, report: Report, page: Path) -> None:
    for verdict in report.verdicts:
        detail = {"experiment": report.experiment, "report": str(page), "metric": verdict.metric}
        record(environment, verdict.slo_id, verdict.distribution.values, report.command, detail)


def _endpoints(ground: Ground, found: Credentials, run: str) -> Endpoints:
    """Return where clients find the platform, for a run of that name."""
    authority = ground.cluster.ca.read_text() if ground.cluster is not None else ""
    sentinels = (pod_dns(f"redis-{number}", "redis", DATA_NAMESPACE) for number in range(STATEFUL_REPLICAS))
    return Endpoints(
        run=run,
        authority=found.authority.certificate,
        edge=ground.address,
        edge_authority=authority,
        token_key=found.application.token_key,
        postgres={
            "host": service_dns("postgres", DATA_NAMESPACE),
            "port": str(postgres.PORT),
            "user": ADMIN_ROLE,
            "password": found.postgres.admin,
            "database": DATABASE,
        },
        kafka={
            "bootstrap": f"{service_dns('kafka', DATA_NAMESPACE)}:{kafka.CLIENT_PORT}",
            "mechanism": kafka.MECHANISM,
            "user": KAFKA_ADMIN,
            "password": found.kafka.admin,
        },
        redis={
            "sentinels": ",".join(f"{host}:{redis.SENTINEL_PORT}" for host in sentinels),
            "master": redis.MASTER,
            "password": found.redis.password,
            "sentinel_password": found.redis.sentinel,
        },
        objects={
            "url": f"https://{service_dns('objects', DATA_NAMESPACE)}:{objects.S3_PORT}",
            "region": objects.REGION,
            "bucket": MEDIA_BUCKET,
            "key_id": found.objects.key_id,
            "key_secret": found.objects.key_secret,
        },
    )


def _campaign(environment: Environment, contacts: str) -> list[str]:
    """Return the command line that sends a campaign to so many made-up contacts, a new one each time."""
    stamp = dt.datetime.now(dt.UTC).strftime("%H%M%S%f")
    made = Path(tempfile.mkdtemp(prefix="esq-campaign-"))
    rows = "\n".join(f"Contato {n},{_FIRST_NUMBER + n}" for n in range(int(contacts)))
    (made / f"chaos-{stamp}.csv").write_text(f"name,phone\n{rows}\n", encoding="utf-8")
    (made / "text.txt").write_text(f"{_TEXT} ({stamp})", encoding="utf-8")
    return [
        *(sys.executable, "-m", "cli.main", "campaign", "send", "--json", "--env", environment.name),
        *("--company", "chaos", "--contacts", str(made / f"chaos-{stamp}.csv")),
        *("--text", str(made / "text.txt")),
    ]
