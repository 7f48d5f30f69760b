"""Experiment runner: traffic, timeline and abort monitor around Chaos Toolkit, and an unconditional rollback.

The order makes a run safe and its measurements valid: check the preconditions; start the watchdog;
start the traffic and wait until it flows; inject; undo in any case; wait until the system is healthy; stop
the traffic; compare the acknowledged writes with the stored ones.
"""

from __future__ import annotations

import copy
import json
import logging
import subprocess
import time
import uuid
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from chaoslib.experiment import run_experiment

from chaos import safety, watchdog
from chaos.context import Context, running
from chaos.results import CampaignResult, ExperimentRun, activity_results
from chaos.run_lock import exclusive_run
from chaos.timeline import Timeline, cluster_sampler
from chaos.traffic.client_stats import compute_stats
from chaos.traffic.process import Traffic
from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from chaos.experiment import Experiment
    from chaos.target import Target
    from infra.progress import ProgressReporter, ProgressStep

CAMPAIGN_TIMEOUT_SECONDS = 600.0
BASELINE_SECONDS = 3.0
"""Duration of the traffic before the first fault, so that a report shows the normal state."""
COOLDOWN_SECONDS = 3.0
_SETTINGS = {"runtime": {"rollbacks": {"strategy": "always"}, "hypothesis": {"strategy": "default"}}}
log = logging.getLogger("chaostoolkit")


