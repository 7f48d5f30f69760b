"""Requirements of the host: all problems are reported together, each with its remedy.

Kernel features are tried in a temporary network namespace, which is more reliable than a list of modules.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
import psutil

from infra.errors import Problem
from infra.subprocesses import CommandFailedError, run
from infra.zones import packages
from infra.zones.caches import disk_usage_bytes
from infra.zones.cgroups import MOUNT
from infra.zones.edge import PORT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.zones.paths import ClusterPaths
    from infra.zones.spec import ClusterSpec

GIBIBYTE = 1 << 30
MIN_MEMORY_BYTES = 2 * GIBIBYTE
"""Three nodes and the control plane take 1 GiB; a platform takes about 4 GiB more."""
MIN_DISK_BYTES = 8 * GIBIBYTE
"""Images, logs and volumes of a platform; the disks of nodes are sparse and larger."""
MIN_FREE_DISK_BYTES = 3 * GIBIBYTE // 2
"""For a cluster that has its images and volumes already: nodes evict pods below 1 GiB."""

_KERNEL_CHECKS = {
    "bridges and veth pairs": "ip link add t0 type bridge && ip link add t1 type veth peer name t2",
    "nf_tables": "nft add table inet trial",
    "loop devices": "losetup --find",
    "bridge netfilter": "test -e /proc/sys/net/bridge/bridge-nf-call-iptables",
}
_MODULES = (
    "Load the module (`modprobe bridge veth nf_tables br_netfilter overlay loop`), "
    "or use a kernel that has it."
)
_SPECIAL_CHARACTERS = "\"'\\`$%;#,:*?[]{}<>|&!\n\t"
"""Separators, quotes and wildcards of some configuration file or shell."""
_CGROUP_V1 = (
    "Boot with cgroup v1: add systemd.unified_cgroup_hierarchy=0 to GRUB_CMDLINE_LINUX in /etc/default/grub, "
    "run update-grub and reboot. Or deploy to an existing cluster."
)
_CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "devices", "freezer", "blkio")


def check(spec: ClusterSpec, paths: ClusterPaths) -> list[Problem]:
    """Return all problems that prevent the cluster from starting on this host.

    Args:
        spec: specification of the cluster.
        paths: files of the cluster.
    """
    if os.geteuid() != 0:
        return [
            Problem("not running as root", "user", "Run the command as root: namespaces and mounts need it.")
        ]
    problems = [*_packages(), *_sources(), *_paths(paths), *_control_groups(), *_resources(paths)]
    if not packages.missing():
        problems += [*_kernel(), *_addresses(spec)]
    return problems


def _packages() -> Iterator[Problem]:
    missing = packages.missing()
    if missing:
        yield Problem(
            f"not installed: {', '.join(missing)}",
            "Debian packages",
            f"apt-get install --no-install-recommends {' '.join(missing)}",
        )


def _sources() -> Iterator[Problem]:
    if packages.sources_file() is None:
        yield Problem(
            f"no package sources of Debian {packages.SUITE}, from which images are built",
            " and ".join(map(str, packages.SOURCES)),
            f"Add to {packages.SOURCES[-1]}: `deb http://deb.debian.org/debian {packages.SUITE} main` and "
            f"`deb http://deb.debian.org/debian-security {packages.SUITE}-security main`.",
        )


def _paths(paths: ClusterPaths) -> Iterator[Problem]:
    for folder, variable in (
        (paths.root, "XDG_STATE_HOME"),
        (platformdirs.user_cache_path("esq"), "XDG_CACHE_HOME"),
    ):
        special = sorted({character for character in str(folder) if character in _SPECIAL_CHARACTERS})
        if special:
            yield Problem(
                f"the path contains {' '.join(special)}, which configuration files cannot express",
                str(folder),
                f"Set {variable} to a path without these characters; spaces and accents are possible.",
            )


def _kernel() -> Iterator[Problem]:
    if "overlay" not in Path("/proc/filesystems").read_text():
        yield Problem("no overlay file system", "kernel", _MODULES)
    for feature, command in _KERNEL_CHECKS.items():
        try:
            run(["unshare", "--net", "sh", "-ec", command], timeout=10)
        except CommandFailedError as error:
            yield Problem(f"no {feature} ({error.output.strip()[:200]})", "kernel", _MODULES)


def _control_groups() -> Iterator[Problem]:
    if (MOUNT / "cgroup.controllers").exists():
        yield Problem(
            "only cgroup v2 is mounted, on which the zones are not tested",
            str(MOUNT),
            _CGROUP_V1,
        )
        return
    missing = [name for name in _CONTROLLERS if not (MOUNT / name / "cgroup.procs").exists()]
    if missing:
        yield Problem(f"no cgroup v1 hierarchy of {', '.join(missing)}", str(MOUNT), _CGROUP_V1)


def _resources(paths: ClusterPaths) -> Iterator[Problem]:
    running = paths.pidfile.exists()
    available = psutil.virtual_memory().available
    if not running and available < MIN_MEMORY_BYTES:
        yield Problem(
            f"{available / GIBIBYTE:.1f} GiB available",
            "memory",
            f"Free {MIN_MEMORY_BYTES // GIBIBYTE} GiB or more.",
        )
    folder = next(parent for parent in (paths.root, *paths.root.parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    if free < MIN_DISK_BYTES and free < (required := _required_disk_bytes(paths)):
        yield Problem(
            f"{free / GIBIBYTE:.1f} GiB free",
            str(folder),
            f"Free {required / GIBIBYTE:.1f} GiB or more, e.g. with `esq cache prune`.",
        )


def _required_disk_bytes(paths: ClusterPaths) -> int:
    """Return the required free space: a cluster that was started before uses a part of its space already."""
    return max(MIN_DISK_BYTES - disk_usage_bytes(paths.root), MIN_FREE_DISK_BYTES)


def _addresses(spec: ClusterSpec) -> Iterator[Problem]:
    remedy = "Choose another subnet (ESQ_LOCAL_SUBNET), or stop what uses it."
    own_interfaces = {spec.bridge}
    for route in json.loads(run(["ip", "-json", "-4", "route", "show"])):
        if route["dst"] == "default" or route.get("dev") in own_interfaces:
            continue
        network = IPv4Network(route["dst"], strict=False)
        if network.overlaps(spec.subnet):
            yield Problem(
                f"{spec.subnet} overlaps {network} on {route.get('dev', 'several devices')}", "subnet", remedy
            )
    for port in (PORT, 5000):
        if _is_wildcard_port_taken(port):
            yield Problem(
                f"port {port} is in use on all addresses",
                "ports",
                f"Stop the process that listens on it (`ss -ltnp sport = :{port}`).",
            )


def _is_wildcard_port_taken(port: int) -> bool:
    """Return whether a server listens on `port` of all addresses, so that the bridge address is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            # 127.90.90.90 is free unless a process listens on all addresses.
            probe.bind(("127.90.90.90", port))
        except OSError:
            return True
    return False
