"""Running an experiment: traffic, timeline and guard around Chaos Toolkit, and everything undone at the end.

The order is what makes a run safe and its figures honest: refuse where all is not well; start the timer that
undoes what a killed run leaves; start the traffic and see it flow; only then hurt; undo in any case; wait
until all is well; stop the traffic; hold what clients were told against what is there.
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

from chaos import deadman, guard
from chaos.context import Context, running
from chaos.result import Campaign, Run
from chaos.timeline import Timeline, observer
from chaos.traffic.figures import figures
from chaos.traffic.process import Traffic
from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from chaos.experiment import Experiment
    from chaos.target import Target
    from infra.progress import ProgressStep, ProgressReporter

CAMPAIGN_SECONDS = 600.0
LEAD_SECONDS = 3.0
"""Traffic flows this long before anything is hurt, so that a report shows what normal was."""
TAIL_SECONDS = 3.0
_SETTINGS = {"runtime": {"rollbacks": {"strategy": "always"}, "hypothesis": {"strategy": "default"}}}
log = logging.getLogger("chaostoolkit")


def run(experiment: Experiment, target: Target, folder: Path, steps: ProgressReporter) -> Run:
    """Run an experiment once.

    Args:
        experiment: what to do.
        target: to whom.
        folder: for Chaos Toolkit's journal and log.
        steps: told as they begin and end.

    Raises:
        EsqError: it could not be begun, or something could not be undone.
        KeyboardInterrupt: it was interrupted; everything is undone.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with steps.step("steady state") as step:
        step.set_status("an answer from every part")
        guard.refuse(target)
        step.set_result("all well")
    deadman.start(target.journal)
    with steps.step(experiment.name) as step, ExitStack() as stack:
        context = stack.enter_context(running(Context(target, experiment.name, step)))
        stack.enter_context(_logged(folder / "chaostoolkit.log"))
        return _observed(experiment, context, folder, stack)


def _observed(experiment: Experiment, context: Context, folder: Path, stack: ExitStack) -> Run:
    """Run with everything that looks on, and put together what was seen."""
    target, step, addition = context.target, context.step, experiment.addition
    leads = _leads(target)
    traffic = _traffic(experiment, context, stack)
    timeline = stack.enter_context(Timeline(observer(target)))
    if traffic is not None:
        watch = guard.Guard(lambda: traffic.silence, addition.blast, context.abort)
        stack.enter_context(watch)
    began = time.monotonic()
    sending = _send(addition.campaign, target) if addition.campaign else None
    context.hold(LEAD_SECONDS, "traffic as it is without a fault")
    journal = _conducted(experiment, context)
    (folder / "journal.json").write_text(json.dumps(journal, indent=2, default=str))
    guard.await_well(target, step)
    campaign = _verdict(sending, step) if sending else None
    after = _leads(target)
    context.hold(0 if context.aborted else TAIL_SECONDS, "traffic after the fault")
    ended = time.monotonic()
    step.set_status("what the services hold")
    told = traffic.result() if traffic is not None else {"lanes": {}, "history": {}}
    history = told["history"]
    found = Run(
        began=began,
        ended=ended,
        marks=tuple(context.marks),
        lanes={name: figures(lane, ended, history.get(name)) for name, lane in told["lanes"].items()},
        events=tuple(event for event in timeline.events if event.at >= began),
        campaign=campaign,
        failovers=sum(after.get(what) != who for what, who in leads.items()),
        status=str(journal["status"]),
        deviated=bool(journal["deviated"]),
        aborted=context.aborted,
    )
    step.set_result(_summary(found))
    return found


def _traffic(experiment: Experiment, context: Context, stack: ExitStack) -> Traffic | None:
    """Start the clients; on a cluster that was given, whose names the host cannot resolve, there are none."""
    wanted, target = experiment.addition.traffic, context.target
    if not wanted or target.cluster is None:
        return None
    context.step.set_status("clients to reach their services")
    spec = target.cluster.spec
    name = f"chaos{uuid.uuid4().hex[:8]}"
    nameservers = [str(spec.node(zone)) for zone in spec.zones]
    return stack.enter_context(Traffic(wanted, target.endpoints(name), nameservers))


def _conducted(experiment: Experiment, context: Context) -> dict[str, Any]:
    """Let Chaos Toolkit run the experiment; afterwards everything is undone, whatever happened."""
    try:
        journal: dict[str, Any] = run_experiment(copy.deepcopy(experiment.document), settings=_SETTINGS)
    finally:
        context.undo()
    if journal["status"] == "interrupted":
        raise KeyboardInterrupt
    return journal


def _leads(target: Target) -> dict[str, tuple[str, int]]:
    """Return who leads what, and since which change of it."""
    partitions = {name: (name, leader) for name, leader in target.kafka()[1].items()}
    return {"postgres": target.postgres(), "redis": target.redis(), **partitions}


def _send(contacts: int, target: Target) -> subprocess.Popen[str]:
    """Begin to send a campaign."""
    return subprocess.Popen(
        target.campaign(str(contacts)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _verdict(sending: subprocess.Popen[str], step: ProgressStep) -> Campaign:
    """Wait for the campaign's end and return the ledger's verdict.

    Raises:
        EsqError: it did not end, or could not be judged.
    """
    step.set_status("the campaign to end")
    try:
        out, errors = sending.communicate(timeout=CAMPAIGN_SECONDS)
        told = json.loads(out)
        return Campaign(planned=told["planned"], seconds=told["seconds"], **told["verdict"])
    except (subprocess.TimeoutExpired, ValueError, KeyError) as error:
        sending.kill()
        raise EsqError(
            "the campaign that was sent during the fault did not come to a verdict",
            location="esq campaign send",
            remedy="Send it again by hand: it continues where it is.",
            detail="" if isinstance(error, subprocess.TimeoutExpired) else (errors or out)[-2000:],
        ) from error


def _summary(found: Run) -> str:
    if found.aborted:
        return f"aborted: {found.aborted}"
    gaps = [f"{name} {each.gap:.1f} s" for name, each in found.lanes.items() if ".write" in name]
    state = f"; {found.trouble}" if found.trouble else ""
    return (
        f"gaps: {', '.join(gaps) or 'not measured'}; {found.lost} lost, {found.duplicated} duplicated{state}"
    )


@contextmanager
def _logged(file: Path) -> Iterator[None]:
    """Keep what Chaos Toolkit says in a file; the terminal shows steps."""
    handler = logging.FileHandler(file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    before = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.level, log.propagate = before
        handler.close()
