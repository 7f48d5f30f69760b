"""Power loss: the disks of machines lose what was not synced, and their processes end.

`zones.node_death` is the weaker fault: the kernel of the host writes the pages of the dead node to its disk.
"""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from chaos import power_cut
from chaos.faults.fault import Command, Fault
from chaos.faults.zones import CONTROL_PLANE, start_if_running, supervisorctl
from infra.zones import disks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from infra.zones.paths import ClusterPaths


def power_loss(paths: ClusterPaths, machines: Sequence[str]) -> Fault:
    """Cut the power of machines at the same moment; they stay down until the undo.

    Args:
        paths: files of the cluster.
        machines: zones, and `control` for the control plane.

    Returns:
        The fault; its undo starts the machines, whose file systems repair themselves.
    """
    zones = [machine for machine in machines if machine != disks.CONTROL_PLANE]
    control_plane = CONTROL_PLANE if disks.CONTROL_PLANE in machines else ()
    # The control plane ends last and starts first, as in `zones.control_plane_outage`.
    programs = [*control_plane, *zones]
    return Fault(
        kind="power-loss",
        target=", ".join(machines),
        inject=(
            cut_command([disks.disk_file(paths, machine) for machine in machines]),
            supervisorctl(paths, "stop", *reversed(programs)),
        ),
        undo=(
            *(_stop_without_power(paths, machine) for machine in machines),
            start_if_running(paths, *programs),
        ),
    )


def _stop_without_power(paths: ClusterPaths, machine: str) -> Command:
    """Return a command that stops a machine which still runs on a disk without power.

    An injection that was killed after the cut leaves one; only its next start mounts the disk again. A sync
    fails on such a disk, and not on a full one.
    """
    programs = reversed(CONTROL_PLANE) if machine == disks.CONTROL_PLANE else [machine]
    image = shlex.quote(str(disks.disk_file(paths, machine)))
    script = f"""\
[ -S {shlex.quote(str(paths.socket))} ] && [ -e {image} ] || exit 0
mount -o loop {image} /mnt && sync /mnt && exit 0
exec {shlex.join(supervisorctl(paths, "stop", *programs))}"""
    return ("unshare", "--mount", "--propagation", "private", "sh", "-c", script)


def cut_command(images: Sequence[Path]) -> Command:
    """Return the command that cuts the power of mounted disks.

    The disks are mounted a second time in the command's own mount namespace: the kernel uses one file system
    for all mounts of a disk, so that the shutdown reaches the one of the machine. If a disk is missing, the
    command fails and cuts none.

    Args:
        images: files of the disks.
    """
    folders = [f"/mnt/{number}" for number in range(len(images))]
    mounts = [
        f"mount -o loop {shlex.quote(str(image))} {folder}"
        for image, folder in zip(images, folders, strict=True)
    ]
    script = "; ".join(
        [
            "mount -t tmpfs tmpfs /mnt",
            f"mkdir {' '.join(folders)}",
            *mounts,
            shlex.join([sys.executable, "-I", "-S", power_cut.__file__, *folders]),
        ]
    )
    return ("unshare", "--mount", "--propagation", "private", "sh", "-ec", script)
