"""What is observed during a run: client traffic, state changes of the cluster, leaders, and a campaign.

A run begins with the observation and ends after it: see `chaos.session`.
"""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chaos import safety
from chaos.guard import Guard, stream_names
from chaos.results import CampaignResult
from chaos.timeline import Timeline, cluster_sampler
from chaos.traffic import in_cluster
from chaos.traffic.client_stats import compute_stats
from chaos.traffic.in_cluster import ClusterTraffic
from chaos.traffic.process import Traffic
from chaos.traffic.running import CombinedTraffic
from chaos.triage_watch import TriageWatch
from infra.errors import EsqError, UsageError
from infra.subprocesses import DIE_WITH_PARENT
from runbooks.triage import diagnose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Self

    from chaos.context import Context
    from chaos.experiment import Experiment
    from chaos.target import Target
    from chaos.traffic.client import Endpoints
    from chaos.traffic.running import RunningTraffic
    from runbooks.triage import Diagnosis

CAMPAIGN_TIMEOUT_SECONDS = 600.0
BASELINE_SECONDS = 3.0
"""Duration of the traffic before the first fault, so that a report shows the normal state."""
COOLDOWN_SECONDS = 3.0
FRESH_TIMEOUT_SECONDS = 30.0

Leaders = dict[str, tuple[str, int]]


def run_triage(target: Target) -> Diagnosis:
    """Return what the checks of the runbooks tell about the target now."""
    return diagnose(target.open_context())


@dataclass(frozen=True)
class Instruments:
    """How a target is observed.

    Attributes:
        start_traffic: returns the clients of an experiment, started when entered; None without traffic.
        sample_cluster: returns the function that samples the state of the cluster.
        read_leaders: returns the leader of each replicated component with the number of its election.
        diagnose: runs a triage of the target.
    """

    start_traffic: Callable[[Target, Experiment], RunningTraffic | None]
    sample_cluster: Callable[[Target], Callable[[], Mapping[str, str]]]
    read_leaders: Callable[[Target], Leaders]
    diagnose: Callable[[Target], Diagnosis] = run_triage


def start_traffic(target: Target, experiment: Experiment) -> RunningTraffic | None:
    """Return the clients of an experiment; None without traffic.

    Args:
        target: environment of the experiment.
        experiment: the experiment.

    Raises:
        UsageError: the experiment needs traffic, and none can run.
    """
    extension = experiment.extension
    if not extension.traffic:
        return None
    run_name = f"chaos{uuid.uuid4().hex[:8]}"
    timeout = {"edge_timeout_seconds": extension.edge_timeout_seconds}
    endpoints = target.endpoints(run_name).model_copy(update=timeout)
    if target.cluster is not None:
        spec = target.cluster.spec
        return Traffic(extension.traffic, endpoints, [str(spec.node(zone)) for zone in spec.zones])
    if parts := list(_external_traffic(target, extension.traffic, endpoints)):
        return CombinedTraffic(parts)
    if extension.runs_unobserved:
        return None
    raise UsageError(
        f"no client of `{experiment.name}` reaches `{target.environment}`, so nothing would abort it",
        location="traffic",
        remedy="Set the `public_address` of the environment for the client `edge`, run it on `local`, or "
        "declare `runs_unobserved: true` in a copy of its document.",
    )


def _external_traffic(
    target: Target, clients: Sequence[str], endpoints: Endpoints
) -> Iterator[RunningTraffic]:
    """Yield the traffic of a cluster that is not embedded: from pods, and through the public address."""
    if inside := [client for client in clients if client in in_cluster.CLIENTS]:
        yield ClusterTraffic(inside, endpoints, target.kubeconfig, target.python_image())
    if "edge" in clients and endpoints.edge_url:
        yield Traffic(("edge",), endpoints, ())


def read_leaders(target: Target) -> Leaders:
    """Return the leader of each replicated component with the number of its election."""
    partitions = {name: (name, leader) for name, leader in target.kafka_leaders()[1].items()}
    return {"postgres": target.postgres_leader(), "redis": target.redis_primary(), **partitions}


INSTRUMENTS = Instruments(start_traffic, cluster_sampler, read_leaders)