def run(experiment: Experiment, target: Target, folder: Path, progress: ProgressReporter) -> ExperimentRun:
    """Run an experiment once.

    Args:
        experiment: the experiment.
        target: environment to run it on.
        folder: folder for the journal and the log of Chaos Toolkit.
        progress: receives the steps.

    Returns:
        The results of the run.

    Raises:
        EsqError: the run could not start, or a fault could not be undone.
        KeyboardInterrupt: the run was interrupted; all faults are undone.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with exclusive_run(target.journal, experiment.name) as active_run, ExitStack() as stack:
        with progress.step("steady state") as step:
            step.set_status("checking all components")
            safety.check_preconditions(target)
            step.set_result("healthy")
        step = stack.enter_context(progress.step(experiment.name))
        context = Context(target, experiment.name, step, run_id=active_run.run_id)
        stack.enter_context(watchdog.start(target.journal, on_loss=context.abort))
        stack.enter_context(running(context))
        stack.enter_context(_chaostoolkit_log(folder / "chaostoolkit.log"))
        return _run_observed(experiment, context, folder, stack)


def _run_observed(experiment: Experiment, context: Context, folder: Path, stack: ExitStack) -> ExperimentRun:
    """Run with traffic, timeline and abort monitor, and collect the results."""
    target, step, extension = context.target, context.step, experiment.extension
    leaders_before = _leaders(target)
    traffic = context.traffic = _start_traffic(experiment, context, stack)
    timeline = stack.enter_context(Timeline(cluster_sampler(target)))
    if traffic is not None:
        limits = extension.abort_after_silence_seconds
        stack.enter_context(safety.AbortMonitor(lambda: traffic.silence, limits, context.abort))
    started_at = time.monotonic()
    campaign_process = (
        _start_campaign(extension.campaign_contacts, target) if extension.campaign_contacts else None
    )
    context.wait(BASELINE_SECONDS, "traffic before the fault")
    journal = _run_chaostoolkit(experiment, context)
    (folder / "journal.json").write_text(json.dumps(journal, indent=2, default=str))
    problems = safety.wait_until_healthy(target, step)
    campaign = _campaign_result(campaign_process, step) if campaign_process else None
    leaders_after = _leaders(target)
    context.wait(0 if context.abort_reason else COOLDOWN_SECONDS, "traffic after the fault")
    ended_at = time.monotonic()
    step.set_status("reading the stored writes")
    result = traffic.result() if traffic is not None else {"streams": {}, "stored": {}, "problems": []}
    stored = result["stored"]
    experiment_run = ExperimentRun(
        started_at=started_at,
        ended_at=ended_at,
        annotations=tuple(context.annotations),
        activities=activity_results(journal),
        streams={
            name: compute_stats(stream, ended_at, stored.get(name))
            for name, stream in result["streams"].items()
        },
        events=tuple(event for event in timeline.events if event.at >= started_at),
        last_reading_at=timeline.last_reading_at,
        campaign=campaign,
        failovers=sum(leaders_after.get(name) != leader for name, leader in leaders_before.items()),
        status=str(journal["status"]),
        deviated=bool(journal["deviated"]),
        problems=(*result["problems"], *(f"not healthy again in time: {problem}" for problem in problems)),
        abort_reason=context.abort_reason,
    )
    step.set_result(_summary(experiment_run))
    return experiment_run


def _start_traffic(experiment: Experiment, context: Context, stack: ExitStack) -> Traffic | None:
    """Start the clients; none on an external cluster, whose names the host cannot resolve."""
    clients, target = experiment.extension.traffic, context.target
    if not clients or target.cluster is None:
        return None
    context.step.set_status("waiting for the clients to connect")
    spec = target.cluster.spec
    run_name = f"chaos{uuid.uuid4().hex[:8]}"
    nameservers = [str(spec.node(zone)) for zone in spec.zones]
    timeout = {"edge_timeout_seconds": experiment.extension.edge_timeout_seconds}
    endpoints = target.endpoints(run_name).model_copy(update=timeout)
    return stack.enter_context(Traffic(clients, endpoints, nameservers))


def _run_chaostoolkit(experiment: Experiment, context: Context) -> dict[str, Any]:
    """Run the experiment with Chaos Toolkit, then undo all faults in any case."""
    try:
        journal: dict[str, Any] = run_experiment(copy.deepcopy(experiment.document), settings=_SETTINGS)
    finally:
        context.undo()
    if journal["status"] == "interrupted":
        raise KeyboardInterrupt
    return journal


def _leaders(target: Target) -> dict[str, tuple[str, int]]:
    """Return the leader of each replicated component with the number of its election."""
    partitions = {name: (name, leader) for name, leader in target.kafka_leaders()[1].items()}
    return {"postgres": target.postgres_leader(), "redis": target.redis_primary(), **partitions}


def _start_campaign(contacts: int, target: Target) -> subprocess.Popen[str]:
    """Start sending a campaign."""
    return subprocess.Popen(
        target.campaign_command(str(contacts)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _campaign_result(process: subprocess.Popen[str], step: ProgressStep) -> CampaignResult:
    """Wait for the end of the campaign and return its reconciliation with the ledger.

    Raises:
        EsqError: the campaign did not end, or could not be reconciled.
    """
    step.set_status("waiting for the campaign to end")
    try:
        out, errors = process.communicate(timeout=CAMPAIGN_TIMEOUT_SECONDS)
        report = json.loads(out)
        return CampaignResult(
            planned=report["planned"], seconds=report["seconds"], **report["reconciliation"]
        )
    except (subprocess.TimeoutExpired, ValueError, KeyError) as error:
        process.kill()
        raise EsqError(
            "the campaign that was sent during the fault has no result",
            location="esq campaign send",
            remedy="Send it again by hand: it continues at its current state.",
            detail="" if isinstance(error, subprocess.TimeoutExpired) else (errors or out)[-2000:],
        ) from error


def _summary(run: ExperimentRun) -> str:
    if run.abort_reason:
        return f"aborted: {run.abort_reason}"
    unavailability = [
        f"{name} {stats.max_unavailability_seconds:.1f} s"
        for name, stats in run.streams.items()
        if ".write" in name
    ]
    state = f"; {run.outcome}: {'; '.join(run.reasons)}" if run.reasons else ""
    return (
        f"unavailability: {', '.join(unavailability) or 'not measured'}; "
        f"{run.lost} lost, {run.duplicated} duplicated{state}"
    )


@contextmanager
def _chaostoolkit_log(file: Path) -> Iterator[None]:
    """Write the log of Chaos Toolkit to a file; the terminal shows progress."""
    handler = logging.FileHandler(file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    original_settings = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.level, log.propagate = original_settings
        handler.close()
