"""Processes of a cluster that nobody supervises any more, because its supervisor was killed.

They hold ports and files, so that neither `up` nor `down` could do its work beside them.
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
    """Return what runs in the cluster's network namespaces, or on the host for it."""
    namespaced = {pid for machine in spec.hosts for pid in _namespace_pids(spec.namespace(machine))}
    helpers = _helper_pidfiles(paths)
    return [
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if process.pid in namespaced or _is_host_program(process, paths) or _is_helper(process, helpers)
    ]


def kill_orphans(spec: ClusterSpec, paths: ClusterPaths) -> None:
    """Kill them; a node's first process takes its pods along.

    Raises:
        EsqError: one of them does not end.
    """
    supervisord.kill(find_orphans(spec, paths), location=spec.name)


def _namespace_pids(namespace: str) -> list[int]:
    if not (NAMESPACES / namespace).exists():
        return []
    return [int(pid) for pid in run(["ip", "netns", "pids", namespace]).split()]


def _helper_pidfiles(paths: ClusterPaths) -> dict[str, str]:
    """Return file by process id of what keeps its process id beside the cluster's sockets."""
    return {file.read_text().strip(): str(file) for file in paths.run.glob("*.pid")}


def _is_helper(process: psutil.Process, pidfiles: dict[str, str]) -> bool:
    """Tell whether it was told to keep its process id there and did: the number alone may be another's."""
    return pidfiles.get(str(process.pid)) in (process.info["cmdline"] or ())


def _is_host_program(process: psutil.Process, paths: ClusterPaths) -> bool:
    """Tell whether it is a host program of ours: by what it is, so that nobody's editor is taken for one."""
    if process.info["name"] not in _HOST_PROGRAMS:
        return False
    return any(Path(word).is_relative_to(paths.config) for word in process.info["cmdline"] or ())