class Observation:
    """Context manager that observes a run.

    Args:
        experiment: the experiment.
        context: context of the run.
        instruments: how the target is observed.
        abort: called by the guard with the reason.

    Attributes:
        problems: reasons why the run is invalid, e.g. stored writes that could not be read.
        logs: raw logs of the traffic with the stored writes; empty before its end.
    """

    def __init__(
        self,
        experiment: Experiment,
        context: Context,
        instruments: Instruments,
        abort: Callable[[str], None],
    ) -> None:
        self._experiment = experiment
        self._context = context
        self._instruments = instruments
        self._abort = abort
        self._stack = ExitStack()
        self._timeline = Timeline(instruments.sample_cluster(context.target))
        self._triage = TriageWatch(
            experiment.name, self._first_injection_at, lambda: instruments.diagnose(context.target)
        )
        self._campaign: subprocess.Popen[str] | None = None
        self._guard: Guard | None = None
        self.problems: list[str] = []
        self.logs: dict[str, Any] = {}
        self.started_at = self.ended_at = time.monotonic()

    def __enter__(self) -> Self:
        """Start the traffic and the guard, and observe the normal state.

        Raises:
            TrafficFailedError: a client did not reach its service.
            NoSignalError: a stream is silent.
        """
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def _start(self, stack: ExitStack) -> None:
        context, extension = self._context, self._experiment.extension
        self._leaders = self._instruments.read_leaders(context.target) if extension.traffic else {}
        context.step.set_status("waiting for the clients to connect")
        clients = self._instruments.start_traffic(context.target, self._experiment)
        stack.enter_context(self._timeline)
        stack.enter_context(self._triage)
        self.started_at = time.monotonic()
        if clients is not None:
            context.traffic = stack.enter_context(clients)
            self._watch(context.traffic, stack)
        if extension.campaign_contacts:
            self._campaign = _start_campaign(context.target, extension.campaign_contacts)
            stack.callback(_end, self._campaign)
        context.wait(BASELINE_SECONDS, "traffic before the fault")

    def _first_injection_at(self) -> float | None:
        injections = [entry.at for entry in tuple(self._context.annotations) if entry.is_injection]
        return min(injections, default=None)

    def _watch(self, traffic: RunningTraffic, stack: ExitStack) -> None:
        """Start the guard once every stream of the traffic is acknowledged."""
        limits = self._experiment.extension.abort_after_silence_seconds
        guard = Guard(traffic, stream_names(traffic.clients), limits, self._abort)
        guard.wait_for_signal(FRESH_TIMEOUT_SECONDS)
        self._context.find_refusal = guard.find_reason
        self._guard = guard.__enter__()
        stack.callback(self.stop_guard)

    def __exit__(self, *_: object) -> None:
        """Stop everything that still runs."""
        self._stack.close()

    def stop_guard(self) -> None:
        """Stop the guard: nothing more is injected, and what is open is undone."""
        if self._guard is not None:
            self._guard.__exit__()
            self._guard = None

    def wait_until_healthy(self) -> dict[str, Any]:
        """Wait until the system is healthy; what is not in time makes the run invalid."""
        problems = safety.wait_until_healthy(self._context.target, self._context.step)
        self.problems += [f"not healthy again in time: {problem}" for problem in problems]
        return {}

    def campaign(self) -> dict[str, Any]:
        """Wait for the end of the campaign and return its reconciliation with the ledger.

        Raises:
            EsqError: the campaign did not end, or could not be reconciled.
        """
        if self._campaign is None:
            return {}
        self._context.step.set_status("waiting for the campaign to end")
        return {"campaign": _campaign_result(self._campaign, self._experiment.extension.campaign_contacts)}

    def failovers(self) -> dict[str, Any]:
        """Return the number of leader changes."""
        if not self._leaders:
            return {}
        leaders = self._instruments.read_leaders(self._context.target)
        return {"failovers": sum(leaders.get(name) != leader for name, leader in self._leaders.items())}

    def streams_until_interruption(self) -> dict[str, Any]:
        """Stop the traffic without reading stored writes, and return the statistics of its clients.

        Without them the interrupted run is still what it is: an aborted one.
        """
        try:
            return self.streams(reads_stored=False)
        except EsqError as error:
            self.problems.append(f"the values of the streams are not known: {error.message}")
            return {}

    def streams(self, *, reads_stored: bool = True) -> dict[str, Any]:
        """Stop the traffic and return the statistics of its clients.

        Args:
            reads_stored: whether acknowledged writes are compared with stored ones.

        Raises:
            TrafficFailedError: there is no result in time.
        """
        if self._context.traffic is None:
            self.ended_at = time.monotonic()
            return {}
        if not self.logs:
            self.ended_at = time.monotonic()
            status = "reading the stored writes" if reads_stored else "ending the traffic"
            self._context.step.set_status(status)
            self.logs = self._context.traffic.result(reads_stored=reads_stored)
            self.problems += self.logs["problems"]
        return {
            "streams": {
                name: compute_stats(log, self.ended_at, self.logs["stored"].get(name))
                for name, log in self.logs["streams"].items()
            }
        }

    def events(self) -> dict[str, Any]:
        """Return the state changes of the cluster, and the result of the triage."""
        return {
            "triage": self._triage.result,
            "events": tuple(event for event in self._timeline.events if event.at >= self.started_at),
            "last_reading_at": self._timeline.last_reading_at,
        }


def _start_campaign(target: Target, contacts: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*DIE_WITH_PARENT, *target.campaign_command(str(contacts))],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _end(process: subprocess.Popen[str]) -> None:
    """Kill a campaign command that still runs: it is sent again by hand."""
    if process.poll() is None:
        process.kill()
    process.communicate()


def _campaign_result(process: subprocess.Popen[str], contacts: int) -> CampaignResult:
    """Return the result of a campaign; a contact for whom there is no message is a lost one."""
    out = errors = ""
    try:
        out, errors = process.communicate(timeout=CAMPAIGN_TIMEOUT_SECONDS)
        report = json.loads(out)
        unplanned = max(0, contacts - report["planned"])
        reconciliation = report["reconciliation"]
        return CampaignResult(
            planned=report["planned"],
            seconds=report["seconds"],
            **reconciliation | {"lost": reconciliation["lost"] + unplanned},
        )
    except (subprocess.TimeoutExpired, ValueError, KeyError) as error:
        raise EsqError(
            "the campaign that was sent during the fault has no result",
            location="esq campaign send",
            remedy="Send it again by hand: it continues at its current state.",
            detail=(errors or out)[-2000:],
        ) from error
