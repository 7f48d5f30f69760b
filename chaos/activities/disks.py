"""Actions on the disks of machines: power loss, and one flipped bit in the data of a pod."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaoslib.exceptions import ActivityFailed

from chaos.context import current
from chaos.faults import bit_flip, power_loss
from infra.subprocesses import CommandFailedError, run
from infra.zones.disks import CONTROL_PLANE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.pod_location import PodLocation
    from chaos.target import Target

__all__ = ["flip_bit", "lose_power"]


def lose_power(machines: Sequence[str] = ()) -> list[str]:
    """Cut the power of machines: what was not synced is lost, and they stay down until the undo.

    Args:
        machines: names of zones, pods in them, for example `postgres-primary`, or `control` for the control
            plane; all machines if empty.

    Returns:
        The names of the machines.
    """
    target = current().target
    names = [
        machine if machine == CONTROL_PLANE else target.resolve_zone(machine) for machine in machines
    ] or [*target.zones.spec.zones, CONTROL_PLANE]
    current().inject(power_loss.power_loss(target.zones.paths, names))
    return names


def flip_bit(pod: str, files: Sequence[str]) -> str:
    """Flip one bit in the largest of the data files of a pod that match.

    Args:
        pod: name of a pod, or a role, for example `postgres-standby`.
        files: patterns relative to the root of the pod's volume. `{followed}` stands for the folder of each
            Kafka partition that another broker leads.

    Returns:
        The name of the pod.

    Raises:
        ActivityFailed: no file with data matches.
    """
    target = current().target
    location = target.resolve_pod(pod)
    zone = target.resolve_zone(location.pod)
    volume = f"*_{location.namespace}_data-{location.pod}"
    patterns = [f"{volume}/{file}" for pattern in files for file in _expand(pattern, location, target)]
    paths = target.zones.paths
    try:
        bit_location = bit_flip.BitLocation.parse(run(bit_flip.locate_command(paths, zone, patterns)))
    except CommandFailedError as error:
        raise ActivityFailed(
            f"expected a file of {location.pod} with data: {error.output.strip()}"
        ) from error
    current().inject(bit_flip.bit_flip(paths, zone, location.pod, bit_location))
    return location.pod


def _expand(pattern: str, location: PodLocation, target: Target) -> list[str]:
    """Return the pattern for each partition that the broker follows; itself if it is not about partitions."""
    if "{followed}" not in pattern:
        return [pattern]
    _, leaders = target.all_kafka_leaders()
    number = int(location.pod.rpartition("-")[2])
    return [pattern.format(followed=name) for name, leader in leaders.items() if leader != number]
