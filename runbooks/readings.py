"""What a check may read of an environment, as plain values."""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - dataclasses of other modules are built from these
from collections.abc import Mapping  # noqa: TC003 - same
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Sample:
    """A value of a metric.

    Attributes:
        labels: its labels.
        value: the value.
    """

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class LogLine:
    """A line of a log.

    Attributes:
        at: its time (UTC); None if the source does not tell it.
        source: the pod that wrote it.
        message: the line.
    """

    at: dt.datetime | None
    source: str
    message: str


@dataclass(frozen=True)
class PodState:
    """A pod of the platform.

    Attributes:
        namespace: its namespace.
        name: its name.
        workload: the Deployment, StatefulSet or CronJob that it belongs to.
        zone: zone of its node; empty while it is not scheduled.
        ready: whether all its containers are ready.
        reason: why it is not ready, e.g. `CrashLoopBackOff`, `Unschedulable`; empty if it is ready.
        restarts: restarts of its containers.
        started_at: start of its youngest container (UTC); None if none runs.
        ended_at: last end of a container of it (UTC); None if none ended.
        end_reason: reason of that end, e.g. `OOMKilled`, `Error`.
        end_code: exit code of that end.
    """

    namespace: str
    name: str
    workload: str
    zone: str
    ready: bool
    reason: str = ""
    restarts: int = 0
    started_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    end_reason: str = ""
    end_code: int = 0


@dataclass(frozen=True)
class ContainerUsage:
    """Use of resources by a container.

    Attributes:
        pod: its pod.
        container: its name.
        zone: zone of its node.
        memory_bytes: anonymous memory, which the kernel cannot reclaim; caches are not counted.
        memory_limit_bytes: limit; None without one.
        cpu_stalled: share of the last 10 s in which a process of it waited for CPU time; None if not known.
        memory_stalled: same, for memory.
    """

    pod: str
    container: str
    zone: str
    memory_bytes: int = 0
    memory_limit_bytes: int | None = None
    cpu_stalled: float | None = None
    memory_stalled: float | None = None


@dataclass(frozen=True)
class NodeUsage:
    """Use of resources by a node.

    Attributes:
        zone: its zone.
        disk_bytes: size of its disk.
        disk_free_bytes: free bytes of it.
        memory_free_bytes: memory that is available.
        cpu_stalled: share of the last 10 s in which a process waited for CPU time; None if not known.
        containers: its containers.
    """

    zone: str
    disk_bytes: int
    disk_free_bytes: int
    memory_free_bytes: int = 0
    cpu_stalled: float | None = None
    containers: tuple[ContainerUsage, ...] = ()

    @property
    def disk_used(self) -> float:
        """Used share of the disk, 0 to 1."""
        return 1 - self.disk_free_bytes / self.disk_bytes if self.disk_bytes else 0.0


@dataclass(frozen=True)
class FaultState:
    """A fault of an experiment that is not undone.

    Attributes:
        id: id of its entry in the journal.
        description: the fault and its target.
        experiment: the experiment that injected it.
        opened_at: time of the injection (UTC).
        is_left: whether its undo is overdue, so that nobody but a person or the watchdog undoes it.
    """

    id: str
    description: str
    experiment: str
    opened_at: dt.datetime
    is_left: bool


@dataclass(frozen=True)
class Deploy:
    """The command that changes the environment, or the last one if it did not complete.

    Attributes:
        command: the command, e.g. `deploy`; empty if it is not known.
        state: `running`; `left`, if its process has ended and its lock is not released; `incomplete`.
        holder: user, machine and process that hold the lock; empty if nobody does.
        started_at: its start (UTC); None if it is not known.
    """

    command: str
    state: Literal["running", "left", "incomplete"]
    holder: str = ""
    started_at: dt.datetime | None = None


@dataclass(frozen=True)
class ActiveAlert:
    """An alert that fires.

    Attributes:
        name: name in the catalog.
        started_at: since when (UTC).
        labels: its labels.
    """

    name: str
    started_at: dt.datetime
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SloState:
    """The last evaluation of an SLO.

    Attributes:
        id: id of the SLO.
        status: `met`, `missed`, `violated`, `insufficient` or `unmeasured`.
        summary: median and limit, in words.
    """

    id: str
    status: str
    summary: str
