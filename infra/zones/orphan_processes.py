"""Processes of a cluster without a supervisor, because the supervisor was killed.

They hold ports and files; `up` and `down` would fail while they run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from infra.subprocesses import run
from infra.zones import supervisord
from infra.zones.network import NAMESPACES

if TYPE_CHECKING:
    from infra.zones.paths import ClusterPaths
    from infra.zones.spec import ClusterSpec

_HOST_PROGRAMS = {"supervisord", "haproxy", "docker-registry", "garage"}


def find_orphans(spec: ClusterSpec, paths: ClusterPaths) -> list[psutil.Process]:
    """Return the processes in the cluster's network namespaces and its processes on the host.

    Args:
        spec: specification of the cluster.
        paths: files of the cluster.
    """
    namespaced = {pid for machine in spec.hosts for pid in _namespace_pids(spec.namespace(machine))}
    helpers = _helper_pidfiles(paths)
    return [
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if process.pid in namespaced or _is_host_program(process, paths) or _is_helper(process, helpers)
    ]


def kill_orphans(spec: ClusterSpec, paths: ClusterPaths) -> None:
    """Kill all orphans; the pods of a node die with its first process.

    Args:
        spec: specification of the cluster.
        paths: files of the cluster.

    Raises:
        EsqError: a process does not exit.
    """
    supervisord.kill(find_orphans(spec, paths), location=spec.name)


def _namespace_pids(namespace: str) -> list[int]:
    if not (NAMESPACES / namespace).exists():
        return []
    return [int(pid) for pid in run(["ip", "netns", "pids", namespace]).split()]


def _helper_pidfiles(paths: ClusterPaths) -> dict[str, str]:
    """Return the PID files in the cluster's run folder, by process id."""
    return {file.read_text().strip(): str(file) for file in paths.run.glob("*.pid")}


def _is_helper(process: psutil.Process, pidfiles: dict[str, str]) -> bool:
    """Return whether its command line names its PID file: the number alone may have been reused."""
    return pidfiles.get(str(process.pid)) in (process.info["cmdline"] or ())


def _is_host_program(process: psutil.Process, paths: ClusterPaths) -> bool:
    """Return whether it is a host program of the cluster; by name, so that an editor does not match."""
    if process.info["name"] not in _HOST_PROGRAMS:
        return False
    return any(Path(argument).is_relative_to(paths.config) for argument in process.info["cmdline"] or ())
