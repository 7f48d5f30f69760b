"""Open an environment for experiments, run them, and store their reports and measurements."""

from __future__ import annotations

import datetime as dt
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from chaos.experiment import Experiment, load
from chaos.html_report import render_report
from chaos.results import ChaosReport, ExperimentRun
from chaos.runner import run as run_once
from chaos.safety import require_confirmation, wait_until_healthy
from chaos.target import Target
from chaos.traffic.client import Endpoints
from cli.actions import health
from cli.actions.deployment_target import open_deployed_target
from cli.actions.slo import record_measurement
from cli.actions.stack_config import load_credentials
from infra.config_files import garage, kafka, postgres, redis
from infra.errors import EsqError
from infra.measurements.measurements import current_commit, host_facts, package_versions
from infra.measurements.report_store import ReportStore
from infra.names import (
    DATA_NAMESPACE,
    DATABASE,
    KAFKA_ADMIN,
    MEDIA_BUCKET,
    PROBE_ROLE,
    STATEFUL_REPLICAS,
    login_role,
    pod_dns,
    service_dns,
)
from infra.subprocesses import PYTHON_MODULE
from services.contracts.kafka_access import account_name

if TYPE_CHECKING:
    from cli.actions.deployment_target import DeploymentTarget
    from cli.environment import Environment
    from infra.credentials import Credentials
    from infra.progress import ProgressReporter

_TEMPLATE_TEXT = "Olá {name}, até já."
_FIRST_NUMBER = 119_7000_0000


def chaos_dir(environment: Environment) -> Path:
    """Return the folder of the journals and reports of an environment."""
    return environment.folder / "chaos"


def report_store(environment: Environment) -> ReportStore[ChaosReport]:
    """Return the reports of an environment."""
    return ReportStore(
        chaos_dir(environment) / "reports",
        ChaosReport,
        f"`esq chaos run {environment.name} EXPERIMENT`, see `esq chaos list`.",
    )


def open_experiment_target(environment: Environment, progress: ProgressReporter) -> Target:
    """Open an environment for experiments.

    Args:
        environment: the environment.
        progress: receives the steps.

    Returns:
        The target of the experiments.

    Raises:
        EsqError: the environment was not deployed from this host.
    """
    target = open_deployed_target(environment, progress)
    access = load_credentials(target.engine())
    return Target(
        environment=environment.name,
        folder=chaos_dir(environment),
        kubeconfig=target.kubeconfig,
        cluster=target.cluster,
        credentials=access,
        find_problems=lambda: _health_problems(target),
        endpoints=partial(_endpoints, target, access),
        campaign_command=partial(_campaign_command, environment),
        rotation_command=_rotation_command(environment),
        read_token_key=lambda: load_credentials(target.engine()).application.token_key,
    )


def _health_problems(target: DeploymentTarget) -> list[str]:
    """Return the problems of all components; an unreachable cluster is one of them."""
    try:
        return health.collect_health(target).problems
    except EsqError as error:
        return [error.message]


def run_experiment(  # noqa: PLR0913, PLR0917 - one argument per command line option
    environment: Environment,
    name: str,
    runs: int,
    confirmed_name: str | None,
    command: str,
    progress: ProgressReporter,
) -> tuple[ChaosReport, Path]:
    """Run an experiment; store its report and its SLO measurements.

    Args:
        environment: environment to run it on.
        name: name of the experiment.
        runs: number of runs.
        confirmed_name: name of the environment as confirmation, required unless its cluster is embedded.
        command: command line, for the report.
        progress: receives the steps.

    Returns:
        The report and the path of its HTML page.

    Raises:
        EsqError: the experiment could not run, or a fault could not be undone.
    """
    experiment = load(name)
    require_confirmation(environment.name, confirmed_name, is_embedded=environment.is_local_cluster)
    target = open_experiment_target(environment, progress)
    started_at, store = dt.datetime.now(dt.UTC), report_store(environment)
    folder, facts = store.create(name, started_at), host_facts()
    results: list[ExperimentRun] = []
    try:
        for number in range(1, runs + 1):
            with progress.step(f"run {number} of {runs}"):
                if number > 1:
                    _wait_for_steady_state(target, progress)
                results.append(run_once(experiment, target, folder / f"run-{number}", progress))
    finally:
        report = _build_report(experiment, target, results, started_at, command, facts)
        page = store.write(folder, report, render_report(report, experiment.runbook))
    _record_measurements(environment, report, page)
    return report, page


