"""The running processes of the services on this machine: those of an embedded cluster are its processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from infra.processes import PROCESSES

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAMES = {process.argv: process.name for process in PROCESSES}
_CGROUP_FILE = "/proc/{pid}/cgroup"


@dataclass(frozen=True)
class ServiceProcess:
    """A running process of a service.

    Attributes:
        name: name of its Deployment, e.g. `campaigns-worker`.
        pid: process id on this machine.
    """

    name: str
    pid: int


def find_processes(cluster: str) -> list[ServiceProcess]:
    """Return the processes of the services in the pods of an embedded cluster.

    Args:
        cluster: name of the cluster; its name is part of the control groups of its pods.
    """
    running = [
        ServiceProcess(name, process.pid)
        for process in psutil.process_iter(["cmdline"])
        if (name := process_name(process.info["cmdline"] or ())) and _is_in_cluster(process.pid, cluster)
    ]
    return sorted(running, key=lambda process: (process.name, process.pid))


def process_name(argv: Sequence[str]) -> str | None:
    """Return the name of the process of a command line, e.g. of `python3 -m services.campaigns worker`."""
    return _NAMES.get(tuple(argv[1:4]))


def _is_in_cluster(pid: int, cluster: str) -> bool:
    try:
        with open(_CGROUP_FILE.format(pid=pid), encoding="utf-8") as file:  # noqa: PTH123 - procfs has no size
            parts = file.read().replace("\n", "/").split("/")
    except OSError:
        return False
    return any(part.startswith(f"esq-{cluster}-") or part == cluster for part in parts)
