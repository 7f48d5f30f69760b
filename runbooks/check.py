"""What a runbook is made of: checks, which read, and actions, which change, in the order of its steps.

A check returns a finding or None. None means: there is no such problem. What cannot be read is no reason to
say so: a read that fails raises `UnavailableError`, and the check is reported as not read, never as good.

The same check serves a runbook, `esq runbook triage`, an experiment (as its probe), a deploy (as its steady
state), `esq status` and the operations page. It is a function of the context alone, and may be called at the
same time as others.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from infra.errors import UnreachableError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping, Sequence

    from infra.components.component_health import ComponentHealth
    from infra.environment_health import BackupHealth, EndpointCheck, NodeHealth, ServiceHealth
    from runbooks.readings import (
        ActiveAlert,
        Deploy,
        FaultState,
        LogLine,
        NodeUsage,
        PodState,
        Sample,
        SloState,
    )

Risk = Literal["safe", "disruptive", "destructive"]
"""`safe` loses nothing and interrupts nobody; `disruptive` may interrupt for a moment; `destructive` deletes
data."""
StepKind = Literal["look", "act", "verify"]


class UnavailableError(UnreachableError):
    """Something that a check needs cannot be read."""


class CheckContext(Protocol):
    """An environment, as checks read it.

    Every method may raise `UnavailableError`, and returns within the deadline of the context.
    """

    @property
    def environment(self) -> str:
        """Name of the environment."""

    @property
    def is_embedded(self) -> bool:
        """Whether its cluster is the embedded one of this machine."""

    @property
    def now(self) -> dt.datetime:
        """Time of the readings (UTC)."""

    def control_plane(self) -> Mapping[str, str]:
        """Return by program of the control plane why it does not work; empty text where it does."""

    def nodes(self) -> Sequence[NodeHealth]:
        """Return the nodes, from the API server."""

    def component(self, name: str) -> ComponentHealth:
        """Return the health of a data component: `postgres`, `redis`, `kafka` or `object-store`."""

    def services(self) -> Sequence[ServiceHealth]:
        """Return the ready replicas of each process type."""

    def endpoints(self) -> Sequence[EndpointCheck]:
        """Return the public endpoints, asked through the edge; none for an edge without an address."""

    def backups(self) -> BackupHealth:
        """Return the state of the backups."""

    def unfinished_restore(self) -> str:
        """Return the command that resumes an in-place restore; empty if there is none."""

    def pods(self) -> Sequence[PodState]:
        """Return the pods of the platform, of all namespaces."""

    def usage(self) -> Sequence[NodeUsage]:
        """Return the use of resources, from the kubelets that answer."""

    def name_resolution(self) -> Mapping[str, str]:
        """Return by zone why a pod there does not resolve names; empty text where it does."""

    def round_trips(self) -> Mapping[str, Sequence[float | None]]:
        """Return by zone the seconds that requests to it took; None for a request without a response."""

    def error_lines(self) -> Sequence[LogLine]:
        """Return the last lines of the logs of pods that are not ready."""

    def samples(self, metric: str) -> Sequence[Sample]:
        """Return the values of a metric now, from the processes themselves."""

    def metric(self, query: str) -> Sequence[Sample]:
        """Return the result of a query (MetricsQL) of the observability layer."""

    def logs(self, query: str, limit: int) -> Sequence[LogLine]:
        """Return log lines from the observability layer, newest first.

        Args:
            query: the query (LogsQL).
            limit: maximum number of lines.
        """

    def alerts(self) -> Sequence[ActiveAlert]:
        """Return the alerts that fire, from the observability layer."""

    def faults(self) -> Sequence[FaultState]:
        """Return the open faults of experiments, from the journal of this machine."""

    def deploys(self) -> Sequence[Deploy]:
        """Return the command that changes the environment, and the last one if it did not complete."""

    def damage(self) -> Sequence[str]:
        """Return the damage that the last scrub left, one line each."""

    def slos(self) -> Sequence[SloState]:
        """Return the SLOs with their last evaluation."""


@dataclass(frozen=True)
class Finding:
    """A problem.

    Attributes:
        reason: what is wrong, in one sentence without a full stop.
        evidence: what was read, one line each.
        zones: the zones to which it is limited; empty if it is not limited to zones, or they are not known.
    """

    reason: str
    evidence: tuple[str, ...] = ()
    zones: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Check:
    """A question with a yes or no answer about an environment.

    Attributes:
        id: the slug of its alert, e.g. `postgres-down`.
        description: what it asks, as a sentence.
        function: returns the finding; None if there is no such problem.
    """

    id: str
    description: str
    function: Callable[[CheckContext], Finding | None]


@dataclass(frozen=True)
class Action:
    """A change that a runbook proposes.

    Attributes:
        id: name of the action, unique in its runbook.
        description: what it does and when, as a sentence.
        command: arguments of `esq` or `kubectl`, with its name; `{env}` stands for the environment.
        risk: what it may cost.
        dry_run: the same without effect; None if there is no such command.
        embedded_only: whether it works on the embedded cluster only.
    """

    id: str
    description: str
    command: tuple[str, ...]
    risk: Risk
    dry_run: tuple[str, ...] | None = None
    embedded_only: bool = False

    def argv(self, environment: str, *, dry: bool = False) -> tuple[str, ...]:
        """Return the command for an environment.

        Args:
            environment: name of the environment.
            dry: whether the dry run is meant.

        Raises:
            ValueError: there is no dry run.
        """
        command = self.dry_run if dry else self.command
        if command is None:
            raise ValueError(f"the action `{self.id}` has no dry run")
        return tuple(part.replace("{env}", environment) for part in command)

    def text(self, environment: str) -> str:
        """Return the command for an environment, to paste."""
        return shlex.join(self.argv(environment))


@dataclass(frozen=True)
class Step:
    """A step of a runbook.

    Attributes:
        kind: what is done: `look` reads, `act` changes, `verify` reads until the problem is gone.
        check: the check of a step that reads.
        action: the action of a step that changes.
    """

    kind: StepKind
    check: Check | None = None
    action: Action | None = None

    def __post_init__(self) -> None:
        """Require exactly the part that the kind needs.

        Raises:
            ValueError: another part is set.
        """
        if (self.kind == "act") != (self.action is not None) or (self.action is None) == (self.check is None):
            raise ValueError(f"a step of kind `{self.kind}` needs {self._needed_part}, and nothing else")

    @property
    def _needed_part(self) -> str:
        return "an action" if self.kind == "act" else "a check"


def read_steps(*checks: Check) -> tuple[Step, ...]:
    """Return steps that read, in order."""
    return tuple(Step("look", check=check) for check in checks)


def change_steps(*actions: Action) -> tuple[Step, ...]:
    """Return steps that change, in order: the safest first."""
    return tuple(Step("act", action=action) for action in actions)


def verify_steps(*checks: Check) -> tuple[Step, ...]:
    """Return steps that verify, in order."""
    return tuple(Step("verify", check=check) for check in checks)