def _wait_for_steady_state(target: Target, progress: ProgressReporter) -> None:
    """Wait between two runs until the effects of the first one are gone."""
    with progress.step("steady state") as step:
        wait_until_healthy(target, step)


def _build_report(  # noqa: PLR0913, PLR0917 - the fields of the report
    experiment: Experiment,
    target: Target,
    results: list[ExperimentRun],
    started_at: dt.datetime,
    command: str,
    facts: dict[str, str | float],
) -> ChaosReport:
    return ChaosReport(
        experiment=experiment.name,
        title=experiment.title,
        description=experiment.description,
        environment=target.environment,
        started_at=started_at.isoformat(timespec="seconds"),
        command=command,
        slos=experiment.extension.slos if target.cluster is not None else {},
        runs=tuple(results),
        host=facts,
        versions=package_versions(),
        commit=current_commit(),
        runbook=experiment.extension.runbook,
    )


def _record_measurements(environment: Environment, report: ChaosReport, page: Path) -> None:
    for evaluation in report.evaluations:
        detail = {"experiment": report.experiment, "report": str(page), "metric": evaluation.metric}
        record_measurement(
            environment, evaluation.slo_id, evaluation.distribution.runs, report.command, detail
        )


def _endpoints(target: DeploymentTarget, access: Credentials, run_name: str) -> Endpoints:
    """Return the endpoints and credentials for the clients of a run."""
    edge_ca_certificate = target.cluster.ca.read_text() if target.cluster is not None else ""
    sentinels = (pod_dns(f"redis-{number}", "redis", DATA_NAMESPACE) for number in range(STATEFUL_REPLICAS))
    return Endpoints(
        run_name=run_name,
        ca_certificate=access.ca_bundle,
        edge_url=target.address,
        edge_ca_certificate=edge_ca_certificate,
        token_key=access.application.token_key,
        postgres={
            "host": service_dns("postgres", DATA_NAMESPACE),
            "port": str(postgres.PORT),
            "user": login_role(PROBE_ROLE, access.generation),
            "password": access.postgres.probe,
            "database": DATABASE,
        },
        kafka={
            "bootstrap": f"{service_dns('kafka', DATA_NAMESPACE)}:{kafka.CLIENT_PORT}",
            "mechanism": kafka.MECHANISM,
            "user": account_name(KAFKA_ADMIN, access.generation),
            "password": access.kafka.admin,
        },
        redis={
            "sentinels": ",".join(f"{host}:{redis.SENTINEL_PORT}" for host in sentinels),
            "master": redis.MASTER_NAME,
            "user": redis.ADMIN,
            "password": access.redis.admin,
        },
        object_store={
            "url": f"https://{service_dns('object-store', DATA_NAMESPACE)}:{garage.S3_PORT}",
            "region": garage.REGION,
            "bucket": MEDIA_BUCKET,
            "key_id": access.object_store.media_key_id,
            "key_secret": access.object_store.media_key_secret,
        },
    )


def _rotation_command(environment: Environment) -> tuple[str, ...]:
    """Return the command that replaces all credentials."""
    return (*PYTHON_MODULE, "cli.main", "credentials", "rotate", environment.name, "--yes", "--json")


def _campaign_command(environment: Environment, contacts: str) -> list[str]:
    """Return the command that sends a new campaign to this number of generated contacts."""
    stamp = dt.datetime.now(dt.UTC).strftime("%H%M%S%f")
    folder = Path(tempfile.mkdtemp(prefix="esq-campaign-"))
    rows = "\n".join(f"Contato {n},{_FIRST_NUMBER + n}" for n in range(int(contacts)))
    (folder / f"chaos-{stamp}.csv").write_text(f"name,phone\n{rows}\n", encoding="utf-8")
    (folder / "text.txt").write_text(f"{_TEMPLATE_TEXT} ({stamp})", encoding="utf-8")
    return [
        *(*PYTHON_MODULE, "cli.main", "campaign", "send", environment.name, "--json"),
        *("--company", "chaos", "--contacts", str(folder / f"chaos-{stamp}.csv")),
        *("--template", str(folder / "text.txt")),
    ]
