"""The port for faults that each kind of cluster injects in its own way, and its adapters.

Faults that need the hosts of the zones (`chaos.faults.zones`, `network`) and those that are the same through
every API server (`chaos.faults.kubernetes`, `pod_stress`) need no port. The fault injection service of a
cloud would be another adapter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.faults import Fault
    from chaos.pod_location import PodLocation


class FaultPort(Protocol):
    """Builds faults for a kind of cluster; `ValueError` if the target does not exist."""

    def kill(self, pod: PodLocation, container: str, process: str) -> Fault:
        """Kill (SIGKILL) the main process of a container, or its oldest process with a name.

        Args:
            pod: the pod.
            container: name of a running container.
            process: name of the process; the main process if empty.
        """
        ...

    def freeze(self, pod: PodLocation, container: str) -> Fault:
        """Freeze (SIGSTOP) all processes of a container.

        Args:
            pod: the pod.
            container: name of a running container.
        """
        ...

    def isolate_zone(self, zone: str) -> Fault:
        """Disconnect a zone from all others; it keeps running."""
        ...

    def fail_dns(self, zones: Sequence[str]) -> Fault:
        """Fail the DNS queries of pods.

        Args:
            zones: zones of the pods; all if empty.
        """
        ...
