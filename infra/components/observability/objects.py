"""The exporter of the state of Kubernetes objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.components import observability
from infra.components.observability import parts

if TYPE_CHECKING:
    from infra.components.observability import ObservabilityArgs


def part(args: ObservabilityArgs) -> parts.Part:
    """Return the workload."""
    server = parts.container(
        observability.OBJECT_STATE,
        args.image,
        parts.program_command("object_state"),
        args.sizes.exporter,
        port=observability.OBJECT_STATE_PORT,
    )
    server.env = parts.program_environment(observability.OBJECT_STATE_PORT)
    return parts.Part(
        observability.OBJECT_STATE,
        [server],
        parts.pod_programs("object_state.py"),
        {"https": observability.OBJECT_STATE_PORT},
        reads_cluster=True,
    )
