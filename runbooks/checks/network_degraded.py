"""The network of a zone is slow or loses packets, or the zone is cut off from the others.

A slow zone is one that differs from the others: on a busy host all are slow, which is no fault of a network.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from runbooks.actions import START_CLUSTER, UNDO_FAULTS, hand_over
from runbooks.check import Check, Finding, change_steps, read_steps, verify_steps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbooks.check import CheckContext

MIN_SLOW_SECONDS = 0.05
"""Fastest request to a zone that is suspicious: within a region it takes a few milliseconds."""
SLOW_FACTOR = 4.0
"""How many times slower than the other zones it must be."""
RETRANSMISSION_SECONDS = 0.19
"""The kernel sends a lost packet again after 200 ms."""
MIN_LOST_SHARE = 0.3
"""Share of the requests to a zone that are lost or repeated, while none to another zone is."""
MIN_COMPONENTS = 3
"""Components that lack their replica in one zone, when that zone is cut off."""
COMPONENTS = ("postgres", "redis", "kafka", "object-store")


def find(context: CheckContext) -> Finding | None:
    """Return the zone that is slow, loses packets or is cut off."""
    return find_slow_zone(context.round_trips()) or _find_partition(context)


def find_slow_zone(round_trips: Mapping[str, Sequence[float | None]]) -> Finding | None:
    """Return the zones whose requests take longer, or are lost more often, than those of the others."""
    fastest = {
        zone: min((t for t in times if t is not None), default=None) for zone, times in round_trips.items()
    }
    reachable = {zone: time for zone, time in fastest.items() if time is not None}
    slow = {}
    for zone, time in reachable.items():
        others = [other for name, other in reachable.items() if name != zone]
        if others and time > max(MIN_SLOW_SECONDS, SLOW_FACTOR * statistics.median(others)):
            slow[zone] = f"the fastest request takes {time * 1000:.0f} ms"
        elif _lost_share(round_trips[zone]) >= MIN_LOST_SHARE and not any(
            _lost_share(round_trips[name]) for name in reachable if name != zone
        ):
            slow[zone] = "requests are lost or repeated"
    if not slow:
        return None
    evidence = tuple(f"{zone}: {_milliseconds(times)}" for zone, times in round_trips.items())
    reason = "; ".join(f"{zone}: {problem}" for zone, problem in slow.items())
    return Finding(f"the network of a zone is degraded: {reason}", evidence, frozenset(slow))


def _lost_share(times: Sequence[float | None]) -> float:
    lost = sum(time is None or time > RETRANSMISSION_SECONDS for time in times)
    return lost / len(times) if times else 0.0


def _milliseconds(times: Sequence[float | None]) -> str:
    return ", ".join("lost" if time is None else f"{time * 1000:.0f} ms" for time in times)


def _find_partition(context: CheckContext) -> Finding | None:
    """Return a finding if the nodes are ready, and most components lack their replica in the same zone."""
    if not all(node.ready for node in context.nodes()):
        return None
    broken = {name: context.component(name).unhealthy for name in COMPONENTS}
    zones = {replica.zone for replicas in broken.values() for replica in replicas}
    affected = [name for name, replicas in broken.items() if replicas]
    if len(zones) != 1 or len(affected) < MIN_COMPONENTS or not _pods_run(context, zones):
        return None
    zone = next(iter(zones)) or ""
    evidence = tuple(
        f"{replica.name}: {replica.state}" for replicas in broken.values() for replica in replicas
    )
    return Finding(
        f"{zone} is cut off from the other zones: its node and its pods run", evidence, frozenset({zone})
    )


def _pods_run(context: CheckContext, zones: set[str | None]) -> bool:
    """Return whether no pod of the zones has restarted in the last minute."""
    pods = [pod for pod in context.pods() if pod.zone in zones]
    return all(pod.ended_at is None or (context.now - pod.ended_at).total_seconds() > 60 for pod in pods)  # noqa: PLR2004 - a minute


CHECK = Check("network-degraded", "Whether the network of one zone is worse than the others'.", find)
STEPS = (*read_steps(CHECK), *change_steps(UNDO_FAULTS, START_CLUSTER, hand_over()), *verify_steps(CHECK))
